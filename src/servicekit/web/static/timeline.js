// @ts-check
/**
 * A job's life in pieces: where it waited, what its attempts did, where it is now. The times are the service's.
 */

import { changeTo } from './in-place.js';
import { formatDuration, formatTime, h, secondsRemaining, visible } from './kit.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {{kind: 'wait' | 'attempt', attempt: number, from: number, to: number, isNow: boolean, status: string,
 *            error: string | null, endedBy: string | null, process: string | null}} Piece  times in milliseconds
 */

/**
 * The pieces of a job's life up to `now`, without gaps, none of them negative.
 * @param {JobRecord} record
 * @param {number} now milliseconds, by the service's clock
 * @returns {Piece[]}
 */
export function piecesOf(record, now) {
  /** @type {Piece[]} */
  const pieces = [];
  let at = Date.parse(record.submitted_at);
  for (const past of record.attempts ?? []) {
    at = addAttempt(pieces, at, { ...past, status: past.error === null ? 'released' : 'failed' }, now);
  }
  if (hasPresentAttempt(record)) {
    addAttempt(pieces, at, { ...record, started_at: /** @type {string} */ (record.started_at) }, now);
  } else {
    const end = record.finished_at ? Date.parse(record.finished_at) : now;
    pieces.push(waitUntil(at, end, record.attempt + 1, !record.finished_at));
  }
  return pieces;
}

/** @param {JobRecord} record */
function hasPresentAttempt(record) {
  const last = record.attempts?.at(-1);
  return record.started_at !== null && record.status !== 'pending' && last?.attempt !== record.attempt;
}

/**
 * @param {Piece[]} pieces
 * @param {number} at
 * @param {{attempt: number, started_at: string, finished_at: string | null, status: string, error: string | null,
 *          ended_by: string | null, process: string | null}} attempt
 * @param {number} now
 * @returns {number} where it ends
 */
function addAttempt(pieces, at, attempt, now) {
  const from = Math.max(at, Date.parse(attempt.started_at));
  const to = Math.max(from, attempt.finished_at ? Date.parse(attempt.finished_at) : now);
  if (from > at) pieces.push(waitUntil(at, from, attempt.attempt, false));
  pieces.push({
    kind: 'attempt', attempt: attempt.attempt, from, to, isNow: !attempt.finished_at, status: attempt.status,
    error: attempt.error, endedBy: attempt.ended_by, process: attempt.process,
  }); // prettier-ignore
  return to;
}

/** @param {number} from @param {number} to @param {number} attempt @param {boolean} isNow @returns {Piece} */
function waitUntil(from, to, attempt, isNow) {
  const end = Math.max(from, to);
  return { kind: 'wait', attempt, from, to: end, isNow, status: 'pending', error: null, endedBy: null, process: null };
}

/** @param {Piece} piece */
const secondsOf = (piece) => (piece.to - piece.from) / 1000;

/**
 * Draw the pieces into an element: a bar, and the same in words.
 * @param {HTMLElement} root
 * @param {JobRecord} record
 * @param {number} now milliseconds, by the service's clock
 * @param {string} [remark] what else is to be said
 */
export function drawTimeline(root, record, now, remark = '') {
  const pieces = piecesOf(record, now);
  const rest = record.status === 'running' ? Math.max(0, (secondsRemaining(record, new Date(now)) ?? 0) * 1000) : 0;
  const total = Math.max(1, pieces.reduce((sum, piece) => sum + piece.to - piece.from, rest));
  const many = pieces.filter((piece) => piece.kind === 'attempt').length > 1 || record.attempt > 1;
  changeTo(root, drawBar(pieces, total, rest), drawEnds(record, pieces, remark), many ? drawSteps(pieces) : null);
}

/** @param {Piece[]} pieces @param {number} total @param {number} rest what will still come, it seems */
function drawBar(pieces, total, rest) {
  const parts = pieces.map((piece) => {
    const part = h('span', { class: `piece ${piece.kind} ${piece.status}${piece.isNow ? ' now' : ''}` });
    part.style.setProperty('--share', String((piece.to - piece.from) / total));
    part.title = `${wordOf(piece)}: ${formatDuration(secondsOf(piece))}`;
    return part;
  });
  const coming = h('span', { class: 'piece coming', hidden: rest === 0 });
  coming.style.setProperty('--share', String(rest / total));
  return h('div', { class: 'timeline-bar', 'aria-hidden': 'true' }, parts, coming);
}

/** @param {JobRecord} record @param {Piece[]} pieces @param {string} remark */
function drawEnds(record, pieces, remark) {
  const [first] = pieces;
  const waited = first?.kind === 'wait' ? secondsOf(first) : 0;
  const began = pieces.find((piece) => piece.kind === 'attempt');
  return h('p', { class: 'timeline-ends' },
    h('span', {}, 'submitted ', moment(record.submitted_at)),
    h('span', {}, began || record.finished_at ? 'waited ' : 'waiting for ', formatDuration(waited)),
    began ? h('span', {}, 'started ', moment(new Date(began.from).toISOString())) : null,
    record.finished_at ? h('span', {}, 'ended ', moment(record.finished_at)) : expectedStart(record),
    record.finished_at && record.elapsed_seconds !== null ? h('span', {}, record.attempt > 1 ? 'last attempt ran ' : 'ran ', h('strong', {}, formatDuration(record.elapsed_seconds))) : null,
    remark ? h('span', {}, remark) : null); // prettier-ignore
}

/** @param {JobRecord} record */
function expectedStart(record) {
  if (record.status !== 'pending' || !record.scheduled_at) return null;
  return h('span', {}, record.attempt > 0 ? 'next attempt ' : 'starts ', moment(record.scheduled_at));
}

/** @param {string} iso */
function moment(iso) {
  return h('time', { datetime: iso, title: iso }, formatTime(iso));
}

/** @param {Piece[]} pieces */
function drawSteps(pieces) {
  const steps = pieces.filter((piece) => piece.kind === 'attempt').map((piece) =>
    h('li', { class: piece.status },
      h('span', { class: 'step-name' }, `attempt ${piece.attempt}`),
      h('span', { class: 'step-time' }, formatDuration(secondsOf(piece))),
      h('span', { class: 'step-end' }, endOf(piece)),
      piece.process ? h('span', { class: 'step-process' }, piece.process) : null)); // prettier-ignore
  return h('ol', { class: 'timeline-steps', 'aria-label': 'Attempts' }, ...steps);
}

/** @param {Piece} piece */
function wordOf(piece) {
  return piece.kind === 'wait' ? `wait for attempt ${piece.attempt}` : `attempt ${piece.attempt}, ${endOf(piece)}`;
}

/** @type {Record<string, string>} */
const ENDS = {
  cancel: 'was canceled',
  kill: 'was killed',
  time_limit: 'took too long',
  stop: 'its process was stopped',
  crash: 'its process died',
};

/** @param {Piece} piece */
function endOf(piece) {
  if (piece.isNow) return 'runs';
  if (piece.error) return visible(piece.error);
  return (piece.endedBy && ENDS[piece.endedBy]) || piece.status;
}
