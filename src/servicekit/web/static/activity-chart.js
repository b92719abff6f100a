// @ts-check
/**
 * `<activity-chart>`: what the service has done in the last minutes, as stacked bars by final state with the numbers that
 * matter, and as a table. It is read again when jobs change, at most every 5 seconds.
 *
 * Dragging over it, or Shift with the arrow keys, chooses a time, to find the jobs that were submitted then: the event
 * `servicekit:range` has `{after, before}`, both `null` when the choice is taken back. Whoever listens shows the choice
 * by the attributes `after` and `before`. The attributes `name` and `queue` narrow the chart to those jobs; `note` is
 * said beside the time, of what it does not follow.
 *
 * @typedef {import('./types.js').Activity} Activity
 * @typedef {import('./types.js').PageContext} PageContext
 */

import {
  HEIGHT, STACK, describeChoice, describePoint, describeTotal, drawBars, formatClock, formatSeconds, formatStep, pointsOf,
  rangeOf, tallest,
} from './activity.js';
import { ApiError, adoptStyle, announce, formatCount, h, replace, setText } from './kit.js';
import { Fresh, isAborted } from './page-parts.js';

const LEAST_SECONDS = 5;
// Time goes on without changes too: the chart moves on as long as there is something in it.
const IDLE_SECONDS = 60;
const RANGES = /** @type {const} */ ([[15, 'last 15 min'], [60, 'last hour'], [120, 'last 2 hours']]);
const COLUMNS = ['Time', 'Submitted', 'Completed', 'Failed', 'Canceled', 'Wait p50', 'Wait p95', 'Run p50', 'Run p95'];

export class ActivityChart extends HTMLElement {
  static observedAttributes = ['minutes', 'name', 'queue', 'after', 'before', 'note'];

  /** @type {PageContext | null} what pages are shown with; it is set before the chart is added to a page */
  context = null;
  /** @type {Activity | null} */
  #activity = null;
  /** @type {Fresh | null} */
  #fresh = null;
  /** @type {(() => void) | undefined} */
  #forgetKey;
  #cursor = -1;
  #anchor = -1;
  #isDragging = false;
  #parts = this.#build();

