"""Interactive figures: self-contained HTML that works offline and by keyboard.

A figure is one string: its style and its controls, no id and no address, so that it
runs in the book, in JupyterLab and in Colab, and twice on one page. Its controls stand
inside a <form>, which keeps the buttons of two figures apart. Where a choice has few
answers they are all in the page, and style alone shows one (`:has(:checked)`); where it
has many, an inline handler computes them. Where a viewer removes style and handlers,
the texts remain, readable one after the other.

`frame` is what they share; every other module here is one figure, its style and script
in assets/ under the same name.
"""

from labkit.explore.attention import attention_explorer
from labkit.explore.attention_map import attention_map
from labkit.explore.axes import which_axes
from labkit.explore.costs import cost_explorer
from labkit.explore.sequence import sequence_explorer

__all__ = [
    "attention_explorer",
    "attention_map",
    "cost_explorer",
    "sequence_explorer",
    "which_axes",
]
