const X = tokens => (24 * (Math.log2(tokens) - 4)).toFixed(1);
const T = stop('.tokens'), D = stop('.width');
const macs = {feed: 8 * T * D * D, proj: 4 * T * D * D, matrix: 2 * T * T * D};
const all = share(macs);
const units = [['tera', 1e12], ['giga', 1e9], ['mega', 1e6]];
const [unit, size] = units.find(u => all >= u[1]);
const sum = all / size, attention = macs.proj + macs.matrix;
get('.sum').textContent = sum.toFixed(sum < 10 ? 2 : sum < 100 ? 1 : 0) + ' ' + unit;
get('.more').textContent = attention > macs.feed ? 'more than' : attention < macs.feed
  ? 'less than' : 'as much as';
get('.even').textContent = number(2 * D);
get('.curves').setAttribute('transform', 'translate(' + X(D / 768 * 16) + ' 0)');
for (const end of ['x1', 'x2']) get('.here').setAttribute(end, X(T));
