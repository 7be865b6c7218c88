// What a person would see to be wrong with a page, found by measuring it. Each function returns a list of sentences.
// Not a script of any page: the tests run it in the browser (looks.py).

function visibleTexts() {
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.data.trim() || ['SCRIPT', 'STYLE', 'NOSCRIPT', 'TITLE', 'OPTION'].includes(parent.tagName)) continue;
    if (!parent.checkVisibility({visibilityProperty: true, opacityProperty: true})) continue;
    const boxes = boxesOf(node, getComputedStyle(parent).whiteSpace.startsWith('pre'));
    if (boxes.length) found.push({parent, boxes, letters: node.data.trim().length, words: node.data.trim().slice(0, 60)});
  }
  return found;
}

// Of each line; of each word where spaces are kept, since those at the end of a line hang out of it unseen.
function boxesOf(node, byWords) {
  const parts = byWords ? [...node.data.matchAll(/\S+/g)].map(word => [word.index, word.index + word[0].length]) : [[0, node.length]];
  const range = document.createRange();
  return parts.flatMap(([begin, end]) => {
    range.setStart(node, begin);
    range.setEnd(node, end);
    return [...range.getClientRects()].filter(box => box.width > 0);
  });
}

const place = element => element.tagName.toLowerCase() + (element.id ? '#' + element.id : '') +
  (element.getAttribute('class') ? '.' + element.getAttribute('class').replaceAll(' ', '.') : '');

function scrolls(element) {
  return ['auto', 'scroll'].includes(getComputedStyle(element).overflowX) && element.scrollWidth > element.clientWidth;
}

// Text that leaves the box it stands in, or the page. What can be scrolled into sight in a box of its own is not cut.
function cutTexts() {
  const faults = [];
  for (const {parent, boxes, words} of visibleTexts()) {
    const left = Math.min(...boxes.map(box => box.left)), right = Math.max(...boxes.map(box => box.right));
    for (let box = parent; box; box = box.parentElement) {
      if (scrolls(box)) break;
      if (box.tagName === 'HTML') {
        if (left < -1 || right > innerWidth + 1) faults.push(`"${words}" is outside the page (${left} to ${right})`);
        break;
      }
      if (['inline', 'contents'].includes(getComputedStyle(box).display) || box.closest('svg')) continue;
      const edge = box.getBoundingClientRect();
      if (left < edge.left - 1 || right > edge.right + 1) {
        faults.push(`"${words}" leaves ${place(box)} (${left} to ${right}, which is ${edge.left} to ${edge.right})`);
        break;
      }
    }
  }
  return faults;
}

// A column that is so narrow that nobody reads it.
function slivers() {
  const faults = [];
  for (const {parent, boxes, letters, words} of visibleTexts()) {
    const lines = new Set(boxes.map(box => Math.round(box.top))).size;
    if (lines > 3 && letters < 5 * lines) faults.push(`"${words}" stands in ${lines} lines in ${place(parent)}`);
  }
  return faults;
}

// In a drawing: text outside it, which is cut, and text on other text.
function drawingFaults() {
  const faults = [];
  for (const svg of document.querySelectorAll('svg')) {
    if (!svg.checkVisibility()) continue;
    const edge = svg.getBoundingClientRect();
    const name = svg.closest('figure')?.querySelector('h3')?.textContent ?? place(svg.parentElement);
    const texts = [...svg.querySelectorAll('text')].filter(text => text.textContent.trim())
      .map(text => ({words: text.textContent, box: text.getBoundingClientRect()}));
    texts.forEach(({words, box}, index) => {
      if (box.left < edge.left - 1 || box.right > edge.right + 1 || box.top < edge.top - 1 || box.bottom > edge.bottom + 1)
        faults.push(`${name}: "${words}" is cut`);
      for (const other of texts.slice(index + 1)) {
        const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
        const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
        if (across > 1 && down > 3) faults.push(`${name}: "${words}" lies on "${other.words}"`);
      }
    });
  }
  return faults;
}

function layoutFaults() {
  const faults = [...cutTexts(), ...slivers(), ...drawingFaults()];
  const width = document.documentElement.scrollWidth;
  if (width > innerWidth) faults.push(`the page is ${width} pixels wide`);
  if (!visibleTexts().length) faults.push('nothing is seen');
  return faults;
}

// --- colours -------------------------------------------------------------------------------------------------------

function channels(colour) {
  const [red, green, blue, alpha = 1] = colour.match(/[\d.]+/g).map(Number);
  return {red, green, blue, alpha};
}

// WCAG 2.2: relative luminance, and the contrast of two colours, 1 to 21.
function luminance({red, green, blue}) {
  const linear = [red, green, blue].map(c => c / 255).map(c => c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
  return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
}

function contrast(one, other) {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
}

function background(element) {
  for (let box = element; box; box = box.parentElement) {
    const colour = channels(getComputedStyle(box).backgroundColor);
    if (colour.alpha === 1) return colour;
  }
  return channels('rgb(255, 255, 255)');
}

// Text needs 4.5 (WCAG 1.4.3), a curve 3 (1.4.11).
function contrastFaults() {
  const faults = new Set();
  const expect = (element, colour, least, what) => {
    const found = contrast(channels(colour), background(element));
    if (found < least) faults.add(`${what}: contrast ${found.toFixed(2)}, should be ${least}`);
  };
  for (const {parent, words} of visibleTexts()) {
    const style = getComputedStyle(parent);
    expect(parent, parent.closest('svg') ? style.fill : style.color, 4.5, `"${words}" in ${place(parent)}`);
  }
  for (const curve of document.querySelectorAll('svg .stroke'))
    if (curve.checkVisibility()) expect(curve, getComputedStyle(curve).stroke, 3, place(curve));
  return [...faults];
}
