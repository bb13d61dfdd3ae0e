'use strict';
// Starts the page: builds it, listens, redraws at most once a frame.
const tip = document.getElementById('tip');
let framePending = false;
function redraw() {
  if (framePending) return;
  framePending = true;
  requestAnimationFrame(() => {
    framePending = false;
    pictures.forEach(draw);
  });
}

function setWindow(begin, end) {
  const least = totalTime * 1e-6;
  const length = Math.min(Math.max(end - begin, least), totalTime);
  view.begin = Math.min(Math.max(begin, 0), totalTime - length);
  view.end = view.begin + length;
  redraw();
}
function zoom(factor, around = (view.begin + view.end) / 2) {
  setWindow(around - (around - view.begin) * factor, around + (view.end - around) * factor);
}
function pan(share) {
  const length = view.end - view.begin;
  setWindow(view.begin + share * length, view.begin + (1 + share) * length);
}

// What lies under a point of a canvas, or null.
function hit(picture, x, y) {
  const lane = Math.floor((y - AXIS) / laneHeight()), inside = y - laneTop(lane);
  const scale = scaleOf(picture.canvas), time = scale.time(x), found = picture.lanes[lane];
  if (!found || x < GUTTER || time > picture.makespan || inside < 0) return null;
  if (inside > LANE) {
    const at = upperBound(found.memory.time, time) - 1;
    const onCurve = view.memory && at >= 0 && inside < LANE + 3 + CURVE;
    return onCurve ? {picture, lane, memoryAt: at} : null;
  }
  const near = 4 / scale.perTime;
  for (let i = upperBound(found.end, time - near) - 1; i < found.count; i++) {
    if (i < 0) continue;
    if (found.begin[i] > time + near) break;
    const part = half(found, i), instant = found.begin[i] === found.end[i];
    if (part === 1 && inside > LANE / 2 || part === 2 && inside <= LANE / 2) continue;
    if (instant && Math.abs(found.begin[i] - time) < near && found.verb[i] >= STEP) {
      return {picture, lane, action: i};
    }
    if (found.begin[i] <= time && time < found.end[i]) return {picture, lane, action: i};
  }
  const gap = found.gaps.find(({begin, end}) => begin <= time && time < end);
  return gap ? {picture, lane, gap} : null;
}

function showTip(event) {
  if (!view.hover) {
    tip.hidden = true;
    return;
  }
  const [first, ...rest] = hoverWords(view.hover);
  tip.replaceChildren();
  element('b', first, tip);
  for (const line of rest) element('div', line, tip);
  tip.hidden = false;
  const {width, height} = tip.getBoundingClientRect();
  const right = event.clientX + 16 + width > window.innerWidth;
  const low = event.clientY + 16 + height > window.innerHeight;
  tip.style.left = `${Math.max(4, right ? event.clientX - width - 12 : event.clientX + 16)}px`;
  tip.style.top = `${Math.max(4, low ? event.clientY - height - 12 : event.clientY + 16)}px`;
}

function listen(picture) {
  const {canvas} = picture;
  let grabbed = null;
  canvas.addEventListener('pointerdown', (event) => {
    if (event.button !== 0) return;
    grabbed = {x: event.clientX, begin: view.begin, end: view.end};
    canvas.setPointerCapture(event.pointerId);
    canvas.classList.add('moving');
  });
  const release = () => {
    grabbed = null;
    canvas.classList.remove('moving');
  };
  canvas.addEventListener('pointerup', release);
  canvas.addEventListener('pointercancel', release);
  canvas.addEventListener('pointermove', (event) => {
    if (grabbed) {
      const moved = (grabbed.x - event.clientX) / scaleOf(canvas).perTime;
      setWindow(grabbed.begin + moved, grabbed.end + moved);
    }
    view.hover = grabbed ? null : hit(picture, event.offsetX, event.offsetY);
    showTip(event);
    redraw();
  });
  canvas.addEventListener('pointerleave', () => {
    view.hover = null;
    tip.hidden = true;
    redraw();
  });
  canvas.addEventListener('dblclick', (event) => zoom(0.5, scaleOf(canvas).time(event.offsetX)));
  canvas.addEventListener('wheel', (event) => {
    const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
    if (!event.ctrlKey && !event.metaKey && !sideways) return;
    event.preventDefault();
    const delta = event.deltaX || event.deltaY;
    if (sideways && !event.ctrlKey) pan(delta / 1000);
    else zoom(Math.exp(event.deltaY / 400), scaleOf(canvas).time(event.offsetX));
  }, {passive: false});
}

const KEYS = {
  'ArrowLeft': () => pan(-0.15), 'ArrowRight': () => pan(0.15),
  'a': () => pan(-0.15), 'd': () => pan(0.15), '+': () => zoom(0.7), '=': () => zoom(0.7),
  '-': () => zoom(1 / 0.7), 'w': () => zoom(0.7), 's': () => zoom(1 / 0.7),
  '0': () => setWindow(0, totalTime), 'Home': () => setWindow(0, totalTime),
};
function listenToKeys() {
  document.addEventListener('keydown', (event) => {
    const typing = ['SELECT', 'INPUT'].includes(event.target.tagName);
    if (typing || event.ctrlKey || event.metaKey || event.altKey || !KEYS[event.key]) return;
    event.preventDefault();
    KEYS[event.key]();
  });
}

function setTheme(theme) {
  if (theme) document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  readTheme();
  redraw();
}

function listenToControls() {
  const get = (id) => document.getElementById(id);
  get('zoom-in').addEventListener('click', () => zoom(0.7));
  get('zoom-out').addEventListener('click', () => zoom(1 / 0.7));
  get('fit').addEventListener('click', () => setWindow(0, totalTime));
  get('memory').checked = view.memory;
  get('memory').disabled = memoryScale === 0;
  get('memory').addEventListener('change', (event) => {
    view.memory = event.target.checked;
    redraw();
  });
  get('colour').value = view.colour;
  get('colour').addEventListener('change', (event) => {
    view.colour = event.target.value;
    redraw();
  });
  get('theme').value = view.theme;
  get('theme').addEventListener('change', (event) => setTheme(event.target.value));
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', () => setTheme(''));
}

// page.html#from=3&to=20&colour=version&theme=dark opens on that view.
function readAddress() {
  const asked = new URLSearchParams(location.hash.slice(1));
  const number = (key, otherwise) => {
    const value = parseFloat(asked.get(key));
    return Number.isFinite(value) ? value : otherwise;
  };
  setWindow(number('from', 0), number('to', totalTime));
  if (['version', 'micro-batch', 'stage'].includes(asked.get('colour'))) {
    view.colour = asked.get('colour');
  }
  if (['light', 'dark'].includes(asked.get('theme'))) view.theme = asked.get('theme');
  if (asked.get('memory') === '0') view.memory = false;
}

function start() {
  const main = document.getElementById('pictures');
  for (const picture of pictures) {
    const section = element('section', undefined, main);
    if (picture.title !== document.title) element('h2', picture.title, section);
    if (picture.note) element('p', picture.note, section, 'note');
    picture.canvas = element('canvas', undefined, section);
    picture.canvas.tabIndex = 0;
    picture.canvas.setAttribute('role', 'img');
    picture.canvas.setAttribute('aria-label', `Timeline of ${picture.title}; see the summary below`);
    listen(picture);
  }
  readAddress();
  setTheme(view.theme);
  buildLegend();
  buildSummary();
  listenToControls();
  listenToKeys();
  new ResizeObserver(redraw).observe(main);
}
start();
