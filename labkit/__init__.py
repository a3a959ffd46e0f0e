"""What the notebooks of this course import.

    from labkit import check, device, plots, seed_everything

Nothing that is taught lives here: every line of the models stands in a notebook.
"""

from importlib import import_module

from labkit.runtime import device, seed_everything

__all__ = ["check", "device", "explore", "plots", "data", "seed_everything"]


def __getattr__(name: str):
    """Import drawing and checks on first use, so that `import labkit` stays quick."""
    if name == "check":
        return import_module("labkit.checks").check
    if name in ("data", "explore", "plots"):
        return import_module(f"labkit.{name}")
    raise AttributeError(f"labkit has no {name!r}")