  connectedCallback() {
    if (!this.context) return;
    if (!this.firstChild) this.append(...this.#parts.all);
    /** @type {HTMLSelectElement} */ (this.#parts.select).value = String(this.#minutes);
    this.#begin();
    this.#forgetKey = this.context.keys?.add('t', 'Chart as a table, and back', () => this.#toggleTable());
  }

  disconnectedCallback() {
    this.#fresh?.close();
    this.#fresh = null;
    this.#forgetKey?.();
  }

  /** @param {string} name @param {string | null} before @param {string | null} now */
  attributeChangedCallback(name, before, now) {
    if (before === now) return;
    if (name === 'after' || name === 'before') this.#renderChoice();
    else if (name === 'note') this.#renderCursor();
    else if (this.#fresh) this.#begin();
  }

  /** Read what is asked now. An answer to what was asked before is not waited for, and never shown. */
  #begin() {
    this.#fresh?.close();
    const context = /** @type {PageContext} */ (this.context);
    this.#fresh = new Fresh(context, (signal) => this.#read(signal), { leastSeconds: LEAST_SECONDS, idleSeconds: IDLE_SECONDS });
    void this.#fresh.now();
  }

  get #minutes() {
    return Number(this.getAttribute('minutes') ?? RANGES[1][0]);
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const { api, service } = /** @type {PageContext} */ (this.context);
    const wanted = { minutes: this.#minutes, name: this.getAttribute('name'), queue: this.getAttribute('queue') };
    const params = Object.entries(wanted).flatMap(([key, value]) => (value ? [[key, String(value)]] : []));
    try {
      this.#activity = await api.get(`${service.paths.jobs}/$activity`, Object.fromEntries(params), { signal });
      this.classList.remove('stale');
      this.#render();
    } catch (error) {
      if (isAborted(error)) return;
      this.classList.add('stale');
      // Not for this caller, or a service that has no such route: the list is whole without it.
      if (error instanceof ApiError && [403, 404].includes(error.status)) this.hidden = true;
    }
  }

  #build() {
    const select = h('select', { 'aria-label': 'Time of the chart', on: { change: () => this.#chooseMinutes() } },
      RANGES.map(([minutes, word]) => h('option', { value: String(minutes) }, word)));
    const bars = Object.fromEntries(STACK.map((state) => [state, draw('path', { class: `chart-${state}` })]));
    const chosen = draw('rect', { class: 'chart-chosen', y: '0', height: String(HEIGHT) });
    const cursor = draw('rect', { class: 'chart-cursor', y: '0', height: String(HEIGHT), width: '1' });
    const svg = draw('svg', { preserveAspectRatio: 'none', 'aria-hidden': 'true' }, chosen, cursor, ...Object.values(bars));
    const plot = this.#buildPlot(svg);
    const readout = h('p', { class: 'chart-readout' });
    const clear = h('button', { class: 'chart-clear', hidden: true, on: { click: () => this.#choose(null) } });
    const numbers = h('dl', { class: 'chart-numbers' });
    const button = h('button', { class: 'chart-as-table', 'aria-expanded': 'false', title: 'The same as a table (t)', on: { click: () => this.#toggleTable() } }, 'Table');
    const table = h('div', { class: 'chart-table', role: 'region', 'aria-label': 'Activity as a table', tabindex: '0', hidden: true });
    const strip = h('div', { class: 'chart-strip' }, h('div', { class: 'chart-side' }, select, clear), h('div', { class: 'chart-middle' }, plot, readout), numbers, button);
    return { all: [strip, table], select, bars, chosen, cursor, svg, plot, readout, clear, numbers, button, table };
  }

  /** @param {SVGElement} svg */
  #buildPlot(svg) {
    const plot = h('div', { class: 'chart-plot', role: 'slider', tabindex: '0', 'aria-label': 'Jobs that ended, over time', 'aria-valuemin': '0', 'aria-valuenow': '0' }, svg);
    plot.title = 'Drag to find the jobs submitted in a time. Keys: arrows, with Shift for more, Enter to find them, Escape for all';
    plot.addEventListener('pointerdown', (event) => this.#startDrag(event));
    plot.addEventListener('pointermove', (event) => this.#point(this.#pointAt(event), this.#isDragging));
    plot.addEventListener('pointerup', () => this.#endDrag());
    plot.addEventListener('pointercancel', () => this.#leave());
    plot.addEventListener('pointerleave', () => !this.#isDragging && this.#leave());
    plot.addEventListener('keydown', (event) => this.#press(event));
    plot.addEventListener('blur', () => this.#leave());
    return plot;
  }

  #render() {
    const activity = /** @type {Activity} */ (this.#activity);
    const { bars, svg, numbers, plot, table } = this.#parts;
    svg.setAttribute('viewBox', `0 0 ${activity.points.length} ${HEIGHT}`);
    for (const [state, path] of Object.entries(drawBars(activity.points))) bars[state]?.setAttribute('d', path);
    plot.setAttribute('aria-valuemax', String(Math.max(0, activity.points.length - 1)));
    renderNumbers(numbers, activity);
    if (!table.hidden) replace(table, makeTable(activity));
    this.#renderChoice();
    this.#renderCursor();
  }

  #renderChoice() {
    const { chosen, clear } = this.#parts;
    const [after, before] = [this.getAttribute('after'), this.getAttribute('before')];
    const choice = this.#anchor >= 0 ? { first: Math.min(this.#anchor, this.#cursor), last: Math.max(this.#anchor, this.#cursor) }
      : this.#activity && pointsOf(this.#activity, after, before);
    chosen.setAttribute('x', String(choice?.first ?? 0));
    chosen.setAttribute('width', String(choice ? choice.last - choice.first + 1 : 0));
    clear.hidden = !after && !before;
    setText(clear, `× ${describeChoice(after, before)}`);
    clear.setAttribute('aria-label', 'Show all times again');
  }

  #renderCursor() {
    const { cursor, readout, plot } = this.#parts;
    const activity = this.#activity;
    if (!activity) return;
    const point = activity.points[this.#cursor];
    cursor.setAttribute('x', String(this.#cursor));
    cursor.classList.toggle('shown', Boolean(point));
    const text = point ? this.#describeMarked(activity, point) : describeAxis(activity, this.getAttribute('note'));
    setText(readout, text);
    plot.setAttribute('aria-valuenow', String(Math.max(0, this.#cursor)));
    plot.setAttribute('aria-valuetext', text);
  }

  /** @param {Activity} activity @param {import('./types.js').ActivityPoint} point */
  #describeMarked(activity, point) {
    const range = this.#anchor < 0 || this.#anchor === this.#cursor ? null : rangeOf(activity, this.#anchor, this.#cursor);
    return range ? describeChoice(range.after, range.before) : describePoint(activity, point);
  }

  /** @param {number} index @param {boolean} isMore whether the choice goes on to here */
  #point(index, isMore) {
    if (!this.#activity?.points.length) return;
    const before = this.#cursor;
    this.#cursor = Math.max(0, Math.min(this.#activity.points.length - 1, index));
    if (!isMore) this.#anchor = -1;
    else if (this.#anchor < 0) this.#anchor = before < 0 ? this.#cursor : before;
    this.#renderCursor();
    this.#renderChoice();
  }

  /** @param {PointerEvent} event */
  #pointAt(event) {
    const box = this.#parts.plot.getBoundingClientRect();
    return Math.floor(((event.clientX - box.left) / box.width) * (this.#activity?.points.length ?? 0));
  }

  /** @param {PointerEvent} event */
  #startDrag(event) {
    if (event.button !== 0) return;
    this.#isDragging = true;
    this.#parts.plot.setPointerCapture(event.pointerId);
    this.#cursor = -1;
    this.#point(this.#pointAt(event), true);
  }

  #endDrag() {
    if (!this.#isDragging) return;
    this.#isDragging = false;
    this.#chooseMarked();
  }

  #leave() {
    this.#isDragging = false;
    this.#cursor = this.#anchor = -1;
    this.#renderCursor();
    this.#renderChoice();
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const count = this.#activity?.points.length ?? 0;
    const at = this.#cursor < 0 ? count - 1 : this.#cursor;
    const moves = /** @type {Record<string, number>} */ ({ ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: count - 1 });
    const move = moves[event.key];
    if (move !== undefined) this.#point(this.#cursor < 0 && event.key.startsWith('Arrow') ? at : move, event.shiftKey);
    else if (event.key === 'Enter' && this.#cursor >= 0) this.#chooseMarked();
    else if (event.key === 'Escape' && (this.#cursor >= 0 || !this.#parts.clear.hidden)) this.#takeBack();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  #takeBack() {
    const isOnlyMarked = this.#anchor >= 0;
    this.#leave();
    if (!isOnlyMarked) this.#choose(null);
  }

  #chooseMarked() {
    const range = this.#activity && rangeOf(this.#activity, this.#anchor < 0 ? this.#cursor : this.#anchor, this.#cursor);
    this.#anchor = -1;
    if (range) this.#choose(range);
  }

  /** @param {{after: string, before: string} | null} range */
  #choose(range) {
    const detail = range ?? { after: null, before: null };
    announce(range ? `Jobs ${describeChoice(range.after, range.before)}` : 'Jobs of all times');
    this.dispatchEvent(new CustomEvent('servicekit:range', { bubbles: true, detail }));
  }

  #chooseMinutes() {
    this.setAttribute('minutes', /** @type {HTMLSelectElement} */ (this.#parts.select).value);
  }

  #toggleTable() {
    const { table, button } = this.#parts;
    table.hidden = !table.hidden;
    button.setAttribute('aria-expanded', String(!table.hidden));
    if (!table.hidden && this.#activity) replace(table, makeTable(this.#activity));
  }
}

/** @param {string} tag @param {Record<string, string>} attributes @param {...SVGElement} children */
function draw(tag, attributes, ...children) {
  const element = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** @param {Activity} activity @param {string | null} note */
function describeAxis(activity, note) {
  const most = tallest(activity.points);
  const step = activity.step_seconds === 60 ? 'a minute' : `${activity.step_seconds} s`;
  return `${formatClock(activity.from)} to ${formatClock(activity.to)} · at most ${formatCount(most)} in ${step}${note ? ` · ${note}` : ''}`;
}

/** @param {HTMLElement} list @param {Activity} activity */
function renderNumbers(list, activity) {
  const numbers = describeTotal(activity.total);
  if (list.childElementCount !== numbers.length) replace(list, ...numbers.map(() => h('div', {}, h('dt', {}), h('dd', {}))));
  numbers.forEach(({ word, value, title, isBad }, index) => {
    const part = /** @type {HTMLElement} */ (list.children[index]);
    part.title = title;
    part.classList.toggle('bad', Boolean(isBad));
    setText(/** @type {Element} */ (part.children[0]), word);
    setText(/** @type {Element} */ (part.children[1]), value);
  });
}

/** The newest first. @param {Activity} activity */
function makeTable(activity) {
  const head = h('tr', {}, COLUMNS.map((name) => h('th', { scope: 'col' }, name)));
  const rows = activity.points.toReversed().map((point) => h('tr', {},
    h('th', { scope: 'row' }, formatStep(activity, point)),
    [point.submitted, point.completed, point.failed, point.canceled].map((count) => h('td', {}, formatCount(count))),
    [point.wait_p50, point.wait_p95, point.run_p50, point.run_p95].map((seconds) => h('td', {}, formatSeconds(seconds)))));
  return h('table', {}, h('thead', {}, head), h('tbody', {}, rows));
}

adoptStyle(`
  activity-chart { display: block; background: var(--paper); }
  activity-chart[hidden] { display: none; }
  activity-chart.stale .chart-plot, activity-chart.stale .chart-numbers { opacity: .5; }
  .chart-strip { display: flex; align-items: center; gap: 16px; min-height: 76px; padding: 8px 12px; }
  .chart-side { display: grid; gap: 4px; justify-items: start; }
  .chart-middle { flex: 1; min-width: 0; }
  .chart-plot { height: 40px; cursor: crosshair; touch-action: pan-y; border-bottom: 1px solid var(--line); }
  .chart-plot svg { display: block; width: 100%; height: 100%; }
  .chart-completed { fill: var(--completed); opacity: .75; }
  .chart-failed { fill: var(--failed); }
  .chart-canceled { fill: var(--canceled); }
  .chart-chosen { fill: var(--accent); opacity: .18; }
  .chart-cursor { fill: var(--ink); opacity: 0; }
  .chart-cursor.shown { opacity: .12; }
  .chart-readout { margin: 2px 0 0; font-size: 11px; line-height: 16px; color: var(--quiet); white-space: nowrap; overflow: hidden; text-overflow: ellipsis; font-variant-numeric: tabular-nums; }
  .chart-numbers { display: flex; gap: 16px; margin: 0; font-variant-numeric: tabular-nums; }
  .chart-numbers > div { display: flex; flex-direction: column-reverse; }
  .chart-numbers dt { font-size: 11px; line-height: 16px; color: var(--quiet); white-space: nowrap; }
  .chart-numbers dd { margin: 0; font-weight: 600; white-space: nowrap; }
  .chart-numbers .bad dd { color: var(--failed); }
  .chart-table { max-height: 280px; overflow: auto; border-top: 1px solid var(--line); }
  .chart-table table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
  .chart-table th, .chart-table td { padding: 2px 12px; text-align: right; font-weight: 400; white-space: nowrap; }
  .chart-table th:first-child { text-align: left; }
  .chart-table tbody th { font-size: 13px; letter-spacing: 0; text-transform: none; color: var(--ink); }
  .chart-table thead th { position: sticky; top: 0; background: var(--paper); color: var(--quiet); }
  @media (max-width: 720px) {
    .chart-strip { flex-wrap: wrap; gap: 4px 12px; min-height: 0; padding: 6px 12px; }
    .chart-middle { flex-basis: 100%; order: -1; }
    .chart-plot { height: 28px; }
    .chart-readout, .chart-as-table, .chart-side select { display: none; }
    .chart-numbers { flex: 1 1 100%; order: -2; justify-content: space-between; gap: 8px; }
    .chart-numbers > div { flex-direction: row; align-items: baseline; gap: 4px; }
    .chart-numbers > div:nth-child(3) { display: none; }
    .chart-side:not(:has(.chart-clear:not([hidden]))) { display: none; }
  }
  @media print { .chart-as-table, .chart-side { display: none; } }
`);

customElements.define('activity-chart', ActivityChart);
