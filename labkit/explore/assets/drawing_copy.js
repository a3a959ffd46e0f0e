const text = this.form.querySelector('.text'); text.select();
const say = words => { this.form.querySelector('.said').textContent = words; };
if (navigator.clipboard) navigator.clipboard.writeText(text.value).then(
  () => say('Copied.'), () => say('Selected: copy it with your keyboard.'));
else say(document.execCommand('copy') ? 'Copied.' : 'Selected: copy it.');
