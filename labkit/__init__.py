"""What the notebooks of this course import.

    import labkit  # for labkit.device() and labkit.train(…)
    from labkit import check, plots, seed_everything

Nothing that is taught lives here: every line of the models stands in a notebook.
"""

from importlib import import_module

WHERE = {  # names that are objects in a module; the others are modules
    "about": "runtime",
    "around": "statistics",
    "better": "statistics",
    "check": "learning.check",
    "device": "runtime",
    "interval": "statistics",
    "progress": "learning.progress",
    "record": "experiment",
    "seed_everything": "runtime",
    "sign_flip": "statistics",
    "summary": "statistics",
    "train": "training",
}
__all__ = ["data", "explore", "plots", *WHERE]


def __getattr__(name: str):
    """Import on first use: `labkit --help` need not wait for PyTorch."""
    if name in WHERE:
        return getattr(import_module(f"labkit.{WHERE[name]}"), name)
    if name in __all__:
        return import_module(f"labkit.{name}")
    raise AttributeError(f"module 'labkit' has no attribute {name!r}")
