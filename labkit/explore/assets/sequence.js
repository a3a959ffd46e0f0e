const S = stop('.side'), P = stop('.patch');
const n = Math.floor(S / P), left = S - n * P, N = n * n, T = N + 1, bytes = 4 * T * T;
const D = 768, macs = {feed: 8 * T * D * D, proj: 4 * T * D * D, matrix: 2 * T * T * D};
share(macs);
const units = [['TB', 1e12], ['GB', 1e9], ['MB', 1e6], ['kB', 1e3], ['bytes', 1]];
const [unit, one] = units.find(u => bytes >= u[1]), b = bytes / one;
get('.grid').textContent = n + ' × ' + n;
get('.count').textContent = number(N);
get('.each').textContent = number(3 * P * P);
get('.entries').textContent = number(T * T);
get('.size').textContent = b.toFixed(one == 1 || b >= 100 ? 0 : b < 10 ? 2 : 1)
  + ' ' + unit;
get('.left').textContent = left ? P + ' does not divide ' + S + ': a margin of ' + left
  + ' pixels is left out.' : P + ' divides ' + S + ': nothing is left out.';
const box = get('.image'); box.style.width = (100 * n * P / S).toFixed(2) + '%';
box.style.setProperty('--step', (100 / n).toFixed(4) + '%');
box.classList.toggle('fine', n > 64);
