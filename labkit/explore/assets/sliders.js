const get = s => this.querySelector(s);
const number = x => String(x).replace(/\B(?=(\d{3})+$)/g, ',');
const stop = s => { const slider = get(s), [n, name] = JSON.parse(slider.dataset.stops)
  [slider.value], text = number(n) + (name && ' (' + name + ')');
  slider.setAttribute('aria-valuetext', text); get(s + '-text').textContent = text;
  return n; };
const share = macs => { const all = Object.values(macs).reduce((a, b) => a + b);
  for (const part in macs) { const percent = 100 * macs[part] / all;
    get('.' + part + ' i').style.width = percent.toFixed(1) + '%';
    get('.' + part + ' b').textContent = Math.round(percent) + ' %'; } return all; };
