// @ts-check
/**
 * The geometry and the words of the chart of activity, from what `$activity` answers. Nothing here touches the page.
 *
 * @typedef {import('./types.js').Activity} Activity
 * @typedef {import('./types.js').ActivityPoint} ActivityPoint
 * @typedef {import('./types.js').ActivityTotal} ActivityTotal
 */

import { formatCount, formatDuration, formatTime } from './kit.js';

/** From the bottom up: failures stand on the common line, so that they can be compared. */
export const STACK = /** @type {const} */ (['failed', 'canceled', 'completed']);

/** The height of the drawing. One point is one unit wide, and the page stretches both to the room that there is. */
export const HEIGHT = 100;
const BAR_WIDTH = 0.8;
// A single job among thousands must be seen: no part is flatter than this share of the height.
const LEAST_HEIGHT = 3;

/**
 * The drawing of each final state as the `d` of one SVG path.
 *
 * @param {ActivityPoint[]} points
 * @returns {Record<typeof STACK[number], string>}
 */
export function drawBars(points) {
  const scale = HEIGHT / tallest(points);
  const paths = { failed: '', canceled: '', completed: '' };
  points.forEach((point, index) => {
    let bottom = HEIGHT;
    for (const state of STACK) {
      if (!point[state]) continue;
      const height = Math.min(bottom, Math.max(LEAST_HEIGHT, point[state] * scale));
      bottom -= height;
      paths[state] += `M${round(index + (1 - BAR_WIDTH) / 2)} ${round(bottom)}h${BAR_WIDTH}v${round(height)}h${-BAR_WIDTH}z`;
    }
  });
  return paths;
}

/** How many jobs ended in the busiest step; at least 1. @param {ActivityPoint[]} points */
export function tallest(points) {
  return Math.max(1, ...points.map(countEnded));
}

/** @param {ActivityPoint} point */
const countEnded = (point) => point.completed + point.failed + point.canceled;

/** The time that the points from one to another cover, ends included. @param {Activity} activity @param {number} one @param {number} other */
export function rangeOf(activity, one, other) {
  const from = activity.points[Math.min(one, other)];
  const to = activity.points[Math.max(one, other)];
  if (!from || !to) return null;
  return { after: toIso(Date.parse(from.at)), before: toIso(Date.parse(to.at) + activity.step_seconds * 1000) };
}

/** The first and the last point of a time; `null` if the chart has none of it. @param {Activity} activity @param {string | null} after @param {string | null} before */
export function pointsOf(activity, after, before) {
  if (!after && !before) return null;
  const step = activity.step_seconds * 1000;
  const from = after ? Date.parse(after) : -Infinity;
  const to = before ? Date.parse(before) : Infinity;
  const chosen = activity.points.flatMap(({ at }, index) => {
    const start = Date.parse(at);
    return start + step > from && start < to ? [index] : [];
  });
  return chosen.length ? { first: chosen[0] ?? 0, last: chosen.at(-1) ?? 0 } : null;
}

/** The numbers beside the chart. @param {ActivityTotal} total @returns {{word: string, value: string, title: string, isBad?: boolean}[]} */
export function describeTotal(total) {
  const share = total.failure_share;
  return [
    { word: 'per minute', value: formatRate(total.per_minute), title: 'Jobs that ended, per minute' },
    { word: 'failed', value: formatShare(share), title: `${total.failed} of the jobs that ended failed`, isBad: Boolean(share) },
    { word: 'p50', value: formatSeconds(total.run_p50), title: 'Half of the jobs ran for no longer than this' },
    { word: 'p95', value: formatSeconds(total.run_p95), title: '95 of 100 jobs ran for no longer than this' },
    {
      word: 'wait',
      value: formatSeconds(total.wait_p50),
      title: `Half of the jobs waited for no longer than this; 95 of 100 for no longer than ${formatSeconds(total.wait_p95)}`,
    },
  ];
}

/** One step in words. @param {Activity} activity @param {ActivityPoint} point */
export function describePoint(activity, point) {
  const numbers = STACK.toReversed().filter((state) => point[state]).map((state) => `${formatCount(point[state])} ${state}`);
  const times = point.run_p50 === null ? [] : [`p50 ${formatSeconds(point.run_p50)}`, `p95 ${formatSeconds(point.run_p95)}`];
  const wait = point.wait_p50 === null ? [] : [`wait ${formatSeconds(point.wait_p50)}`];
  return [formatStep(activity, point), ...(numbers.length ? numbers : ['nothing ended']), ...times, ...wait].join(' · ');
}

/**
 * Which jobs a chosen time finds, with dates unless they are today's: the bars are of when jobs ended, the search is not.
 * @param {string | null} after @param {string | null} before
 */
export function describeChoice(after, before) {
  const isOneDay = after && before && new Date(after).toDateString() === new Date(before).toDateString();
  const end = before && (isOneDay ? formatClock(before) : formatMoment(before));
  return `submitted ${after ? formatMoment(after) : '…'} to ${end ?? 'now'}`;
}

/** @param {Activity} activity @param {ActivityPoint} point */
export function formatStep(activity, point) {
  const start = Date.parse(point.at);
  return `${formatClock(start)} to ${formatClock(start + activity.step_seconds * 1000)}`;
}

/** Hour and minute on the clock of whoever looks. @param {number | string} moment */
export function formatClock(moment) {
  const date = new Date(moment);
  return [date.getHours(), date.getMinutes()].map((number) => String(number).padStart(2, '0')).join(':');
}

/** The same with the date, unless that is today. @param {string} moment */
const formatMoment = (moment) => formatTime(moment).slice(0, -':00'.length);

/** @param {number | null | undefined} seconds */
export const formatSeconds = (seconds) => (seconds === null || seconds === undefined ? '–' : formatDuration(seconds));

/** @param {number | null | undefined} rate */
export function formatRate(rate) {
  if (!rate) return rate === 0 ? '0' : '–';
  return rate < 0.1 ? '< 0.1' : rate < 100 ? rate.toFixed(1) : formatCount(Math.round(rate));
}

/** @param {number | null | undefined} share of 1 */
export function formatShare(share) {
  if (share === null || share === undefined) return '–';
  if (share > 0 && share < 0.001) return '< 0.1 %';
  // 99.96 % is not all: a share is rounded away from 0 and 100 %.
  return share === 0 || share === 1 ? `${share * 100} %` : `${Math.min(99.9, share * 100).toFixed(1)} %`;
}

/** @param {number} number */
const round = (number) => Math.round(number * 10) / 10;
/** @param {number} milliseconds */
const toIso = (milliseconds) => new Date(milliseconds).toISOString().replace('.000', '');
