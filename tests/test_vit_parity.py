"""The model that chapter 4.2 teaches equals PyTorch's, torchvision's and timm's."""

import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import vit  # noqa: E402

CHAPTER = vit.taught()
B_16 = (224, 16, 3, 1000, 768, 12, 12, 3072)
SIZE = (32, 8, 3, 7, 48, 3, 4, 96)  # image, patch, channels, classes, dim, L, h, hidden
TOLERANCE = {torch.float32: 1e-5, torch.float64: 1e-12}
TIMM_TO_OURS = {
    "patch_embed.proj": "patch_embed",
    "cls_token": "class_token",
    "pos_embed": "position",
    ".attn.": ".",
    ".mlp.": ".",
}
DTYPES = pytest.mark.parametrize("dtype", TOLERANCE, ids=str)


@pytest.fixture
def torchvision():
    """torchvision, or skip: the course does not depend on it."""
    vit.stub_torchvision()
    reason = "torchvision is not installed beside this PyTorch: see CONTRIBUTING"
    return pytest.importorskip("torchvision", reason=reason)


def randomized(model, spread=0.1):
    """Every parameter at random: those that are 0 or 1 hide mistakes."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += spread * torch.randn(parameter.shape)
    return model.eval()


def ours(size=SIZE):
    return CHAPTER["VisionTransformer"](*size)


def assert_same(first, second, dtype, side=32):
    images = torch.randn(2, 3, side, side, dtype=dtype)
    with torch.no_grad():
        expected, got = second.to(dtype)(images), first.to(dtype).eval()(images)
    scale = expected.abs().max().item()
    assert scale > 0.1
    atol = TOLERANCE[dtype] * max(scale, 1)
    torch.testing.assert_close(got, expected, rtol=0, atol=atol)


@DTYPES
def test_equals_torch_encoder(dtype):
    model = randomized(ours()).to(dtype)
    images = torch.randn(2, 3, 32, 32, dtype=dtype)
    with torch.no_grad():
        z = CHAPTER["torch_encoder"](model)(model.embed(images))
        expected, got = model.head(z[:, 0]), model(images)
    torch.testing.assert_close(got, expected, rtol=0, atol=10 * TOLERANCE[dtype])


@DTYPES
def test_equals_torchvision(torchvision, dtype):
    image, patch, _, classes, dim, depth, heads, hidden = SIZE
    theirs = randomized(
        torchvision.models.VisionTransformer(
            image, patch, depth, heads, dim, hidden, num_classes=classes
        )
    )
    model = ours()
    CHAPTER["load_torchvision_weights"](model, theirs.state_dict())
    assert_same(model, theirs, dtype)


@DTYPES
def test_equals_torchvision_at_full_size(torchvision, dtype):
    theirs = randomized(torchvision.models.vit_b_16(), 0.02)
    model = ours(B_16)
    CHAPTER["load_torchvision_weights"](model, theirs.state_dict())
    assert_same(model, theirs, dtype, side=224)


def test_the_made_up_weights_have_torchvisions_names_and_shapes(torchvision):
    with torch.device("meta"):
        theirs = torchvision.models.vit_b_16().state_dict()
    shapes = {name: tuple(value.shape) for name, value in theirs.items()}
    made = CHAPTER["torchvision_shapes"](224, 16, 3, 1000, 768, 12, 3072)
    assert made == shapes


def test_parameters_are_torchvisions(torchvision):
    from torchvision.models import vision_transformer as theirs

    for name, key in (("B_16", "B/16"), ("B_32", "B/32"), ("L_16", "L/16")):
        meta = getattr(theirs, f"ViT_{name}_Weights").IMAGENET1K_V1.meta
        patch, dim, depth, heads = CHAPTER["SIZES"][key]
        with torch.device("meta"):
            model = ours((224, patch, 3, 1000, dim, depth, heads, 4 * dim))
        assert sum(p.numel() for p in model.parameters()) == meta["num_params"]
        if key in CHAPTER["PUBLISHED"]:
            assert CHAPTER["PUBLISHED"][key] == meta["_ops"]


def test_preprocess_is_torchvisions(torchvision):
    weights = torchvision.models.ViT_B_16_Weights.IMAGENET1K_V1
    photo = torch.rand(3, 300, 451)
    got, expected = CHAPTER["preprocess"](photo), weights.transforms()(photo)[None]
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)


def test_old_names_load_and_wrong_ones_are_said():
    shapes = CHAPTER["torchvision_shapes"](*SIZE[:6], SIZE[7])
    new = {name: torch.randn(shape) for name, shape in shapes.items()}
    old = {
        n.replace("mlp.0", "mlp.linear_1").replace("mlp.3", "mlp.linear_2"): v
        for n, v in new.items()
    }
    first, second = ours(), ours()
    CHAPTER["load_torchvision_weights"](first, new)
    CHAPTER["load_torchvision_weights"](second, old)
    for a, b in zip(first.parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b)
    old.pop("encoder.ln.weight")
    with pytest.raises(RuntimeError, match="norm.weight"):
        CHAPTER["load_torchvision_weights"](second, old)


@DTYPES
def test_equals_timm(torchvision, dtype):
    timm = pytest.importorskip("timm", reason="timm is not installed: see CONTRIBUTING")
    theirs = randomized(timm.create_model("vit_base_patch16_224"), 0.02)
    model = ours(B_16)
    renamed = {}
    for key, value in theirs.state_dict().items():
        for other, own in TIMM_TO_OURS.items():
            key = key.replace(other, own)
        renamed[key] = value
    shapes = {n: v.shape for n, v in model.state_dict().items()}
    model.load_state_dict({n: v.reshape(shapes[n]) for n, v in renamed.items()})
    assert_same(model, theirs, dtype, side=224)
