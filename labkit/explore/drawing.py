"""A pad to draw a digit on, and what becomes of it: 8 × 8 numbers, like the data's.

Nothing flows from the reader's browser back into Python by itself: the pad shows a line
of text, and the reader pastes it into a cell. The text is eight words, one a row of the
image, of eight characters each: 0 … 9, then a … g for 10 … 16.

Without the pad the text can be typed, or made from an image file.
"""

from pathlib import Path

import numpy as np
import torch
from IPython.display import HTML
from PIL import Image

from labkit.explore.frame import page

SIDE = 8  # of the image that the pad makes, as in scikit-learn's digits
LEVELS = "0123456789abcdefg"  # how much ink: scikit-learn's digits go to 16

# Called for every event of the drawing area. `_shrink` below, once more.
SCRIPT = """
const get = s => this.closest('form').querySelector(s), size = 256, key = event.key;
const ink = this.getContext('2d', {willReadFrequently: true});
const pen = this.pen = this.pen || {x: 128, y: 48, down: false};
const draw = (x, y) => { ink.lineWidth = 30; ink.lineCap = 'round';
  ink.strokeStyle = '#1b222c'; ink.beginPath(); ink.moveTo(pen.x, pen.y);
  ink.lineTo(x + 0.01, y); ink.stroke(); };
const clear = () => { ink.clearRect(0, 0, size, size); pen.down = false; };
const step = {ArrowLeft: [-8, 0], ArrowRight: [8, 0], ArrowUp: [0, -8],
  ArrowDown: [0, 8]}[key];
if (event.type.startsWith('pointer')) {
  const box = this.getBoundingClientRect();
  const x = (event.clientX - box.left) * size / box.width;
  const y = (event.clientY - box.top) * size / box.height;
  if (event.type == 'pointerdown') { this.setPointerCapture(event.pointerId);
    pen.x = x; pen.y = y; draw(x, y); pen.down = false; }
  else if (event.buttons & 1) { draw(x, y); pen.x = x; pen.y = y; }
  else return;
} else if (event.type == 'click' || key == 'Delete' || key == 'Backspace') clear();
else if (key == ' ') { pen.down = !pen.down; if (pen.down) draw(pen.x, pen.y); }
else if (step) { const x = Math.min(size - 16, Math.max(16, pen.x + step[0]));
  const y = Math.min(size - 16, Math.max(16, pen.y + step[1]));
  if (pen.down) draw(x, y); pen.x = x; pen.y = y; }
else return;
if (key) event.preventDefault();
const ring = get('.pen'); ring.classList.toggle('down', pen.down);
ring.style.left = 100 * pen.x / size + '%'; ring.style.top = 100 * pen.y / size + '%';
const alpha = ink.getImageData(0, 0, size, size).data, at = [];
for (let n = 0; n < size * size; n++)
  if (alpha[4 * n + 3] > 127) at.push([n % size, Math.floor(n / size)]);
const xs = at.map(p => p[0]), ys = at.map(p => p[1]);
const ends = list => list.reduce(([a, b], v) => [Math.min(a, v), Math.max(b, v)],
  [size, -1]);
const [left, right] = ends(xs), [top, bottom] = ends(ys);
const side = Math.max(right - left, bottom - top) + 1;
const x0 = (left + right + 1 - side) / 2, y0 = (top + bottom + 1 - side) / 2;
const count = Array(64).fill(0);
for (const [x, y] of at) count[8 * Math.floor((y + 0.5 - y0) * 8 / side)
  + Math.floor((x + 0.5 - x0) * 8 / side)]++;
const level = count.map(c => Math.min(16, Math.floor(c * 1024 / (side * side) + 0.5)));
const words = level.map((v, n) => '0123456789abcdefg'[v] + (n % 8 == 7 ? ' ' : ''));
get('.text').value = at.length ? words.join('').trim() : '';
const small = get('.small').getContext('2d'); small.clearRect(0, 0, 8, 8);
level.forEach((v, n) => { small.fillStyle = 'rgba(27, 34, 44, ' + v / 16 + ')';
  small.fillRect(n % 8, Math.floor(n / 8), 1, 1); });
get('.said').textContent = key == ' ' ? (pen.down ? 'Pen down.' : 'Pen up.')
  : at.length ? '' : 'Nothing drawn.';
"""
COPY = """
const text = this.form.querySelector('.text'); text.select();
const say = words => { this.form.querySelector('.said').textContent = words; };
if (navigator.clipboard) navigator.clipboard.writeText(text.value).then(
  () => say('Copied.'), () => say('Selected: copy it with your keyboard.'));
else say(document.execCommand('copy') ? 'Copied.' : 'Selected: copy it.');
"""
STYLE = """
.lk .desk { display: flex; flex-wrap: wrap; gap: 0.8rem; align-items: flex-start; }
.lk .area { position: relative; width: 16rem; max-width: 100%; }
.lk canvas { display: block; width: 100%; aspect-ratio: 1; background: #fff;
  border: 1px solid var(--line); border-radius: 6px; }
.lk .large { touch-action: none; cursor: crosshair; }
.lk .large:focus-visible, .lk button:focus-visible, .lk .text:focus-visible {
  outline: 3px solid var(--second); outline-offset: 2px; }
.lk .pen { position: absolute; width: 1.5rem; height: 1.5rem; margin: -0.75rem;
  left: 50%; top: 18.75%; border: 2px solid #b34700; border-radius: 50%;
  pointer-events: none; visibility: hidden; }
.lk .large:focus-visible + .pen { visibility: visible; }
.lk .pen.down { background: #b34700; }
.lk .seen { width: 7rem; }
.lk .small { image-rendering: pixelated; border-radius: 0; }
.lk .tools { display: flex; flex-wrap: wrap; gap: 0.4rem; margin: 0.6rem 0; }
.lk button { font: inherit; color: var(--ink); background: var(--cell);
  border: 1px solid var(--line); border-radius: 6px; padding: 0.25rem 0.8rem;
  min-height: 2.1rem; cursor: pointer; }
.lk .text { flex: 1 1 20rem; min-width: 0; font: 0.78rem/1.4 ui-monospace, monospace;
  color: var(--ink); background: var(--cell); border: 1px solid var(--line);
  border-radius: 6px; padding: 0.25rem 0.5rem; }
.lk .hint { color: var(--muted); }
"""


