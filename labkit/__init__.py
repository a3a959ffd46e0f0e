"""What the notebooks of this course import.

    from labkit import check, device, plots, seed_everything

Nothing that is taught lives here: every line of the models stands in a notebook.
"""

from importlib import import_module

__all__ = ["check", "data", "device", "explore", "plots", "seed_everything"]


def __getattr__(name: str):
    """Import on first use: `labkit --help` need not wait for PyTorch."""
    if name in ("device", "seed_everything"):
        return getattr(import_module("labkit.runtime"), name)
    if name == "check":
        return import_module("labkit.learning.check").check
    if name in __all__:
        return import_module(f"labkit.{name}")
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")
