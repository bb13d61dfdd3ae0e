'use strict';
// Drawing one picture on its canvas. Lengths are CSS pixels.
const GUTTER = 92, RIGHT = 14, AXIS = 24, GAP = 8;
const crowded = Math.max(...pictures.map((picture) => picture.lanes.length)) > 48;
const LANE = crowded ? 15 : 26, CURVE = crowded ? 14 : 32;

function laneHeight() { return LANE + (view.memory ? CURVE + 3 : 0) + GAP; }
function pictureHeight(picture) { return AXIS + picture.lanes.length * laneHeight() + 2; }
function laneTop(index) { return AXIS + index * laneHeight(); }

const themeColours = {};
function readTheme() {
  const style = getComputedStyle(document.documentElement);
  for (const name of ['background', 'lane', 'text', 'muted', 'line', 'accent']) {
    themeColours[name] = style.getPropertyValue(`--${name}`).trim();
  }
}

function parseColour(hex) {
  return [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
}
function mixed(hex, other, share) {
  const a = parseColour(hex), b = parseColour(other);
  const hex2 = (value) => Math.round(value).toString(16).padStart(2, '0');
  return '#' + a.map((value, i) => hex2(value + (b[i] - value) * share)).join('');
}
function hueColour(index) {
  // The golden angle keeps neighbours apart.
  const hue = (index * 137.508 + 210) % 360, s = 0.5, l = 0.55;
  const channel = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (l - s * Math.min(l, 1 - l) * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return '#' + [0, 8, 4].map((n) => channel(n).toString(16).padStart(2, '0')).join('');
}

const TINTS = [0, 0.32, 0.52, 0.68];
const colourCache = new Map();
function tinted(colour, tint) {
  const key = colour + tint;
  if (!colourCache.has(key)) {
    const fill = mixed(colour, '#ffffff', TINTS[tint % TINTS.length]);
    const [r, g, b] = parseColour(fill);
    const dark = 0.299 * r + 0.587 * g + 0.114 * b < 145;
    colourCache.set(key, {fill, text: dark ? '#ffffff' : '#10141b'});
  }
  return colourCache.get(key);
}

function actionColour(picture, lane, i) {
  if (view.colour === 'version') return tinted(hueColour(lane.version[i]), 0);
  if (view.colour === 'micro-batch' && hasMicroBatch(lane, i)) {
    return tinted(hueColour(lane.microBatch[i]), 0);
  }
  if (view.colour === 'stage') return tinted(hueColour(lane.stage[i]), 0);
  const tint = picture.synchronous ? lane.chunks.get(lane.stage[i] * 2 + lane.direction[i]) || 0
                                   : lane.version[i] % TINTS.length;
  return tinted(VERB_COLOURS[lane.verb[i]], tint);
}

function scaleOf(canvas) {
  const width = canvas.clientWidth - GUTTER - RIGHT;
  const perTime = width / (view.end - view.begin);
  return {
    width, perTime, x: (time) => GUTTER + (time - view.begin) * perTime,
    time: (x) => view.begin + (x - GUTTER) / perTime,
  };
}

function tickStep(perTime) {
  const least = 84 / perTime, power = 10 ** Math.floor(Math.log10(least));
  return [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= least);
}
function numberText(value) {
  return Number.isFinite(value) ? String(parseFloat(value.toPrecision(5))) : '';
}
function timeText(value) { return numberText(value) + (data.timeUnit ? ' ' + data.timeUnit : ''); }
function memoryText(value) {
  return numberText(value) + (data.memoryUnit ? ' ' + data.memoryUnit : '');
}

function drawAxis(context, scale, height) {
  const step = tickStep(scale.perTime);
  context.font = '12px system-ui, "DejaVu Sans", sans-serif';
  context.textBaseline = 'middle';
  context.textAlign = 'center';
  for (let n = Math.ceil(view.begin / step); n * step <= view.end; n++) {
    const x = Math.round(scale.x(n * step)) + 0.5;
    context.fillStyle = themeColours.line;
    context.fillRect(x, AXIS - 5, 1, height - AXIS);
    context.fillStyle = themeColours.muted;
    const words = timeText(n * step), room = context.measureText(words).width / 2 + 2;
    context.fillText(words, Math.min(x, GUTTER + scale.width + RIGHT - room), 9);
  }
  context.textAlign = 'left';
  context.fillText('time', 8, 9);
}

function drawGaps(context, scale, lane, top) {
  for (const gap of lane.gaps) {
    if (gap.end < view.begin || gap.begin > view.end) continue;
    const from = Math.max(scale.x(gap.begin), GUTTER);
    const to = Math.min(scale.x(gap.end), GUTTER + scale.width);
    context.fillStyle = CAUSES[gap.cause][2];
    context.fillRect(from + 1, top + LANE / 2 - 1, Math.max(to - from - 2, 1), 2);
  }
}

function boxOf(scale, lane, i, top) {
  const from = Math.max(scale.x(lane.begin[i]), GUTTER);
  const to = Math.min(scale.x(lane.end[i]), GUTTER + scale.width);
  const part = half(lane, i);
  return {
    x: from, y: part === 2 ? top + LANE / 2 : top, width: to - from,
    height: part ? LANE / 2 - 0.5 : LANE, instant: lane.end[i] === lane.begin[i],
  };
}

// The longest of the names that fit: "1F3", "F3", "3".
function drawLabel(context, lane, i, box, colour, stripe) {
  if (box.width < 7 || box.height < 11) return;
  const long = actionName(lane, i);
  const names = [long];
  if (hasMicroBatch(lane, i)) {
    const number = `${lane.microBatch[i]}${lane.slice[i] ? '.' + lane.slice[i] : ''}`;
    names.push(VERBS[lane.verb[i]][0] + number, number);
  } else {
    names.push(VERBS[lane.verb[i]][0]);
  }
  // A number is written where the longest would fit too, or none: a row of a few looks wrong.
  const digits = Math.max(names.at(-1).length, String(longestNumber).length);
  const name = names.find((text, at) =>
    (at < 2 ? text.length * 7 + 4 : digits * 7 + 1) <= box.width);
  if (!name) return;
  context.fillStyle = colour.text;
  context.fillText(name, box.x + box.width / 2, box.y + (box.height - stripe) / 2 + 1);
}

function drawActions(context, scale, picture, lane, top) {
  const stripes = view.colour !== 'version' && !picture.synchronous && LANE > 20;
  context.font = `${LANE > 20 ? 11.5 : 10}px "DejaVu Sans Mono", ui-monospace, Menlo, monospace`;
  context.textAlign = 'center';
  let drawn = -Infinity;
  for (let i = upperBound(lane.end, view.begin - 1e-12); i < lane.count; i++) {
    if (lane.begin[i] > view.end) break;
    const box = boxOf(scale, lane, i, top);
    if (box.instant) drawInstant(context, lane, i, box);
    if (box.instant) continue;
    if (box.x + box.width < drawn + 0.6 && half(lane, i) !== 2) continue;
    drawn = box.x + box.width;
    const colour = actionColour(picture, lane, i);
    const seam = box.width > 3 ? 1 : 0;
    context.fillStyle = colour.fill;
    context.fillRect(box.x, box.y, Math.max(box.width - seam, 0.7), box.height);
    const stripe = stripes && !half(lane, i) && box.width > 2 ? 5 : 0;
    context.fillStyle = hueColour(lane.version[i]);
    context.fillRect(box.x, box.y + box.height - stripe, box.width - seam, stripe);
    drawLabel(context, lane, i, box, colour, stripe);
  }
}

// A free STEP is a mark above the lane; it takes no time, but it matters when it happens.
function drawInstant(context, lane, i, box) {
  if (box.x < GUTTER || box.width < -0.5) return;
  context.fillStyle = VERB_COLOURS[lane.verb[i]];
  context.fillRect(box.x - 1, box.y - 3, 2, box.height + 5);
  context.beginPath();
  context.moveTo(box.x - 4, box.y - 4);
  context.lineTo(box.x + 4, box.y - 4);
  context.lineTo(box.x, box.y + 2);
  context.fill();
}

// Stacked steps, one colour a class; all lanes share one scale.
function drawMemory(context, scale, lane, top) {
  const {memory} = lane;
  if (!memory.count) return;
  const floor = top + CURVE, perByte = (CURVE - 2) / memoryScale;
  context.fillStyle = themeColours.lane;
  context.fillRect(GUTTER, top, scale.width, CURVE);
  const first = Math.max(0, upperBound(memory.time, view.begin) - 1);
  const last = Math.min(memory.count, upperBound(memory.time, view.end) + 1);
  const below = new Float64Array(last - first);
  memory.bytes.forEach((bytes, c) => {
    if (!usedClasses[c]) return;
    context.fillStyle = mixed(MEMORY_CLASSES[c][1], themeColours.background, 0.35);
    for (let i = first; i < last; i++) {
      const from = Math.max(scale.x(memory.time[i]), GUTTER);
      const next = i + 1 < memory.count ? scale.x(memory.time[i + 1]) : scale.x(totalTime);
      const to = Math.min(next, GUTTER + scale.width);
      const height = bytes[i] * perByte;
      if (to > from && height > 0) {
        context.fillRect(from, floor - below[i - first] * perByte - height, to - from, height);
      }
      below[i - first] += bytes[i];
    }
  });
  drawPeak(context, scale, memory, floor, perByte);
}

function drawPeak(context, scale, memory, floor, perByte) {
  const time = memory.time[memory.peakAt], peak = memory.total[memory.peakAt];
  if (peak <= 0 || time < view.begin || time > view.end) return;
  const x = scale.x(time), y = floor - peak * perByte;
  context.fillStyle = themeColours.text;
  context.beginPath();
  context.arc(Math.max(x, GUTTER + 3), y + 1, 2.5, 0, 7);
  context.fill();
}

function drawGutter(context, picture, index, top) {
  const lane = picture.lanes[index];
  context.textAlign = 'left';
  context.fillStyle = themeColours.text;
  context.font = `600 ${LANE > 20 ? 13 : 11}px system-ui, "DejaVu Sans", sans-serif`;
  context.fillText(`rank ${index}`, 8, top + LANE / 2 + 1);
  if (!view.memory || !lane.memory.count) return;
  context.fillStyle = themeColours.muted;
  context.font = `${LANE > 20 ? 12 : 10}px system-ui, "DejaVu Sans", sans-serif`;
  const y = top + LANE + 3 + CURVE / 2;
  context.fillText(`peak ${numberText(+lane.peak.toPrecision(4))}`, 8, y, GUTTER - 14);
}

function outline(context, box, width) {
  context.strokeStyle = themeColours.accent;
  context.lineWidth = width;
  const x = box.instant ? box.x - 4 : box.x;
  context.strokeRect(x, box.y - 1, Math.max(box.instant ? 8 : box.width, 3), box.height + 2);
}

// The same micro-batch on all ranks, or the gap and what it waits for.
function drawHover(context, scale, picture) {
  const {hover} = view;
  if (!hover || hover.picture !== picture) return;
  const lane = picture.lanes[hover.lane], top = laneTop(hover.lane);
  if (hover.gap) {
    const x = Math.max(scale.x(hover.gap.begin), GUTTER);
    const width = Math.min(scale.x(hover.gap.end), GUTTER + scale.width) - x;
    outline(context, {x, y: top, width, height: LANE}, 1.5);
    const blame = blamedOf(picture, lane, hover.gap);
    if (blame) drawBlame(context, scale, blame, hover, top);
    return;
  }
  if (hover.action === undefined) return;
  outline(context, boxOf(scale, lane, hover.action, top), 2.5);
  if (!hasMicroBatch(lane, hover.action)) return;
  picture.lanes.forEach((other, index) => {
    for (let i = upperBound(other.end, view.begin); i < other.count; i++) {
      if (other.begin[i] > view.end) break;
      if (other.microBatch[i] !== lane.microBatch[hover.action] || !hasMicroBatch(other, i)) continue;
      outline(context, boxOf(scale, other, i, laneTop(index)), 1.5);
    }
  });
}

function blamedOf(picture, lane, gap) {
  if (gap.next < 0 || lane.blamedAt[gap.next] < 0) return null;
  const rank = lane.blamedRank[gap.next], blamed = picture.lanes[rank];
  const action = lane.blamedAt[gap.next];
  return blamed && action < blamed.count ? {rank, lane: blamed, action} : null;
}

function drawBlame(context, scale, blame, hover, top) {
  const box = boxOf(scale, blame.lane, blame.action, laneTop(blame.rank));
  outline(context, box, 2.5);
  context.beginPath();
  context.moveTo(scale.x(blame.lane.end[blame.action]), laneTop(blame.rank) + LANE / 2);
  context.lineTo(scale.x(hover.gap.end), top + LANE / 2);
  context.lineWidth = 1.5;
  context.stroke();
}

function draw(picture) {
  const {canvas} = picture, height = pictureHeight(picture);
  const ratio = Math.min(window.devicePixelRatio || 1, 16000 / height);
  canvas.style.height = `${height}px`;
  const width = canvas.clientWidth;
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
  }
  const context = canvas.getContext('2d'), scale = scaleOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  picture.lanes.forEach((lane, index) => {
    context.fillStyle = themeColours.lane;
    context.fillRect(GUTTER, laneTop(index), scale.width, LANE);
  });
  drawAxis(context, scale, height);
  picture.lanes.forEach((lane, index) => {
    const top = laneTop(index);
    drawGutter(context, picture, index, top);
    drawGaps(context, scale, lane, top);
    drawActions(context, scale, picture, lane, top);
    if (view.memory) drawMemory(context, scale, lane, top + LANE + 3);
  });
  drawHover(context, scale, picture);
}
