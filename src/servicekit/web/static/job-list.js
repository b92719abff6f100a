// @ts-check
/**
 * `<job-list>`: the table of jobs, live. The list page is made of it, and pages of others use it:
 *
 *     <job-list src="/api/v1/jobs" query="status:running" limit="20" href="/jobs/"></job-list>
 *
 * The first rows need nothing but this module. What keeps them live and lets them be searched and marked is loaded after
 * that. Only the rows in sight are in the document, however many there are; each is made once and filled anew.
 */

import {
  Api, ApiError, adoptStyle, describeLoss, dispatch, formatAge, formatDuration, formatTime, h, replace, secondsRemaining, secondsRun,
  serverNow, setAttribute, setStateMark, setText, shareOf, stateMark, visible,
} from './kit.js';
import { lazy } from './kit.js';

/** @import { Live } from './live.js' */
/** @import { JobRecord, LiveEvent, Page, PageContext, Service } from './types.js' */
/** @import { Query } from './query.js' */
/** @import { Calls } from './job-calls.js' */
/** @import { Follower } from './list-follower.js' */
/** @import { ListInput } from './list-input.js' */
/** @import { Signs } from './list-signs.js' */
/** @import { Departure, RowModel } from './row-model.js' */
/** @import { Selection } from './selection.js' */

/**
 * What the table reads of its rows.
 * @typedef {Pick<RowModel, 'ids' | 'cursor' | 'waitingCount' | 'isOverflowing' | 'isFull' | 'record' | 'departure'>} Rows
 */

/** @typedef {{api: Api, live: Live, service: Service | null, jobs: string}} Source Where jobs come from; `jobs` is the list's path. */

const loadLive = lazy(() => import('./live.js'));
const loadQuery = lazy(() => import('./query.js'));
const loadRest = lazy(() => Promise.all([
  import('./list-follower.js'), import('./list-signs.js'), import('./list-input.js'), import('./job-calls.js'),
]));
const loadListPage = lazy(() => import('./list-page.js'));

const PAGE_SIZE = 50;
const SPARE_ROWS = 6; // rows beyond the edge, so that scrolling shows no gaps
const MOST_PRINTED = 500;
const JUDGE_MILLISECONDS = 60_000; // a search like `after:15m` means another time by then
const MOST_AT_ONCE = 1_000; // that the service gives
const MOST_READ = 5_000; // rows, until the list is where it was

// ---- Texts of a row ----

/**
 * The line of an error that says the most: the last one, with the class that stands in the first.
 * @param {string} error
 */
function lastLine(error) {
  const lines = error.slice(0, 20_000).split(/[\r\n]+/).filter((line) => line.trim());
  const last = lines.at(-1)?.trim() ?? '';
  const kind = /^[\w.]+(?=:)/.exec(lines[0] ?? '')?.[0];
  return lines.length > 1 && kind && !last.startsWith(kind) ? `${kind}: ${last}` : last;
}

/** @param {number} share */
function percent(share) {
  return `${Math.floor(share * 100)} %`;
}

const compact = new Intl.NumberFormat('en', { notation: 'compact', maximumFractionDigits: 1 });

/**
 * What stands beside the name: a text, its title, and how it is drawn.
 * @param {JobRecord} record
 * @returns {{kind: 'error' | 'text' | 'bar', text: string, title?: string, share?: number | null}}
 */
export function outcomeOf(record) {
  const { status, progress, error, attempt } = record;
  const again = attempt > 1 ? `attempt ${attempt}` : '';
  if (status === 'failed') {
    const text = [visible(lastLine(error ?? 'failed')), again].filter(Boolean).join(' · ');
    return { kind: 'error', text, title: visible(error ?? '', 2_000) };
  }
  const share = shareOf(record);
  if (status === 'running' && record.cancel_requested_at) return { kind: 'text', text: 'asked to stop…' };
  if (status === 'running' && progress) {
    const amount = share === null ? compact.format(progress.done) : percent(share);
    const text = [amount, visible(progress.message ?? '', 120).replace(/^""$/, ''), again].filter(Boolean).join(' · ');
    return { kind: 'bar', share, text, title: `${progress.done}${progress.total ? ` of ${progress.total}` : ''}` };
  }
  if (status === 'canceled') return { kind: 'text', text: share === null ? '' : `canceled at ${percent(share)}` };
  if (status === 'completed') return { kind: 'text', text: hintOf(record) };
  if (status === 'pending' && record.scheduled_at) {
    return { kind: 'text', text: `${record.attempt ? 'tries again' : 'starts'} at ${formatTime(record.scheduled_at)}` };
  }
  return { kind: 'text', text: again };
}

/** @param {JobRecord} record What a completed job has left. */
function hintOf({ artifact_id: artifact, progress }) {
  if (artifact) return `→ artifact ${artifact.slice(0, 6)}…`;
  return progress?.message ? `→ ${visible(progress.message, 120)}` : '';
}

// ---- One row ----

/**
 * What a row shows besides the record.
 * @typedef {object} Surroundings
 * @property {string | undefined} call `train(model='xgb')`, when it is known
 * @property {Departure | null} departure
 * @property {boolean} isSelected
 * @property {number} index its place among all rows
 * @property {string | null} href
 */

