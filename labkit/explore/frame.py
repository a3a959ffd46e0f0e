"""What every interactive figure shares: the form around it and its style."""

from html import escape

from IPython.display import HTML

# Light unless the book (data-theme), JupyterLab or Colab says that the page is dark.
THEME = """
.lk { --ink: #1b222c; --muted: #4a5567; --line: #7b8494; --ground: #fff;
  --cell: #eef0f4; --main: #0072b2; --on-main: #fff; --second: #b34700; }
html[data-theme="dark"] .lk, [data-jp-theme-light="false"] .lk, html[theme="dark"] .lk {
  --ink: #e6e9ee; --muted: #aeb6c2; --line: #7d8794; --ground: #14181e;
  --cell: #262d37; --main: #5cb3e6; --on-main: #10151b; --second: #ff9f5a; }
.lk, .lk * { box-sizing: border-box; }
.lk { color: var(--ink); background: var(--ground); border: 1px solid var(--line);
  border-radius: 8px; margin: 0; padding: 0.8rem; max-width: 44rem;
  font: 0.9rem/1.45 system-ui, "Segoe UI", Roboto, sans-serif; }
.lk fieldset { border: 0; margin: 0 0 0.7rem; padding: 0; min-width: 0; }
.lk legend { font-weight: 600; padding: 0; margin: 0 0 0.3rem; font-size: inherit;
  float: none; width: auto; color: inherit; }
.lk p { margin: 0; }
.lk .answer code { color: inherit; background: none; border: 0; padding: 0;
  font-size: 0.92em; overflow-wrap: anywhere; }
.lk .choices { display: flex; flex-wrap: wrap; gap: 0.4rem; }
.lk .choices label { display: flex; align-items: center; gap: 0.4rem; cursor: pointer;
  border: 1px solid var(--line); border-radius: 6px; padding: 0.25rem 0.6rem;
  margin: 0; min-height: 2.1rem; }
.lk .choices label:has(:checked) { border-color: var(--main);
  box-shadow: inset 0 0 0 1px var(--main); font-weight: 600; }
.lk .choices input { margin: 0; accent-color: var(--main); }
.lk label:has(:focus-visible) { outline: 3px solid var(--second); outline-offset: 2px; }
.lk .hidden { position: absolute; width: 1px; height: 1px; margin: -1px; padding: 0;
  overflow: hidden; clip-path: inset(50%); white-space: nowrap; border: 0; }
"""


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
