'use strict';
// What the page is given, made ready to draw. All text of the file goes through textContent or the
// canvas, never through markup.
const data = JSON.parse(document.getElementById('data').textContent);

const VERBS = [
  ['F', 'forward'],
  ['I', 'input gradient', 'half of the backward: the gradient that the stage before needs'],
  ['W', 'weight gradient', 'the other half: it can wait'],
  ['B', 'backward', 'full: I and W in one'],
  ['R', 'recompute', 'of activations that were not kept'],
  ['STEP', 'optimizer step', 'the stage gets new weights'],
  ['PIN', 'keep a weight version'], ['DROP', 'forget a weight version'],
  ['PREDICT', 'predict weights'], ['FENCE', 'wait for all ranks'],
  ['SEND_F', 'send activations'], ['RECV_F', 'receive activations'],
  ['SEND_B', 'send gradients'], ['RECV_B', 'receive gradients'],
  ['REDUCE_GRAD', 'sum gradients over replicas'],
];
const FORWARD = 0, BACKWARD = 3, STEP = 5, PIN = 6, DROP = 7, FENCE = 9;
const VERB_COLOURS = [
  '#3f72b5', '#e0606e', '#d8b53c', '#a03a78', '#5fb8d6', '#2c8a44', '#7a8494', '#7a8494', '#7d63c4',
  '#4a5260', '#7a8494', '#7a8494', '#7a8494', '#7a8494', '#2f8f8f',
];

// In the order of the simulator's causes; 0 is "none".
const CAUSES = [
  ['none', '', '#9aa5b5'],
  ['dependency', 'what it needs has not been computed yet', '#d08a2c'],
  ['communication', 'what it needs is computed, but still on its way', '#c04fc4'],
  ['credit', 'the receiver has no room for another message', '#d64545'],
  ['step', 'waits for an optimizer step or a fence', '#2c8a44'],
  ['fill', 'the pipeline fills: the first work or gradient has not come yet', '#9aa5b5'],
  ['drain', 'the pipeline drains: nothing is left for this rank', '#9aa5b5'],
];
const DRAIN = 6;

const MEMORY_CLASSES = [
  ['activations', '#3f72b5'], ['weight stash', '#d8b53c'], ['weights', '#7d63c4'],
  ['gradients', '#e0606e'], ['optimizer', '#2c8a44'], ['buffers', '#8a93a1'],
];

const FIELDS = 13;
const MEMORY_FIELDS = 1 + MEMORY_CLASSES.length;

// Actions of a lane as columns, their gaps, and which stages the rank holds.
function readLane(lane, makespan) {
  const count = lane.actions.length / FIELDS;
  const column = (at) => Float64Array.from({length: count}, (_, i) => lane.actions[i * FIELDS + at]);
  const [verb, stage, microBatch, slice, direction, begin, end, cause, blamedRank, blamedAt,
    forwardVersion, version, overlaps] = Array.from({length: FIELDS}, (_, at) => column(at));
  const chunks = new Map();
  for (let i = 0; i < count; i++) {
    const key = stage[i] * 2 + direction[i];
    if (verb[i] !== FENCE && !chunks.has(key)) chunks.set(key, chunks.size);
  }
  const gaps = [];
  let free = 0;
  const least = makespan * 1e-9;
  for (let i = 0; i < count; i++) {
    if (begin[i] > free + least) gaps.push({begin: free, end: begin[i], cause: cause[i], next: i});
    free = Math.max(free, end[i]);
  }
  if (makespan > free + least) gaps.push({begin: free, end: makespan, cause: DRAIN, next: -1});
  return {
    count, verb, stage, microBatch, slice, direction, begin, end, blamedRank, blamedAt,
    forwardVersion, version, overlaps, chunks, gaps, memory: readMemory(lane.memory),
    busy: lane.busy, span: lane.span, peak: lane.peak,
  };
}

function readMemory(numbers) {
  const count = numbers.length / MEMORY_FIELDS;
  const memory = {count, time: new Float64Array(count), total: new Float64Array(count), bytes: []};
  for (const _ of MEMORY_CLASSES) memory.bytes.push(new Float64Array(count));
  memory.peakAt = -1;
  for (let i = 0; i < count; i++) {
    memory.time[i] = numbers[i * MEMORY_FIELDS];
    for (let c = 0; c < MEMORY_CLASSES.length; c++) {
      memory.bytes[c][i] = numbers[i * MEMORY_FIELDS + 1 + c];
      memory.total[i] += memory.bytes[c][i];
    }
    if (memory.peakAt < 0 || memory.total[i] > memory.total[memory.peakAt]) memory.peakAt = i;
  }
  return memory;
}

const pictures = data.pictures.map((picture) => ({
  ...picture, lanes: picture.lanes.map((lane) => readLane(lane, picture.makespan)),
}));
const everyLane = pictures.flatMap((picture) => picture.lanes);
const totalTime = Math.max(1e-12, ...pictures.map((picture) => picture.makespan));
const memoryScale = everyLane.reduce(
  (most, lane) => lane.memory.count ? Math.max(most, lane.memory.total[lane.memory.peakAt]) : most, 0);
const longestNumber = everyLane.reduce(
  (most, lane) => lane.microBatch.reduce((a, b) => Math.max(a, b), most), 0);
const usedVerbs = VERBS.map((_, verb) => everyLane.some((lane) => lane.verb.includes(verb)));
const usedClasses = MEMORY_CLASSES.map(
  (_, c) => everyLane.some((lane) => lane.memory.bytes[c].some((bytes) => bytes > 0)));
const severalVersions = pictures.some((picture) => !picture.synchronous);
const severalChunks = everyLane.some((lane) => lane.chunks.size > 1);

const view = {
  begin: 0, end: totalTime, colour: 'verb', memory: memoryScale > 0, theme: '',
  hover: null,  // {picture, lane, action | gap | memoryAt}
};

// The first index at which keys, which ascend, are above the value.
function upperBound(keys, value) {
  let low = 0, high = keys.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (keys[middle] > value) high = middle; else low = middle + 1;
  }
  return low;
}

function actionName(lane, i) {
  const verb = VERBS[lane.verb[i]][0], tilde = lane.direction[i] ? '~' : '';
  if (lane.verb[i] === FENCE) return verb;
  if (lane.verb[i] === PIN || lane.verb[i] === DROP) {
    return `${verb}${lane.stage[i]}.${lane.microBatch[i]}${tilde}`;
  }
  if (!hasMicroBatch(lane, i)) return `${verb}${lane.stage[i]}${tilde}`;
  const slice = lane.slice[i] ? `.${lane.slice[i]}` : '';
  return `${lane.stage[i]}${verb}${lane.microBatch[i]}${slice}${tilde}`;
}

function hasMicroBatch(lane, i) {
  return lane.verb[i] < STEP || (lane.verb[i] > FENCE && lane.verb[i] < VERBS.length - 1);
}

// Where an action is drawn: pairs that overlap share their time, one above the other.
function half(lane, i) {
  if (lane.overlaps[i]) return 1;
  return i > 0 && lane.overlaps[i - 1] ? 2 : 0;
}