def pad() -> HTML:
    """Draw a digit with mouse, finger or keys; copy the text that appears.

    The drawing is cut out, scaled to the full height or width, and centred, as
    scikit-learn's digits are. Where scripts do not run, use `from_image` or type.
    """
    script = SCRIPT.strip().replace("\n", " ").replace('"', "&quot;")
    copy = COPY.strip().replace("\n", " ").replace('"', "&quot;")
    again = 'this.onpointerdown(event)"'
    clear = "this.form.querySelector('.large').onpointerdown(event)"
    return page(
        "Drawing pad",
        STYLE,
        '<div class="desk"><div class="area"><canvas class="large" width="256" '
        'height="256" tabindex="0" role="application" aria-label="Drawing area. '
        "Arrow keys move the pen, Space lowers or lifts it, Delete clears."
        f'" onpointerdown="{script}" onpointermove="{again} onkeydown="{again}>'
        '</canvas><span class="pen"></span></div><div class="seen" aria-hidden="true">'
        '<canvas class="small" width="8" height="8"></canvas>as the model sees it'
        '</div></div><div class="tools">'
        f'<button type="button" class="clear" onclick="{clear}">Clear</button>'
        f'<button type="button" class="copy" onclick="{copy}">Copy</button>'
        '<input class="text" readonly aria-label="Your drawing as text"></div>'
        '<p class="said" role="status"></p><p class="hint">Draw one digit, large; then '
        "copy the text into the next cell. With the keyboard: arrow keys move the pen, "
        "Space lowers and lifts it, Delete clears.</p>",
    )


def read(text: str) -> torch.Tensor:
    """A drawing from its text: (8, 8) float32, ink from 0 to 16.

    text  64 of the characters 0 … 9, a … g, row by row; spaces do not count

    Raises ValueError for another number of characters or another character.
    """
    characters = "".join(text.split()).lower()
    if unknown := sorted(set(characters) - set(LEVELS)):
        raise ValueError(f"got {unknown[0]!r} in a drawing; want 0 … 9 and a … g")
    if len(characters) != SIDE**2:
        raise ValueError(
            f"got a drawing of {len(characters)} characters; want 64, 8 rows of 8. "
            "Was the text copied whole?"
        )
    levels = [float(LEVELS.index(c)) for c in characters]
    return torch.tensor(levels).view(SIDE, SIDE)


def write(ink: torch.Tensor) -> str:
    """The text of a drawing (8, 8) of whole numbers from 0 to 16."""
    return " ".join("".join(LEVELS[int(v)] for v in row) for row in ink)


def from_image(path: str | Path) -> str:
    """The text of a digit in an image file: dark on light, or light on dark.

    path  any format that Pillow reads; the digit alone, on a plain ground

    Raises ValueError if there is nothing on the ground.
    """
    grey = np.asarray(Image.open(path).convert("L"), dtype=float)
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    away = np.abs(grey - np.median(edge))
    if away.max() < 32:
        raise ValueError(f"got an image without a drawing: {path}; want dark on light")
    return write(_shrink(away > away.max() / 2))


def _shrink(bitmap: np.ndarray) -> torch.Tensor:
    """(H, W) bool → (8, 8): cut out, made square around its centre, ink counted."""
    y, x = bitmap.nonzero()
    side = max(np.ptp(y), np.ptp(x)) + 1
    cells = [
        np.floor((n + 0.5 - (n.min() + n.max() + 1 - side) / 2) * SIDE / side)
        for n in (y, x)
    ]
    count = np.zeros((SIDE, SIDE))
    np.add.at(count, tuple(c.astype(int) for c in cells), 1)
    return torch.tensor(np.minimum(16, np.floor(count * 1024 / side**2 + 0.5)))
