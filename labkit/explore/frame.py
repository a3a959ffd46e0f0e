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


# Sliders, and bars that say what they set.
SLIDERS = """
.lk .sizes { display: grid; gap: 0.5rem 1.2rem;
  grid-template-columns: repeat(auto-fit, minmax(14rem, 1fr)); margin: 0 0 0.7rem; }
.lk .sizes label { display: block; margin: 0; }
.lk .sizes b { display: block; }
.lk .sizes input { display: block; width: 100%; margin: 0.3rem 0 0; height: 1.6rem;
  accent-color: var(--main); cursor: pointer; }
.lk .bars { display: grid; gap: 0.25rem 0.6rem; align-items: center;
  grid-template-columns: max-content 1fr 3rem; margin: 0 0 0.7rem; }
.lk .bars > div { display: contents; }
.lk .bars b { text-align: right; font-variant-numeric: tabular-nums; }
.lk .bars span:nth-child(2) { background: var(--cell); height: 1.1rem;
  border: 1px solid var(--line); border-radius: 3px; overflow: hidden; }
.lk .bars i { display: block; height: 100%; background: var(--main); }
.lk .bars .proj i { background: var(--muted); }
.lk .bars .matrix i { background: var(--second); }
"""

# What the inline handlers of sliders begin with; `this` is the part that answers.
SCRIPT = """
const get = s => this.querySelector(s);
const number = x => String(x).replace(/\\B(?=(\\d{3})+$)/g, ',');
const stop = s => { const slider = get(s), [n, name] = JSON.parse(slider.dataset.stops)
  [slider.value], text = number(n) + (name && ' (' + name + ')');
  slider.setAttribute('aria-valuetext', text); get(s + '-text').textContent = text;
  return n; };
const share = macs => { const all = Object.values(macs).reduce((a, b) => a + b);
  for (const part in macs) { const percent = 100 * macs[part] / all;
    get('.' + part + ' i').style.width = percent.toFixed(1) + '%';
    get('.' + part + ' b').textContent = Math.round(percent) + ' %'; } return all; };
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
