"""What every interactive figure shares: the form around it and its style."""

from html import escape
from importlib.resources import files

from IPython.display import HTML


def asset(name: str) -> str:
    """The text of a script or style in assets/, which begins on a line of its own.

    Scripts become one line of an attribute: no `//` in them.
    """
    return "\n" + (files("labkit.explore") / "assets" / name).read_text("utf-8")


# Light unless the book (data-theme), JupyterLab or Colab says that the page is dark.
THEME = asset("frame.css")

# Sliders, and bars that say what they set.
SLIDERS = asset("sliders.css")

# What the inline handlers of sliders begin with; `this` is the part that answers.
SCRIPT = asset("sliders.js")


def page(label: str, style: str, body: str) -> HTML:
    """Wrap an interactive figure: one form with the common style and its own.

    label  the figure's name, for a reader who does not see it
    style  rules of this figure; every selector begins with `.lk`
    body   its controls and texts, without an id

    The disabled button keeps Enter from sending the form; the data attribute keeps
    JupyterLab from taking the arrow keys for its own.
    """
    return HTML(
        f'<form class="lk" aria-label="{escape(label)}" autocomplete="off" '
        'data-lm-suppress-shortcuts="true">'
        f"<style>{THEME}{style}</style>"
        f'<button type="submit" disabled hidden></button>{body}</form>'
    )


def choices(legend: str, name: str, options: dict[str, str], chosen: str) -> str:
    """A group of radio buttons; options maps a value to what the reader sees."""
    labels = "".join(
        f'<label><input type="radio" name="{name}" value="{value}"'
        f"{' checked' if value == chosen else ''}>{escape(text)}</label>"
        for value, text in options.items()
    )
    return (
        f"<fieldset><legend>{escape(legend)}</legend>"
        f'<div class="choices">{labels}</div></fieldset>'
    )


def slider(
    label: str, name: str, stops: tuple[tuple[int, str], ...], chosen: int
) -> str:
    """A slider over the numbers of `stops` that says what they are known by."""
    numbers = [number for number, _ in stops]
    if chosen not in numbers:
        raise ValueError(f"got {name}={chosen}; want one of {numbers}")
    at = numbers.index(chosen)
    text = f"{chosen:,}" + (f" ({stops[at][1]})" if stops[at][1] else "")
    places = ",".join(f'[{number},"{known}"]' for number, known in stops)
    return (
        f'<label>{label}: <b class="{name}-text">{text}</b>'
        f'<input type="range" class="{name}" min="0" max="{len(stops) - 1}" '
        f'value="{at}" aria-label="{label}" aria-valuetext="{text}" '
        f'data-stops="{escape(f"[{places}]")}"></label>'
    )


def bars(parts: dict[str, str], work: dict[str, int]) -> str:
    """One bar a part, as long as its share of the work; parts maps a key to a name."""
    whole = sum(work.values())
    return (
        '<div class="bars">'
        + "".join(
            f'<div class="{part}"><span>{name}</span><span><i style="width:'
            f'{100 * work[part] / whole:.1f}%"></i></span>'
            f"<b>{percent(work[part], whole)}</b></div>"
            for part, name in parts.items()
        )
        + "</div>"
    )


def percent(part: int, whole: int) -> str:
    """As JavaScript's Math.round: halves go up."""
    return f"{int(100 * part / whole + 0.5)} %"


def answering(script: str, body: str) -> str:
    """A part of a figure that runs `script`, after SCRIPT, when a slider moves."""
    line = (SCRIPT + script).strip().replace("\n", " ")
    return f'<div oninput="{escape(line)}">{body}</div>'
