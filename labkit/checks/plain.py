"""Plain data as bytes: tensors, numbers, strings and lists and dicts of them.

What crosses the pipe between a learner's process and the judge. Never a pickle:
the tree travels as JSON, the tensors beside it in safetensors' format.
"""

import json

import torch
from safetensors.torch import load, save

from labkit.checks.probes import Case, Layer, Optimizer

LIMIT = 64 * 2**20  # bytes of one message; a record is a few kilobytes
HEADER_LIMIT = 2**18  # bytes of it that are no tensors: texts end up in feedback


def dumps(value: object) -> bytes:
    """Encode plain data. Raises TypeError for anything else, ValueError beyond
    HEADER_LIMIT."""
    tensors: dict[str, torch.Tensor] = {}
    tree = json.dumps(_pack(value, tensors))
    data = save(tensors, metadata={"tree": tree})
    _header(data)
    return data


def loads(data: bytes) -> object:
    """Decode what dumps made. Raises ValueError for bytes it did not make."""
    if len(data) > LIMIT:
        raise ValueError(f"a message of {len(data)} bytes; at most {LIMIT} are taken")
    try:
        header = json.loads(_header(data))
        tree = json.loads(header["__metadata__"]["tree"])
        # Half characters (lone surrogates), which no file or page takes, become "?".
        text = json.dumps(tree, ensure_ascii=False)
        return _unpack(json.loads(text.encode("utf-8", "replace")), load(data))
    except Exception as error:  # safetensors and json raise many types
        raise ValueError(f"not plain data: {type(error).__name__}: {error}") from None


def _header(data: bytes) -> bytes:
    """What safetensors keeps beside the tensors' bytes: the tree, names and shapes."""
    size = int.from_bytes(data[:8], "little")
    if size > HEADER_LIMIT:
        raise ValueError(f"{size} bytes that are no tensors; at most {HEADER_LIMIT}")
    return data[8 : 8 + size]


def _pack(value, tensors):
    match value:
        case None | bool() | int() | float() | str():
            return value
        case torch.Tensor():
            name = str(len(tensors))
            # safetensors refuses tensors that share memory: store a copy of each
            tensors[name] = value.detach().cpu().contiguous().clone()
            return {"tensor": name}
        case tuple() | list():
            kind = "tuple" if isinstance(value, tuple) else "list"
            return {kind: [_pack(item, tensors) for item in value]}
        case dict():
            if not all(isinstance(key, str) for key in value):
                raise TypeError("plain dicts have strings for keys")
            return {"dict": {k: _pack(v, tensors) for k, v in value.items()}}
        case Case() | Layer() | Optimizer():
            kind = type(value).__name__
            return {kind: _pack(value.__dict__, tensors)}
    raise TypeError(f"not plain data: {type(value).__name__}")


def _unpack(tree, tensors):
    if not isinstance(tree, dict):
        return tree
    ((kind, value),) = tree.items()
    match kind:
        case "tensor":
            return tensors[value]
        case "tuple":
            return tuple(_unpack(item, tensors) for item in value)
        case "list":
            return [_unpack(item, tensors) for item in value]
        case "dict":
            return {k: _unpack(v, tensors) for k, v in value.items()}
        case "Case":
            return Case(**_unpack(value, tensors))
        case "Layer":
            return Layer(**_unpack(value, tensors))
        case "Optimizer":
            return Optimizer(**_unpack(value, tensors))
    raise ValueError(f"unknown kind {kind!r}")
