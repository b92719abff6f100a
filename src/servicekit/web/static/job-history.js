// @ts-check
/**
 * How the last runs of the same name went: a bar for each, as high as it took long, and the median.
 */

import { STATES, formatDuration, h } from './kit.js';
import { formatTerm } from './query.js';

/** @typedef {import('./types.js').JobRecord} JobRecord */

export const RUNS = 50;
const USUAL = 1.25; // times the median

/** @param {number[]} numbers */
export function medianOf(numbers) {
  const sorted = numbers.toSorted((one, other) => one - other);
  const [low, high] = [sorted[(sorted.length - 1) >> 1], sorted[sorted.length >> 1]];
  return low === undefined || high === undefined ? null : (low + high) / 2;
}

/**
 * @param {JobRecord[]} runs the newest first
 * @param {string} jobId the one to mark
 * @param {(jobId: string) => void} open
 * @returns {HTMLElement | null} nothing, if there is nothing to compare with
 */
export function historyView(runs, jobId, open) {
  const begun = runs.filter((run) => run.elapsed_seconds !== null && run.status !== 'pending').reverse();
  const [first] = begun;
  if (first === undefined || begun.length < 2) return null;
  const highest = Math.max(...begun.map(secondsOf), 0.001);
  const bars = begun.map((run) => drawBar(run, highest, run.id === jobId, open));
  const median = medianOf(begun.filter((run) => run.status === 'completed').map(secondsOf));
  const failures = failuresOf(begun);
  return h('section', { class: 'job-history', 'aria-label': `The last runs of ${first.name}` },
    h('p', { class: 'history-name' }, h('a', { href: listOf(first.name) }, `last ${begun.length} runs`)),
    h('div', { class: 'history-bars', 'aria-hidden': 'true' }, ...bars),
    h('p', { class: 'history-words' }, median === null ? '' : `median ${formatDuration(median)}${failures ? ' · ' : ''}`, failures)); // prettier-ignore
}

/** The address of the list of jobs with this name. @param {string} name */
const listOf = (name) => `./?q=${encodeURIComponent(formatTerm('name', name))}`;

/** @param {JobRecord} run */
const secondsOf = (run) => run.elapsed_seconds ?? 0;

/** @param {JobRecord} run @param {number} highest @param {boolean} isThis @param {(jobId: string) => void} open */
function drawBar(run, highest, isThis, open) {
  const word = STATES[run.status]?.word ?? run.status;
  const bar = h('span', {
    class: `history-bar ${run.status}${isThis ? ' this' : ''}`,
    title: `${word}, ${formatDuration(secondsOf(run))}${isThis ? ' (this one)' : ''}`,
    on: { click: () => open(run.id) },
  });
  bar.style.setProperty('--share', String(secondsOf(run) / highest));
  return bar;
}

/** @param {JobRecord[]} runs */
function failuresOf(runs) {
  const failed = runs.filter((run) => run.status === 'failed').length;
  return failed ? h('span', { class: 'history-failed' }, `${failed} failed`) : null;
}

/**
 * Whether a run is slower than others of its name, or will be, in words.
 * @param {number | null} elapsed
 * @param {number | null} remaining at its pace; `null` if that is not known
 * @param {number | null} median
 */
export function paceOf(elapsed, remaining, median) {
  if (elapsed === null || median === null) return '';
  const usual = `longer than usual (${formatDuration(median)})`;
  if (elapsed > median * USUAL) return usual;
  return elapsed + (remaining ?? 0) > median * USUAL ? `will take ${usual}` : 'on pace';
}
