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