/** A row of the table: made once, and filled with one job after the other. */
class Row {
  id = '';
  /** @type {JobRecord | null} */
  #record = null;
  #key = '';
  #check = h('input', { type: 'checkbox' });
  #mark = stateMark('pending');
  #name = h('span', { class: 'name' });
  #arguments = h('span', { class: 'arguments' });
  #link = h('a', { class: 'call', dir: 'auto' }, this.#name, this.#arguments);
  #copy = h('button', { class: 'copy', type: 'button', tabindex: '-1' }, 'copy id');
  #fill = h('div', { class: 'fill' });
  #bar = h('div', { class: 'bar' }, this.#fill);
  #text = h('span', { class: 'text', dir: 'auto' });
  #outcome = h('td', { class: 'c-outcome', role: 'cell' }, this.#bar, this.#text);
  #elapsed = h('span', { class: 'elapsed' });
  #remaining = h('span', { class: 'remaining' });
  #age = h('time', {});
  #queue = h('td', { class: 'c-queue', role: 'cell' });
  #owner = h('td', { class: 'c-owner', role: 'cell' });

  constructor() {
    this.element = h('tr', { class: 'job', role: 'row' },
      h('td', { class: 'c-check', role: 'cell' }, h('label', {}, this.#check)),
      h('td', { class: 'c-state', role: 'cell' }, this.#mark),
      h('td', { class: 'c-job', role: 'cell' }, h('div', {}, this.#link, this.#copy)),
      this.#outcome,
      h('td', { class: 'c-time', role: 'cell' }, this.#elapsed, this.#remaining),
      h('td', { class: 'c-age', role: 'cell' }, this.#age),
      this.#queue,
      this.#owner);
  }

  focus() {
    this.#link.focus({ preventScroll: true });
  }

  /** @param {JobRecord} record @param {Surroundings} surroundings */
  show(record, surroundings) {
    const { call, departure, isSelected, index, href } = surroundings;
    const key = `${record.id} ${record.version} ${record.status} ${departure} ${isSelected} ${index} ${href} ${call}`;
    if (key === this.#key && record === this.#record) return;
    if (record.id !== this.id) this.#begin(record, href);
    this.#key = key;
    if (record !== this.#record) this.#showRecord(record);
    this.#record = record;
    this.#showName(record, call);
    this.#check.checked = isSelected;
    setAttribute(this.element, 'aria-rowindex', index + 2);
    setAttribute(this.element, 'data-selected', isSelected);
    setAttribute(this.element, 'data-departure', departure);
    this.tick(serverNow());
  }

  /** Show how late it is. @param {Date} now */
  tick(now) {
    if (!this.#record) return;
    const remaining = secondsRemaining(this.#record, now);
    setText(this.#elapsed, formatDuration(secondsRun(this.#record, now)));
    setText(this.#remaining, remaining === null || remaining < 0.5 ? '' : `~${formatDuration(Math.ceil(remaining))}`);
    setText(this.#age, formatAge(this.#record.submitted_at));
  }

  /** @param {JobRecord} record @param {string | null} href */
  #begin(record, href) {
    this.id = record.id;
    this.element.dataset.id = record.id;
    setAttribute(this.#link, 'href', href);
    setAttribute(this.#copy, 'title', `Copy the id ${record.id}`);
    setAttribute(this.#copy, 'aria-label', 'Copy the id');
    setAttribute(this.#age, 'datetime', record.submitted_at);
    setAttribute(this.#age, 'title', `submitted ${formatTime(record.submitted_at)}`);
    // A row that shows another job must not glide from the bar of the job before.
    this.#fill.style.setProperty('transition', 'none');
  }

  /** @param {JobRecord} record */
  #showRecord(record) {
    if (this.element.dataset.state !== record.status) {
      this.element.dataset.state = record.status;
      setStateMark(this.#mark, record.status);
    }
    this.#showOutcome(outcomeOf(record));
    showText(this.#queue, visible(record.queue));
    showText(this.#owner, record.owner === null ? '' : visible(record.owner));
  }

  /** @param {JobRecord} record @param {string | undefined} call */
  #showName(record, call) {
    const name = visible(record.name);
    // `train(model='xgb')`, a command's `ffmpeg -i in.mp4`, or a task's `backup: pg_dump shop`.
    const isNamed = call?.startsWith(record.name) && '(: '.includes(call[record.name.length] || '-');
    const rest = call && isNamed ? visible(call.slice(record.name.length), Infinity) : '';
    const text = name + rest;
    setText(this.#name, name);
    setText(this.#arguments, rest);
    setAttribute(this.#link, 'title', text);
    setAttribute(this.#check, 'aria-label', `Select ${text}`);
  }

  /** @param {ReturnType<typeof outcomeOf>} outcome */
  #showOutcome({ kind, text, title, share }) {
    this.#outcome.dataset.kind = kind;
    setText(this.#text, text);
    setAttribute(this.#text, 'title', title ?? (text || null));
    this.#bar.hidden = kind !== 'bar';
    if (kind !== 'bar') {
      for (const name of ['role', 'aria-label', 'aria-valuenow', 'aria-valuemin', 'aria-valuemax']) this.#bar.removeAttribute(name);
      return;
    }
    const isKnown = typeof share === 'number';
    setAttribute(this.#bar, 'role', 'progressbar');
    setAttribute(this.#bar, 'aria-label', 'Progress');
    setAttribute(this.#bar, 'data-unknown', !isKnown);
    for (const [name, value] of /** @type {const} */ ([['now', Math.floor((share ?? 0) * 100)], ['min', 0], ['max', 100]])) {
      setAttribute(this.#bar, `aria-value${name}`, isKnown ? value : null);
    }
    this.#fill.style.setProperty('transform', `scaleX(${isKnown ? share : 1})`);
    if (this.#record?.id === this.id) this.#fill.style.removeProperty('transition');
  }
}

/** @param {HTMLElement} cell @param {string} text */
function showText(cell, text) {
  setText(cell, text);
  setAttribute(cell, 'title', text || null);
}

// ---- The rows in sight ----

/** Keeps only those rows in the document that can be seen. All rows have the same height. */
class RowWindow {
  body = h('tbody', { role: 'rowgroup' });
  /** @type {Map<string, Row>} */
  shown = new Map();
  /** Of one row. */
  height = 28;
  /** Of what can be seen at once. */
  #space = 0;
  #isMeasured = false;
  /** @type {Row[]} */
  #spare = [];
  #canvas;
  #scroller;

  /** @param {HTMLElement} scroller @param {HTMLElement} canvas What is as high as all rows together. */
  constructor(scroller, canvas) {
    this.#scroller = scroller;
    this.#canvas = canvas;
  }

  /** Where the rows in sight begin and end. @param {number} length How many rows there are. @returns {[number, number]} */
  span(length) {
    const first = Math.floor(this.#scroller.scrollTop / this.height);
    const count = Math.ceil(this.#space / this.height);
    return [Math.max(0, Math.min(first - SPARE_ROWS, length)), Math.min(length, first + count + SPARE_ROWS)];
  }

  /**
   * @param {string[]} ids All rows.
   * @param {[number, number]} span
   * @param {(row: Row, id: string, index: number) => void} fill
   */
  draw(ids, [start, end], fill) {
    this.#place(ids.slice(start, end), (row, id, offset) => fill(row, id, start + offset));
    if (!this.#isMeasured) this.measure();
    this.#canvas.style.setProperty('padding-top', `${start * this.height}px`);
    this.#canvas.style.setProperty('padding-bottom', `${(ids.length - end) * this.height}px`);
  }

  /** Scroll no further than is needed to see a row. @param {number} index @param {number} head The height of the table's head. */
  reveal(index, head) {
    const top = index * this.height;
    const lowest = top - (this.#scroller.clientHeight - head - this.height);
    if (top < this.#scroller.scrollTop) this.#scroller.scrollTop = top;
    else if (lowest > this.#scroller.scrollTop) this.#scroller.scrollTop = lowest;
  }

  /** @param {string[]} ids @param {(row: Row, id: string, offset: number) => void} fill */
  #place(ids, fill) {
    const leaving = this.#findLeaving(new Set(ids));
    for (const row of leaving) this.#let(row);
    // What stays is in the right order already, so a row that has the focus is never moved, and does not lose it. A row
    // that leaves is filled anew, in its place if that is where one is needed: to move elements is what costs most.
    let next = this.body.firstElementChild;
    for (const [offset, id] of ids.entries()) {
      const known = this.shown.get(id);
      const row = known ?? takeRow(leaving, next) ?? this.#spare.pop() ?? new Row();
      this.shown.set(id, row);
      fill(row, id, offset);
      if (known) while (next && next !== row.element) next = next.nextElementSibling;
      if (row.element === next) next = next.nextElementSibling;
      else this.body.insertBefore(row.element, next);
    }
    for (const row of leaving) this.#put(row);
  }

  /**
   * The rows that are to show another job. To move a row costs a layout of all its cells: if most are to show another
   * job, all of them do, each in its place, but for the one that has the focus.
   * @param {Set<string>} wanted
   */
  #findLeaving(wanted) {
    const rows = [...this.shown.values()];
    const leaving = rows.filter((row) => !wanted.has(row.id));
    if (leaving.length * 2 <= rows.length) return leaving;
    return rows.filter((row) => !wanted.has(row.id) || !row.element.contains(document.activeElement));
  }

  /** A row shows its job no more. @param {Row} row */
  #let(row) {
    this.shown.delete(row.id);
    if (row.element.contains(document.activeElement)) this.#scroller.focus({ preventScroll: true });
  }

  /** Take a row out, and keep it for another job. @param {Row} row */
  #put(row) {
    row.element.remove();
    if (this.#spare.length < PAGE_SIZE) this.#spare.push(row);
  }

  /** Learn the sizes, when they may have changed: to ask for them with each change would cost a layout. */
  measure() {
    const { height } = this.body.firstElementChild?.getBoundingClientRect() ?? { height: 0 };
    this.#space = this.#scroller.clientHeight;
    this.#isMeasured = height > 0;
    if (height) this.height = height;
  }
}

/** One of these rows: the one that stands there already, if it is among them. @param {Row[]} rows @param {Element | null} place */
function takeRow(rows, place) {
  const index = rows.findIndex((row) => row.element === place);
  return rows.splice(index < 0 ? rows.length - 1 : index, 1)[0];
}

// ---- The table ----

const COLUMNS = [
  ['c-state', 'State'], ['c-job', 'Job'], ['c-outcome', 'Progress or outcome'], ['c-time', 'Time'], ['c-age', 'Age'], ['c-queue', 'Queue'],
  ['c-owner', 'Owner'],
];

/** @type {Rows} */
const NO_ROWS = {
  ids: [], cursor: null, waitingCount: 0, isOverflowing: false, isFull: false, record: () => undefined, departure: () => null,
};

/**
 * What the place of the rows tells.
 * @typedef {'reading' | 'rows' | 'none' | 'unmatched' | 'unfound' | 'failed' | 'misread'} Condition
 */

/**
 * Where a person is in the list: at a row, and how far down. Rows that have come since do not change that.
 * @typedef {object} View
 * @property {string | null} currentId
 * @property {string | null} lowestId the last row that has to be read
 * @property {number} count how many rows there were down to it
 * @property {number | null} below how far it stands below the top edge, in pixels; `null` for a list that is not scrolled
 */

export class JobList extends HTMLElement {
  static observedAttributes = ['query', 'src', 'limit'];

  /** Where jobs come from, if a page has that already; else the attribute `src` says it. @type {Source | null} */
  source = null;
  /** The key that a page of others sends, if the service asks for one: a property, set before the element is in the page. */
  apiKey = '';
  /** What the search means; `null` for all jobs. @type {Query | null} */
  query = null;
  /** Which rows are marked; `null` where none can be. @type {Selection | null} */
  selection = null;
  /** @type {Rows} */
  rows = NO_ROWS;
  /** The row that has the focus, or had it last. @type {string | null} */
  currentId = null;
  /** Why there are no rows, if something is wrong. */
  problem = '';
  /** Where it begins, if that is not the top. @type {View | null} */
  start = null;

  /** @type {Follower | null} What keeps the rows live. */
  #follower = null;
  /** @type {Signs | null} */
  #signs = null;
  /** @type {ListInput | null} What a person does with the rows. */
  #input = null;
  /** @type {Calls | null} */
  #calls = null;
  /** @type {Exclude<LiveEvent, {type: 'state'}>[]} What the stream has brought before that could be taken. */
  #early = [];
  /** Changes may have been missed while the list was read. */
  #hasMissed = false;
  /** @type {'reading' | 'read' | 'failed' | 'misread'} */
  #state = 'reading';
  /** @type {Set<string>} Why rows must not move. */
  #holds = new Set();
  #request = new AbortController();
  #retries = 0;
  #retryTimer = 0;
  #frame = 0;
  #clock = 0;
  #judging = 0;
  #isPrinting = false;
  #isStill = false;
  /** @type {(() => void)[]} */
  #ends = [];

  #all = h('input', { type: 'checkbox', 'aria-label': 'Select all rows' });
  #canvas = h('div', { class: 'canvas' });
  #foot = h('div', { class: 'foot' });
  #notice = h('div', { class: 'notice' });
  #scroller = h('div', { class: 'scroller', tabindex: '-1' }, this.#canvas, this.#foot, this.#notice);
  #window = new RowWindow(this.#scroller, this.#canvas);
  #head = h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' },
    h('th', { class: 'c-check', role: 'columnheader' }, h('label', {}, this.#all)),
    COLUMNS.map(([name, word]) => h('th', { class: name, role: 'columnheader', scope: 'col' }, word))));
  #table = h('table', { role: 'table', 'aria-label': 'Jobs' }, this.#head, this.#window.body);
  #lost = h('p', { class: 'lost', role: 'status', hidden: true });
  #pill = h('button', { class: 'pill', type: 'button', hidden: true, on: { click: () => this.showNew() } });

  connectedCallback() {
    this.#canvas.append(this.#table);
    this.append(this.#scroller, this.#lost, this.#pill);
    this.#listen();
    this.#clock = window.setInterval(() => this.#tick(), 1_000);
    this.#judging = window.setInterval(() => this.#isStill || this.#follower?.judge(), JUDGE_MILLISECONDS);
    void this.#begin();
  }

  disconnectedCallback() {
    this.#request.abort();
    cancelAnimationFrame(this.#frame);
    this.#frame = 0;
    clearTimeout(this.#retryTimer);
    clearInterval(this.#clock);
    clearInterval(this.#judging);
    for (const end of this.#ends.splice(0)) end();
    this.#input?.end();
    [this.#follower, this.#signs, this.#input, this.#calls, this.#early] = [null, null, null, null, []];
    this.#state = 'reading';
    this.rows = NO_ROWS;
  }

  /** @param {string} name @param {string | null} before @param {string | null} after */
  attributeChangedCallback(name, before, after) {
    if (!this.isConnected || before === after) return;
    this.selection?.clear();
    this.start = null;
    if (name === 'query') return void this.read();
    this.replaceChildren();
    this.disconnectedCallback();
    if (name === 'src') this.source = null;
    this.connectedCallback();
  }

  // ---- What pages do with it ----

  /** The most rows; `null`: all of them, read as they are scrolled to. */
  get limit() {
    return Math.min(1_000, Math.max(0, Math.floor(Number(this.getAttribute('limit')) || 0))) || null;
  }

  /** @returns {View} */
  get view() {
    const { ids } = this.rows;
    const { scrollTop, clientHeight } = this.#scroller;
    const { height } = this.#window;
    const last = Math.min(ids.length, Math.ceil((scrollTop + clientHeight) / height)) - 1;
    const isScrolled = scrollTop > 2;
    const lowestId = (isScrolled && ids[last]) || this.currentId;
    return { currentId: this.currentId, lowestId, count: last + 1, below: isScrolled ? last * height - scrollTop : null };
  }

  /** Whether rows must stay where they are. */
  get isHeld() {
    return this.#holds.size > 0;
  }

  /** Let rows stay where they are for a reason, or for this reason no more. @param {string} reason @param {boolean} isOn */
  hold(reason, isOn) {
    if (this.#holds.has(reason) === isOn) return;
    if (isOn) this.#holds.add(reason);
    else this.#holds.delete(reason);
    if (this.rows !== NO_ROWS) this.#follower?.settle();
  }

  /** Show the jobs that wait. */
  showNew() {
    this.#scroller.scrollTop = 0;
    this.#follower?.showNew();
  }

  /** The job in words: its call, or its name, or at least its id. @param {string} id */
  callOf(id) {
    return this.#calls?.get(id) ?? this.rows.record(id)?.name ?? id;
  }

  /** Go to the row that is so many below the present one. @param {number} step */
  move(step) {
    const { ids } = this.rows;
    const at = this.currentId === null ? -1 : ids.indexOf(this.currentId);
    const first = Math.round(this.#scroller.scrollTop / this.#window.height);
    this.focusRow(ids[Math.max(0, Math.min(ids.length - 1, at < 0 ? first : at + step))] ?? null);
  }

  /** @param {string | null} id */
  focusRow(id) {
    const index = id === null ? -1 : this.rows.ids.indexOf(id);
    if (id === null || index < 0) return;
    this.currentId = id;
    this.#window.reveal(index, this.#head.offsetHeight);
    this.#draw();
    this.#window.shown.get(id)?.focus();
  }

  /** Leave the row that has the focus, and stay near. */
  leaveRow() {
    this.#scroller.focus({ preventScroll: true });
  }

  /** Draw with the next frame. */
  draw() {
    this.#frame ||= requestAnimationFrame(() => {
      this.#frame = 0;
      this.#draw();
    });
  }

  // ---- Reading ----

  async #begin() {
    try {
      this.source ??= await this.#makeSource();
    } catch (error) {
      return this.#fail(error);
    }
    if (!this.isConnected) return;
    const { live, service } = this.source;
    this.#ends.push(live.subscribe((event) => this.#hear(event)));
    if (service === null) this.#ends.push(live.start());
    this.#hearState(live.state, live.since);
    await this.read();
    dispatch(this, 'servicekit:read');
  }

  /** A source of its own, for a page without the dashboard. @returns {Promise<Source>} */
  async #makeSource() {
    const { Live } = await loadLive();
    const jobs = new URL(this.getAttribute('src') ?? '/api/v1/jobs', document.baseURI).href;
    const api = new Api(document.baseURI, { getKey: () => this.apiKey || null });
    const live = new Live(api, /** @type {any} */ ({ paths: { jobs }, access: { owner: null, everything: true } }));
    return { api, live, service: null, jobs };
  }

  /** Read the list from its top. */
  async read() {
    this.#request.abort();
    clearTimeout(this.#retryTimer);
    const { signal } = (this.#request = new AbortController());
    this.#follower?.wait();
    this.toggleAttribute('data-reading', true);
    try {
      if (!(await this.#readQuery(signal))) return;
      const page = await this.#readFirst(signal);
      this.#showFirst(page.records);
      await this.#loadRest();
      signal.throwIfAborted();
      this.#follower?.begin(page.records, page.cursor);
      this.start = null;
      this.#succeed();
      if (this.#hasMissed) await this.readAgain();
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** Read again what is shown, since changes may have been missed. */
  async readAgain() {
    // What is read just now may have been read before that which was missed.
    this.#hasMissed = this.hasAttribute('data-reading');
    if (this.#hasMissed) return;
    if (this.#state === 'failed') return this.read();
    if (this.#state !== 'read' || !this.#follower) return;
    const { signal } = this.#request;
    try {
      await this.#follower.reconcile(signal);
      this.#succeed();
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
  }

  /** The first page, or as many as are needed to begin where it is to begin. @param {AbortSignal} signal */
  async #readFirst(signal) {
    const { count = 0, lowestId = null } = this.start ?? {};
    const limit = this.limit ?? Math.min(MOST_AT_ONCE, Math.max(PAGE_SIZE, count));
    let { records, cursor } = await this.fetch([['limit', String(limit)]], signal);
    while (lowestId !== null && cursor !== null && cursor > lowestId && records.length < MOST_READ) {
      const next = await this.fetch([['limit', String(MOST_AT_ONCE)], ['cursor', cursor]], signal);
      [records, cursor] = [[...records, ...next.records], next.cursor];
    }
    return { records, cursor };
  }

  /** A part of the list. @param {[string, string][]} params @param {AbortSignal} signal */
  async fetch(params, signal) {
    const { api, jobs } = /** @type {Source} */ (this.source);
    const filter = this.query ? (await loadQuery()).toParams(this.query) : [];
    const page = await api.page(jobs, [...filter, ...params], { signal });
    signal.throwIfAborted();
    return { records: /** @type {JobRecord[]} */ (page.items), cursor: page.next?.get('cursor') ?? null };
  }

  /** Whether the search makes sense. @param {AbortSignal} signal */
  async #readQuery(signal) {
    const text = this.getAttribute('query') ?? '';
    const query = text ? (await loadQuery()).parseQuery(text) : null;
    signal.throwIfAborted();
    this.query = query;
    if (!this.query?.problems.length) return true;
    await this.#giveUp('misread', this.query.problems.join(' '));
    return false;
  }

  /** Show rows before they are live: for that, more has to be loaded. @param {JobRecord[]} records */
  #showFirst(records) {
    this.currentId = null;
    this.#scroller.scrollTop = 0;
    if (this.#follower) return;
    const byId = new Map(records.map((record) => [record.id, record]));
    this.rows = { ...NO_ROWS, ids: [...byId.keys()], record: (id) => byId.get(id) };
    this.#draw();
    if (this.start) this.#goTo(this.start);
  }

  /** @param {View} view */
  #goTo({ currentId, lowestId, below }) {
    const index = this.rows.ids.findIndex((id) => lowestId !== null && id <= lowestId); // or what was below it, if it is gone
    if (below !== null && index >= 0) this.#scroller.scrollTop = index * this.#window.height - below;
    this.#draw();
    this.focusRow(currentId);
  }

  /** Load what is needed after the first rows. */
  async #loadRest() {
    const [{ Follower }, { Signs }, { ListInput }, { Calls }] = await loadRest();
    const places = { pill: this.#pill, all: this.#all, table: this.#table, foot: this.#foot, notice: this.#notice };
    this.#signs ??= new Signs(this, places);
    this.#input ??= new ListInput(this, { body: this.#window.body, scroller: this.#scroller, all: this.#all, pill: this.#pill });
    this.#calls ??= new Calls();
    if (this.#follower) return;
    this.#follower = new Follower(this, this.#window);
    for (const event of this.#early.splice(0)) this.#follower.hear(event);
  }

  #succeed() {
    this.#state = 'read';
    this.#retries = 0;
    this.toggleAttribute('data-reading', false);
    this.draw();
  }

  /** @param {unknown} error */
  #fail(error) {
    const isOurs = error instanceof ApiError;
    const isFinal = !isOurs || (error.status >= 400 && error.status < 500 && error.status !== 429);
    this.toggleAttribute('data-reading', false);
    if (isFinal || !this.rows.ids.length) void this.#giveUp('failed', isOurs ? error.detail : String(error));
    else this.#follower?.goOn();
    if (isFinal) return;
    const seconds = Math.min(30, 2 ** this.#retries++);
    this.#retryTimer = window.setTimeout(() => void (this.#state === 'read' ? this.readAgain() : this.read()), seconds * 1_000);
  }

  /** @param {'failed' | 'misread'} state @param {string} problem */
  async #giveUp(state, problem) {
    this.#state = state;
    this.problem = problem;
    this.rows = NO_ROWS;
    this.toggleAttribute('data-reading', false);
    const { signal } = this.#request;
    this.draw();
    await this.#loadRest(); // without the service, there may be nothing to say it with
    if (!signal.aborted) this.#follower?.goOn(); // nothing is read, so nothing has to be kept for its end
    this.draw();
  }

  // ---- The stream ----

  /** @param {LiveEvent} event */
  #hear(event) {
    if (event.type === 'state') this.#hearState(event.state, event.since);
    else if (this.#follower) this.#follower.hear(event);
    else this.#early.push(event);
  }

  /** @param {string} state @param {Date | null} since until when all was known */
  #hearState(state, since) {
    const isLost = state === 'reconnecting' || state === 'offline';
    this.#isStill = state !== 'live' && state !== 'connecting';
    this.toggleAttribute('data-stale', isLost);
    this.#showLoss(isLost ? since : null);
    dispatch(this, 'servicekit:state', { state: state === 'offline' ? 'reconnecting' : state, since: isLost ? since : null });
    if (state === 'live' && this.#state === 'failed') void this.read();
  }

  /** The dashboard says it in its head. @param {Date | null} since */
  #showLoss(since) {
    this.#lost.hidden = since === null || this.source?.service !== null;
    setText(this.#lost, since ? describeLoss(since) : '');
  }

  // ---- Sizes and paper ----

  #listen() {
    const ended = new AbortController();
    for (const type of ['beforeprint', 'afterprint']) addEventListener(type, () => this.#print(type === 'beforeprint'), ended);
    const sizes = new ResizeObserver(() => {
      this.#window.measure();
      this.draw();
    });
    sizes.observe(this.#scroller);
    this.#ends = [() => sizes.disconnect(), () => ended.abort()];
  }

  /** @param {boolean} isPrinting On paper, there are all rows that have been read. */
  #print(isPrinting) {
    this.#isPrinting = isPrinting;
    this.#draw();
  }

  // ---- Drawing ----

  #draw() {
    const { ids } = this.rows;
    const condition = this.#findCondition();
    const span = this.#findSpan(ids.length);
    setAttribute(this, 'data-condition', condition);
    this.#window.draw(ids, span, (row, id, index) => this.#fill(row, id, index));
    const follower = this.#follower;
    if (!follower) return this.#signs?.show(condition, null);
    this.#signs?.show(condition, follower.hasGivenUp ? () => follower.searchOn() : null);
    const isNearEnd = this.limit === null ? ids.length - span[1] < PAGE_SIZE / 2 : ids.length < this.limit;
    if (isNearEnd && this.#state === 'read') void follower.readMore(this.#request.signal);
    if (this.source) void this.#calls?.ask(this.source, [...this.#window.shown.keys()], () => this.draw());
  }

  /** @returns {Condition} */
  #findCondition() {
    if (this.#state === 'failed' || this.#state === 'misread') return this.#state;
    if (this.rows.ids.length) return 'rows';
    if (this.#state === 'reading') return 'reading';
    if (this.rows.cursor !== null) return this.#follower?.hasGivenUp ? 'unfound' : 'reading';
    return this.query?.terms.length || this.query?.words ? 'unmatched' : 'none';
  }

  /** @param {number} length @returns {[number, number]} */
  #findSpan(length) {
    if (this.#isPrinting) return [0, Math.min(length, MOST_PRINTED)];
    return this.limit === null ? this.#window.span(length) : [0, Math.min(length, this.limit)];
  }

  /** @param {Row} row @param {string} id @param {number} index */
  #fill(row, id, index) {
    const record = this.rows.record(id);
    if (!record) return;
    // Who sees only its own jobs needs no column for that.
    if (record.owner !== null && this.source?.service?.access.everything !== false) this.toggleAttribute('data-owners', true);
    const departure = this.rows.departure(id);
    row.show(record, { call: this.#calls?.get(id), departure, isSelected: this.selection?.has(id) ?? false, index, href: this.#hrefOf(id) });
  }

  /** @param {string} id */
  #hrefOf(id) {
    if (this.source?.service) return `./${id}`;
    const page = this.getAttribute('href');
    return page === null ? null : new URL(id, new URL(page.endsWith('/') ? page : `${page}/`, document.baseURI)).href;
  }

  #tick() {
    if (document.hidden || this.#isStill) return;
    const now = serverNow();
    for (const row of this.#window.shown.values()) row.tick(now);
  }
}

// ---- The page ----

/** @param {PageContext} context @returns {Promise<Page>} */
export async function show(context) {
  const { root, api, live, service, setTitle, url } = context;
  const list = new JobList();
  list.source = { api, live, service, jobs: service.paths.jobs };
  list.setAttribute('query', url.searchParams.get('q') ?? '');
  list.start = /** @type {View | null} */ (context.view ?? null);
  list.toggleAttribute('selectable', service.access.may_act);
  const places = {
    filters: h('aside', { class: 'filters', 'aria-label': 'Filters' }),
    chart: h('div', { class: 'chart' }),
    actions: h('div', { class: 'actions', hidden: true }),
  };
  const middle = h('div', { class: 'middle' }, places.chart, list, places.actions);
  setTitle('Jobs');
  replace(root, h('div', { class: 'list-page' }, h('h1', { class: 'unseen' }, 'Jobs'), places.filters, middle));
  await new Promise((resolve) => list.addEventListener('servicekit:read', resolve, { once: true }));
  // Everything around the rows comes after them.
  const furniture = loadListPage().then(({ ListPage }) => (context.signal.aborted ? null : new ListPage(context, list, places)));
  return {
    close: () => void furniture.then((page) => page?.close()),
    view: () => list.view,
    update: (address) => void furniture.then((page) => page?.update(address)),
  };
}

// The tokens are those of the dashboard, where there is one.
const STYLE = `
:where(:root) {
  --ink: light-dark(#17202c, #e6ebf2); --quiet: light-dark(#566173, #9aa7b8); --paper: light-dark(#fff, #171c24);
  --ground: light-dark(#f3f5f8, #0f1319); --line: light-dark(#dce1e8, #2b3442); --accent: light-dark(#1b5fc4, #7db0ff);
  --on-accent: light-dark(#fff, #0b1a30); --tint: light-dark(#e8f0fc, #1d2a3f); --pending: light-dark(#566173, #9aa7b8);
  --running: light-dark(#1b5fc4, #7db0ff); --completed: light-dark(#1b7340, #5cc98a); --failed: light-dark(#b3261e, #ff8f86);
  --canceled: light-dark(#7a5200, #d9a94a);
}
job-list { --check: ; --owner: ; --columns: var(--check) 112px minmax(0, 1.2fr) minmax(0, 1fr) 132px 60px 108px var(--owner); display: flex; flex-direction: column; position: relative; min-width: 0; min-height: 0; container-type: inline-size; background: var(--paper); color: var(--ink); }
job-list[selectable] { --check: 40px; }
job-list[data-owners] { --owner: 96px; }
job-list .scroller { flex: 1; min-height: 0; overflow: hidden auto; overflow-anchor: none; outline: none; scrollbar-width: thin; }
job-list[limit] .scroller { overflow: hidden; }
job-list table, job-list thead, job-list tbody { display: block; width: 100%; font-variant-numeric: tabular-nums; }
job-list tr { display: grid; grid-template-columns: var(--columns); height: 28px; }
job-list tr.job { contain: strict; }
job-list thead { position: sticky; top: 0; z-index: 2; background: var(--paper); }
job-list th { padding: 6px 8px; border: 0; border-bottom: 1px solid var(--line); }
job-list td { display: block; height: 28px; padding: 0 8px; border: 0; border-bottom: 1px solid color-mix(in srgb, var(--line) 60%, transparent); overflow: hidden; white-space: nowrap; text-overflow: ellipsis; overflow-wrap: normal; line-height: 27px; }
job-list [data-state="pending"] { --state: var(--pending); }
job-list [data-state="running"] { --state: var(--running); }
job-list [data-state="completed"] { --state: var(--completed); }
job-list [data-state="failed"] { --state: var(--failed); }
job-list [data-state="canceled"] { --state: var(--canceled); }
job-list .state { color: var(--state); white-space: nowrap; display: inline-flex; gap: 6px; }
job-list .c-check { padding: 0; }
job-list .c-age { text-align: right; }
job-list td.c-queue, job-list td.c-owner, job-list td.c-age { color: var(--quiet); }
job-list:not([selectable]) .c-check, job-list:not([data-owners]) .c-owner { display: none; }
job-list .c-check label { display: flex; align-items: center; justify-content: center; height: 27px; cursor: pointer; }
job-list input[type=checkbox] { margin: 0; width: 14px; height: 14px; min-height: 0; accent-color: var(--accent); }
job-list[selectable] td.c-check, job-list:not([selectable]) td.c-state { box-shadow: inset 3px 0 color-mix(in srgb, var(--state) 65%, transparent); }
job-list tr.job:hover td { background: color-mix(in srgb, var(--tint) 55%, transparent); }
job-list tr.job:focus-within td { background: var(--tint); }
job-list tr[data-selected] td { background: var(--tint); }
job-list tr[data-departure] td { opacity: .45; }
job-list tr[data-departure="deleted"] .call { text-decoration: line-through; }
job-list .c-job > div { display: flex; align-items: center; gap: 4px; min-width: 0; }
job-list .call { min-width: 0; overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; color: var(--ink); line-height: 27px; text-decoration: none; }
job-list .call:hover { text-decoration: underline; }
job-list .call:focus-visible { outline-offset: -2px; }
job-list .name { font-weight: 550; }
job-list .arguments { color: var(--quiet); }
job-list .copy { display: none; flex: none; font-size: 11px; line-height: 16px; min-height: 0; min-width: 0; border: 0; padding: 0 4px; background: none; color: var(--quiet); cursor: pointer; }
job-list tr:hover .copy, job-list tr:focus-within .copy { display: block; }
job-list th.c-time { padding-left: 28px; }
job-list .c-outcome .text { unicode-bidi: isolate; color: var(--quiet); }
job-list .c-outcome[data-kind="error"] .text { color: var(--failed); }
job-list .bar { display: inline-block; vertical-align: 1px; width: min(120px, 40%); height: 6px; margin-right: 8px; border-radius: 3px; overflow: hidden; background: var(--line); }
job-list .fill { height: 100%; background: var(--running); transform-origin: left; transition: transform .5s linear; }
job-list .bar[data-unknown] .fill { background: repeating-linear-gradient(115deg, var(--running) 0 6px, transparent 6px 10px); opacity: .6; }
job-list .elapsed { display: inline-block; min-width: 48px; text-align: right; margin-right: 6px; }
job-list .remaining { color: var(--quiet); }
job-list[data-condition]:not([data-condition="rows"], [data-condition="reading"]) .canvas { display: none; }
:root:not([data-live]) job-list[data-stale] .scroller { opacity: .6; }
@container (max-width: 1180px) {
  job-list tr { --columns: var(--check) 112px minmax(0, 1.5fr) minmax(0, 1fr) 128px 52px 72px var(--owner); }
  job-list[data-owners] tr { --owner: 72px; }
}
@container (max-width: 860px) {
  job-list tr { --columns: var(--check) 112px minmax(0, 1.2fr) minmax(0, 1fr) 128px 52px 76px; }
  job-list .c-owner { display: none; }
}
@container (max-width: 640px) {
  job-list thead { position: absolute; clip-path: inset(50%); height: 1px; overflow: hidden; }
  job-list thead .c-check { display: none; }
  job-list tr.job { --check: 0; }
  job-list[selectable] tr.job { --check: 48px; }
  job-list tr.job { position: relative; grid-template: 34px 38px / var(--check) auto minmax(0, 1fr) auto; height: 72px; border-bottom: 1px solid var(--line); }
  job-list tr.job[data-selected] { background: var(--tint); }
  job-list tr.job > td { border: 0; height: auto; min-width: 0; padding: 0 4px; box-shadow: none; line-height: 26px; }
  job-list tr.job > td.c-check { grid-area: 1 / 1 / 3 / 2; padding: 0; position: relative; z-index: 1; }
  job-list tr.job { box-shadow: inset 3px 0 color-mix(in srgb, var(--state) 65%, transparent); }
  job-list .c-check label { height: 72px; }
  job-list input[type=checkbox] { width: 20px; height: 20px; }
  job-list tr.job > td.c-job { grid-area: 1 / 2 / 2 / 4; align-self: end; padding-left: 12px; }
  job-list[selectable] tr.job > td.c-job, job-list[selectable] tr.job > td.c-state { padding-left: 4px; }
  job-list tr.job > td.c-age { grid-area: 1 / 4; align-self: end; padding-right: 12px; line-height: 26px; }
  job-list tr.job > td.c-state { grid-area: 2 / 2; padding-left: 12px; }
  job-list tr.job > td.c-outcome { grid-area: 2 / 3; }
  job-list tr.job > td.c-time { grid-area: 2 / 4; padding-right: 12px; text-align: right; }
  job-list .elapsed { min-width: 0; margin: 0; }
  job-list .remaining:not(:empty) { margin-left: 6px; }
  job-list .bar { width: 64px; }
  job-list .c-queue, job-list tr.job .copy { display: none; }
  job-list .call { font-size: 14px; position: static; }
  job-list .call::after { content: ""; position: absolute; inset: 0; }
}
@media (prefers-reduced-motion: reduce) {
  job-list .fill { transition: none; }
}
`;

adoptStyle(STYLE);
if (!customElements.get('job-list')) customElements.define('job-list', JobList);
