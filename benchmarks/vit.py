"""How fast the chapter's model is against those of PyTorch, timm and torchvision.

    python benchmarks/vit.py [--rounds 10] [--threads 1]

The model is the one that chapters/04_2_model_structure.py teaches. All run in one
process, in turn, so that other work on the machine hits all alike. A ratio is ours
divided by the other's time, of the minima and as the median over rounds.
"""

import argparse
import ast
import statistics
import time
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

CHAPTER = Path(__file__).parents[1] / "chapters" / "04_2_model_structure.py"
SIZES = {  # image, patch, channels, classes, dim, depth, heads, hidden; batch
    "digits": ((8, 2, 1, 10, 64, 4, 4, 128), 128),
    "B/16": ((224, 16, 3, 1000, 768, 12, 12, 3072), 1),
}


def taught() -> dict:
    """The chapter's imports, classes, functions and tables, but not its runs."""

    def defines(node: ast.stmt) -> bool:
        if isinstance(node, ast.Assign):
            return all(isinstance(t, ast.Name) and t.id.isupper() for t in node.targets)
        kinds = (ast.Import, ast.ImportFrom, ast.ClassDef, ast.FunctionDef)
        return isinstance(node, kinds)

    tree = ast.parse(CHAPTER.read_text(encoding="utf-8"))
    tree.body = [node for node in tree.body if defines(node)]
    names = {"__name__": "chapter"}
    exec(compile(tree, str(CHAPTER), "exec"), names)
    return names


def stub_torchvision() -> None:
    """Let torchvision's CUDA build be imported beside a CPU build of PyTorch."""
    if not torch.cuda.is_available() and not hasattr(stub_torchvision, "library"):
        stub_torchvision.library = torch.library.Library("torchvision", "DEF")
        for name in ("nms", "qnms"):
            stub_torchvision.library.define(
                f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
            )


class TorchViT(nn.Module):
    """A Vision Transformer around nn.TransformerEncoder."""

    def __init__(self, image, patch, channels, classes, dim, depth, heads, hidden):
        super().__init__()
        self.patch_embed = nn.Conv2d(channels, dim, patch, patch)
        self.class_token = nn.Parameter(torch.zeros(1, 1, dim))
        self.position = nn.Parameter(torch.randn(1, (image // patch) ** 2 + 1, dim))
        layer = nn.TransformerEncoderLayer(
            dim, heads, hidden, 0.0, "gelu", 1e-6, batch_first=True, norm_first=True
        )
        norm = nn.LayerNorm(dim, eps=1e-6)
        self.encoder = nn.TransformerEncoder(
            layer, depth, norm, enable_nested_tensor=False
        )
        self.head = nn.Linear(dim, classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        x = self.patch_embed(images).flatten(2).mT
        first = self.class_token.expand(len(x), -1, -1)
        z = torch.cat([first, x], 1) + self.position
        return self.head(self.encoder(z)[:, 0])


def models(size: tuple) -> dict[str, nn.Module]:
    """Ours, PyTorch's, and those of timm and torchvision where they are installed."""
    image, patch, channels, classes, dim, depth, heads, hidden = size
    found = {"ours": taught()["VisionTransformer"](*size), "torch": TorchViT(*size)}
    try:
        stub_torchvision()
        from torchvision.models import vision_transformer as theirs

        if channels == 3:
            found["torchvision"] = theirs.VisionTransformer(
                image, patch, depth, heads, dim, hidden, num_classes=classes
            )
        from timm.models.vision_transformer import VisionTransformer

        found["timm"] = VisionTransformer(
            image, patch, channels, classes, embed_dim=dim, depth=depth,
            num_heads=heads, mlp_ratio=hidden / dim,
        )  # fmt: skip
    except ImportError as missing:
        print(f"({missing.name} is not installed)")
    return found


def compare(work: dict, rounds: int, wait) -> None:
    """Run each in turn, `rounds` times, and print the ratios."""
    times = {name: [] for name in work}
    for turn in range(rounds + 2):
        names = list(work)[turn % len(work) :] + list(work)[: turn % len(work)]
        for name in names:
            start = time.perf_counter()
            work[name]()
            wait()
            times[name].append(time.perf_counter() - start)
    times = {name: found[2:] for name, found in times.items()}  # two to warm up
    for name in list(work)[1:]:
        pairs = zip(times["ours"], times[name], strict=True)
        middle = statistics.median(a / b for a, b in pairs)
        least = min(times["ours"]) / min(times[name])
        print(f"    ours ÷ {name:12} min {least:.3f}   median {middle:.3f}")


def bench(name: str, rounds: int, device: str, dtype: torch.dtype) -> None:
    size, batch = SIZES[name]
    batch *= 64 if device == "cuda" else 1
    found = {k: m.to(device, dtype) for k, m in models(size).items()}
    images = torch.randn(batch, size[2], size[0], size[0]).to(device, dtype)
    classes = torch.randint(size[3], (batch,)).to(device)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None

    def forward(model):
        with torch.no_grad():
            model.eval()(images)

    def step(model, optimizer):
        optimizer.zero_grad()
        F.cross_entropy(model.train()(images), classes).backward()
        optimizer.step()

    print(f"{name}, {device}, {str(dtype)[6:]}, batch {batch}\n  forward")
    compare({k: lambda m=m: forward(m) for k, m in found.items()}, rounds, wait)
    steps = {}
    for key, model in found.items():
        optimizer = torch.optim.AdamW(model.parameters(), 1e-4, fused=True)
        steps[key] = lambda m=model, o=optimizer: step(m, o)
    print("  training step")
    compare(steps, rounds, wait)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--size", choices=SIZES, action="append")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for name in args.size or SIZES:
        bench(name, args.rounds, "cpu", torch.float32)
        if torch.cuda.is_available():
            bench(name, args.rounds, "cuda", torch.bfloat16)


if __name__ == "__main__":
    main()
