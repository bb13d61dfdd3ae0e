'use strict';
// Legend, tables and the words of the tip.
function element(name, words, parent, className) {
  const made = document.createElement(name);
  if (words !== undefined) made.textContent = words;
  if (className) made.className = className;
  if (parent) parent.append(made);
  return made;
}

function swatch(colour, words, parent, thin) {
  const {fill, text} = tinted(colour, 0);
  const made = element('span', words, parent, thin ? 'swatch thin' : 'swatch');
  made.style.background = fill;
  made.style.color = text;
}

function legendRow(title) {
  const row = element('div', undefined, document.getElementById('legend'), 'row');
  element('b', title, row);
  return element('div', undefined, row, 'entries');
}

function buildLegend() {
  const work = legendRow('Work');
  VERBS.forEach(([letter, name, more], verb) => {
    if (!usedVerbs[verb]) return;
    const entry = element('span', undefined, work, 'entry');
    swatch(VERB_COLOURS[verb], letter, entry);
    element('span', more ? `${name} (${more})` : name, entry);
  });
  const shades = [];
  if (severalChunks) shades.push('a lighter shade is another stage of the same rank');
  if (severalVersions) {
    shades.push('without a common step, shade and stripe show the weight version that is read');
  }
  if (shades.length) element('span', `Shades: ${shades.join('; ')}.`, work, 'entry');
  const idle = legendRow('Idle');
  CAUSES.forEach(([name, more, colour], cause) => {
    const seen = everyLane.some((lane) => lane.gaps.some((gap) => gap.cause === cause));
    if (!cause || !seen) return;
    const entry = element('span', undefined, idle, 'entry');
    swatch(colour, '', entry, true);
    element('span', `${name}: ${more}`, entry);
  });
  if (!idle.children.length) element('span', 'none', idle);
  buildMemoryLegend();
}

function buildMemoryLegend() {
  if (!memoryScale) return;
  const memory = legendRow('Memory');
  MEMORY_CLASSES.forEach(([name, colour], c) => {
    if (!usedClasses[c]) return;
    const entry = element('span', undefined, memory, 'entry');
    swatch(colour, '', entry);
    element('span', name, entry);
  });
  element('span', 'The curve under a lane; the dot is its peak.', memory, 'entry');
}

function table(head, rows, parent) {
  const made = element('table', undefined, parent);
  const headRow = element('tr', undefined, element('thead', undefined, made));
  for (const words of head) element('th', words, headRow).scope = 'col';
  const body = element('tbody', undefined, made);
  for (const [label, ...values] of rows) {
    const row = element('tr', undefined, body);
    element('th', label, row).scope = 'row';
    for (const value of values) element('td', value, row);
  }
}

const TERMS = [
  ['bubble of the makespan', 'idle share of all ranks from the first action to the last.'],
  ['bubble of the span', 'the same, each rank counted from its own first to its own last action: ' +
    'the next step can begin in the ends that are left. The zero-bubble papers print this one.'],
  ['staleness', 'how many updates a stage made between reading weights for a micro-batch and ' +
    'applying its gradient.'],
  ['mismatch', 'how many updates lie between the weights of its forward and its backward.'],
];

function buildSummary() {
  const summary = document.getElementById('summary');
  const rows = pictures[0].summary.map(([label], at) =>
    [label, ...pictures.map((picture) => (picture.summary[at] || [])[1] || '')]);
  table(['', ...pictures.map((picture) => picture.title)], rows, summary);
  for (const picture of pictures) {
    const details = element('details', undefined, summary);
    element('summary', `Rank by rank: ${picture.title}`, details);
    table(['rank', 'stages', 'busy', 'span', 'idle share of the span', 'peak memory'],
      picture.lanes.map((lane, rank) => [
        rank, [...lane.chunks.keys()].map((key) => (key >> 1) + (key & 1 ? '~' : '')).join(', '),
        timeText(lane.busy), timeText(lane.span),
        lane.span > 0 ? `${(100 * Math.max(0, 1 - lane.busy / lane.span)).toFixed(1)} %` : '',
        memoryText(lane.peak)]), details);
  }
  const terms = document.getElementById('terms');
  for (const [term, words] of TERMS) {
    element('dt', term, terms);
    element('dd', words, terms);
  }
}

function actionWords(picture, rank, i) {
  const lane = picture.lanes[rank], lines = [];
  const of = hasMicroBatch(lane, i) ? ` of micro-batch ${lane.microBatch[i]}` : '';
  const where = lane.verb[i] === FENCE ? '' : `, stage ${lane.stage[i]}`;
  lines.push(`${actionName(lane, i)}: ${VERBS[lane.verb[i]][1]}${of}`);
  lines.push(`rank ${rank}${where}${lane.direction[i] ? ', second direction' : ''}` +
    `${lane.slice[i] ? `, slice ${lane.slice[i]}` : ''}`);
  lines.push(`from ${timeText(lane.begin[i])} to ${timeText(lane.end[i])}, ` +
    `takes ${timeText(lane.end[i] - lane.begin[i])}`);
  if (half(lane, i)) lines.push('side by side with its neighbour');
  if (hasMicroBatch(lane, i)) {
    lines.push(`reads version ${lane.version[i]} of the weights` +
      (lane.verb[i] === FORWARD ? '' : `; its forward read version ${lane.forwardVersion[i]}`));
  }
  return lines;
}

function gapWords(picture, rank, gap) {
  const lane = picture.lanes[rank], [name, more] = CAUSES[gap.cause];
  const lines = [`idle for ${timeText(gap.end - gap.begin)}${gap.cause ? `: ${name}` : ''}`];
  lines.push(`rank ${rank}, from ${timeText(gap.begin)} to ${timeText(gap.end)}`);
  if (more) lines.push(more);
  if (gap.next >= 0) lines.push(`next: ${actionName(lane, gap.next)}`);
  const blame = blamedOf(picture, lane, gap);
  if (blame) {
    lines.push(`waits for ${actionName(blame.lane, blame.action)} on rank ${blame.rank}, ` +
      `done at ${timeText(blame.lane.end[blame.action])}`);
  }
  return lines;
}

function memoryWords(picture, rank, at) {
  const {memory} = picture.lanes[rank];
  const lines = [`memory of rank ${rank}: ${memoryText(memory.total[at])}`];
  lines.push(`from ${timeText(memory.time[at])} on`);
  MEMORY_CLASSES.forEach(([name], c) => {
    if (memory.bytes[c][at] > 0) lines.push(`${name} ${memoryText(memory.bytes[c][at])}`);
  });
  return lines;
}

function hoverWords({picture, lane, action, gap, memoryAt}) {
  if (gap) return gapWords(picture, lane, gap);
  if (memoryAt !== undefined) return memoryWords(picture, lane, memoryAt);
  return actionWords(picture, lane, action);
}
