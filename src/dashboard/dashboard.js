// Keeps a page of the dashboard up to date. Each part of a page is an element with data-part; the server sends the
// parts that changed, as markup that it has escaped: by events, or where those are refused, when asked every few seconds.
'use strict';
(function () {
  const page = document.getElementById('page');
  if (!page || !page.dataset.events) return;
  const pollEvery_ms = 3000;
  const sign = document.getElementById('live');
  const marks = new Map();
  let source = null;
  let timer = 0;

  for (const place of page.querySelectorAll('[data-part]')) marks.set(place.dataset.part, place.dataset.mark);

  function say(state, words) {
    sign.dataset.state = state;
    sign.textContent = words;
  }

  // What a person opened, chose or scrolled to stays as it was.
  function replace(place, html) {
    const open = [];
    const chosen = new Set();
    place.querySelectorAll('details').forEach((element, i) => { if (element.open) open.push(i); });
    place.querySelectorAll('input:checked').forEach((element) => chosen.add(element.value));
    const scrolled = Array.from(place.querySelectorAll('.scroll'), (element) => [element.scrollLeft, element.scrollTop]);
    const template = document.createElement('template');
    template.innerHTML = html;
    place.replaceChildren(template.content);
    place.querySelectorAll('details').forEach((element, i) => { element.open = open.includes(i); });
    place.querySelectorAll('input').forEach((element) => { element.checked = chosen.has(element.value); });
    place.querySelectorAll('.scroll').forEach((element, i) => {
      if (scrolled[i]) [element.scrollLeft, element.scrollTop] = scrolled[i];
    });
  }

  function take(parts) {
    for (const part of parts) {
      const place = page.querySelector('[data-part="' + part.id + '"]');
      if (!place || marks.get(part.id) === part.mark) continue;
      replace(place, part.html);
      place.dataset.mark = part.mark;
      marks.set(part.id, part.mark);
    }
  }

  function have() {
    return Array.from(marks, ([id, mark]) => id + ':' + mark).join(',');
  }

  async function poll() {
    timer = 0;
    try {
      const answer = await fetch(page.dataset.parts + '&have=' + encodeURIComponent(have()), { cache: 'no-store' });
      if (!answer.ok) throw new Error(String(answer.status));
      take((await answer.json()).parts);
      say('polling', 'asks every ' + pollEvery_ms / 1000 + ' s');
    } catch (error) {
      say('lost', 'no answer');
    }
    if (!document.hidden) timer = setTimeout(poll, pollEvery_ms);
  }

  function stop() {
    if (source) source.close();
    source = null;
    clearTimeout(timer);
    timer = 0;
  }

  function start() {
    stop();
    if (!window.EventSource) return poll();
    source = new EventSource(page.dataset.events + '&have=' + encodeURIComponent(have()));
    source.onopen = () => say('live', 'live');
    source.onmessage = (event) => {
      take(JSON.parse(event.data).parts);
      say('live', 'live');
    };
    source.onerror = () => {
      if (source && source.readyState !== EventSource.CLOSED) return say('lost', 'no answer');
      stop();
      poll();
    };
  }

  // A browser has six connections to a server: a page that nobody sees gives its own back.
  document.addEventListener('visibilitychange', () => (document.hidden ? stop() : start()));
  start();
})();
