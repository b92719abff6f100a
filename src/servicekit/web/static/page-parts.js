// @ts-check
/**
 * What the chart and the pages of queues, schedules, workers and tasks have in common: they are read again when something
 * has changed, their rows stay where they are, and what cannot be undone is asked for first.
 *
 * @typedef {import('./types.js').PageContext} PageContext
 */

import { adoptStyle, h, setText, showDialog, visible } from './kit.js';
import { addressOf, formatTerm } from './query.js';

/** @type {Set<import('./types.js').LiveState>} */
const LOST = new Set(['reconnecting', 'offline']);

/** Reads again after changes of jobs, not more often than is told, and now and then for what jobs do not tell. */
export class Fresh {
  #read;
  #live;
  #least;
  #idle;
  #timer = 0;
  #lastAt = -Infinity;
  #isReading = false;
  #isStale = false;
  #isLost = false;
  #request = new AbortController();
  #ending = new AbortController();

  /**
   * @param {Pick<PageContext, 'live'>} context
   * @param {(signal: AbortSignal) => Promise<void>} read shows its own errors
   * @param {{leastSeconds: number, idleSeconds?: number}} pace from one read to the next: at least, and without changes
   */
  constructor({ live }, read, { leastSeconds, idleSeconds = Infinity }) {
    this.#read = read;
    this.#live = live;
    this.#least = leastSeconds * 1000;
    this.#idle = idleSeconds * 1000;
    const { signal } = this.#ending;
    signal.addEventListener('abort', live.subscribe((event) => this.#heed(event)));
    document.addEventListener('visibilitychange', () => this.#noteChange(), { signal });
  }

  /** Read at once. A read that is under way is given up, since it may have begun before what was changed. */
  async now() {
    if (this.#ending.signal.aborted) return;
    this.#request.abort();
    const request = (this.#request = new AbortController());
    [this.#isReading, this.#isStale, this.#lastAt] = [true, false, performance.now()];
    await this.#read(AbortSignal.any([this.#ending.signal, request.signal])).finally(() => {
      if (this.#request !== request) return;
      this.#isReading = false;
      this.#readAt(this.#lastAt + (this.#isStale ? this.#least : this.#idle));
    });
  }

  close() {
    clearTimeout(this.#timer);
    this.#ending.abort();
  }

  /** @param {import('./types.js').LiveEvent} event */
  #heed(event) {
    if (event.type !== 'state') return this.#noteChange();
    // What has happened meanwhile is not always told as changes of jobs.
    if (this.#isLost && event.state === 'live') this.#noteChange();
    this.#isLost = LOST.has(event.state);
  }

  #noteChange() {
    this.#isStale = true;
    if (!this.#isReading) this.#readAt(this.#lastAt + this.#least);
  }

  /** @param {number} moment */
  #readAt(moment) {
    clearTimeout(this.#timer);
    if (moment === Infinity || this.#ending.signal.aborted) return;
    this.#timer = setTimeout(() => this.#lookAndRead(), Math.max(0, moment - performance.now()));
  }

  // Nobody sees a hidden page, a service that is away does not answer, and who has paused the page wants it to stay.
  #lookAndRead() {
    if (document.hidden || this.#isLost) return;
    if (this.#live.state === 'paused') this.#readAt(performance.now() + this.#least);
    else void this.now();
  }
}

/**
 * Rows by a key. A row stays the same element, and none goes away or moves while the pointer or the focus is among them: a
 * record that is not there any more is told to its row as `null`.
 *
 * @template T
 */
export class Rows {
  /** @type {Map<string, {element: HTMLElement, update: (record: T | null) => void}>} */
  #rows = new Map();

  /**
   * @param {HTMLElement} body
   * @param {(key: string) => {element: HTMLElement, update: (record: T | null) => void}} make
   */
  constructor(body, make) {
    this.body = body;
    this.make = make;
  }

  get size() {
    return this.#rows.size;
  }

  /** @param {Map<string, T>} records in their order: while somebody is at the rows, new ones come last */
  show(records) {
    for (const key of records.keys()) if (!this.#rows.has(key)) this.#rows.set(key, this.make(key));
    const isInUse = this.body.matches(':hover, :focus-within');
    for (const key of [...this.#rows.keys()]) if (!isInUse && !records.has(key)) this.remove(key);
    for (const [key, row] of this.#rows) row.update(records.get(key) ?? null);
    const keys = isInUse ? this.#rows.keys() : records.keys();
    const elements = [...keys].flatMap((key) => this.#rows.get(key)?.element ?? []);
    if (isInUse) this.body.append(...elements.filter((element) => !element.isConnected));
    else if (elements.some((element, index) => this.body.children[index] !== element)) this.body.append(...elements);
  }

  /** Take a row away. @param {string} key */
  remove(key) {
    this.#rows.get(key)?.element.remove();
    this.#rows.delete(key);
  }
}

/** Where a page says what went wrong: it is read out at once. */
export class Problem {
  element = h('p', { class: 'problem', role: 'alert', hidden: true });

  /** @param {string} text; empty: nothing is wrong */
  say(text) {
    setText(this.element, text);
    this.element.hidden = !text;
  }

  /** Do something, and say what became of it if it failed. @param {string} what @param {() => Promise<unknown>} act @returns {Promise<boolean>} whether it was done */
  async guard(what, act) {
    try {
      await act();
      this.say('');
      return true;
    } catch (error) {
      if (!isAborted(error)) this.say(`${what}: ${/** @type {Error} */ (error).message}`);
      return false;
    }
  }
}

/** @param {unknown} error */
export const isAborted = (error) => error instanceof Error && error.name === 'AbortError';

/**
 * Ask before something that cannot be undone. The answer that changes nothing has the focus.
 *
 * @param {{title: string, text: string, action: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmAction({ title, text, action }) {
  const stay = h('button', { value: '', autofocus: true }, 'Keep it');
  const act = h('button', { value: 'yes', class: 'danger' }, action);
  const dialog = showDialog(title, h('p', {}, text), h('form', { method: 'dialog', class: 'dialog-buttons' }, stay, act));
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'));
  });
}

/** The address of the list with a search, relative to a page of the dashboard. @param {Record<string, string>} terms */
export function listAddress(terms) {
  return addressOf(Object.entries(terms).map(([field, value]) => formatTerm(field, value)).join(' '));
}

/** A bar of how much of something is used. The words beside it say the same. @param {string} state whose colour it has */
export function makeBar(state) {
  const fill = h('span', { class: 'bar-fill' });
  const element = h('span', { class: 'bar', 'data-state': state, 'aria-hidden': 'true' }, fill);
  return {
    element,
    /** @param {number} share from 0 to 1 */
    set(share) {
      fill.style.setProperty('--share', String(Math.min(1, share)));
    },
  };
}

/**
 * What keeps the pending jobs of a queue from starting, in a word: it is `paused`, or `full`. A queue that is as busy as
 * it may be is not full while nothing waits.
 * @param {import('./types.js').QueueRecord} queue
 * @returns {'' | 'paused' | 'full'}
 */
export function hindranceOf({ is_paused, pending, running, max_concurrency: limit }) {
  if (is_paused) return 'paused';
  return pending > 0 && limit !== null && running >= limit ? 'full' : '';
}

/**
 * Those that can run jobs of a kind, as far as is known: an earlier version does not tell.
 * @template {Pick<import('./types.js').WorkerRecord, 'runners'>} T
 * @param {string} kind @param {T[]} workers
 */
export const listAble = (kind, workers) => workers.filter(({ runners }) => !runners || runners.includes(kind));

/**
 * Why jobs of a kind cannot begin at any of these workers; '' if they can at one of them.
 * @param {string} kind @param {Pick<import('./types.js').WorkerRecord, 'runners' | 'problems'>[]} workers
 */
export function problemOfKind(kind, workers) {
  const reasons = listAble(kind, workers).map(({ problems }) => problems[kind] ?? '');
  return reasons.every((reason) => reason) ? (reasons[0] ?? '') : '';
}

/** What an error says, as the end of a sentence. @param {string} reason */
export function sentenceOf(reason) {
  const text = visible(reason);
  return /[.!?…]$/.test(text) ? text : `${text}.`;
}

/** @param {number} share */
export const formatPercent = (share) => `${Math.floor(share * 100)} %`;

/** Call something once a second for what changes with the time, while somebody looks. @param {Pick<PageContext, 'live'>} context @param {() => void} act @returns {() => void} what ends it */
export function tick({ live }, act) {
  const timer = setInterval(() => {
    if (!document.hidden && live.state === 'live') act();
  }, 1000);
  return () => clearInterval(timer);
}

/** Name the column in each cell of a row, for screens that have no room for the head of the table. @param {HTMLElement} row @param {string[]} columns */
export function labelCells(row, columns) {
  columns.forEach((column, index) => row.children[index]?.setAttribute('data-label', column));
}

/** The head of a table. @param {string[]} columns @param {boolean} hasActions */
export function makeHead(columns, hasActions) {
  const actions = hasActions ? h('th', { scope: 'col' }, h('span', { class: 'unseen' }, 'Actions')) : null;
  return h('thead', {}, h('tr', {}, columns.map((name) => h('th', { scope: 'col' }, name)), actions));
}

/** What a page shows instead of an empty table. @param {string} heading @param {...(string | Node)} lines */
export function makeEmpty(heading, ...lines) {
  return h('div', { class: 'empty' }, h('h2', {}, heading), lines.map((line) => h('p', {}, line)));
}

adoptStyle(`
  .page > h1 + .problem { margin-top: -4px; }
  .problem { color: var(--failed); font-weight: 600; }
  .bad { color: var(--failed); }
  .clip { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; max-width: 48ch; }
  .badge { display: inline-block; margin-left: 8px; padding: 0 6px; border: 1px solid var(--line); border-radius: 9px; font-size: 11px; line-height: 16px; font-weight: 500; color: var(--quiet); white-space: nowrap; }
  .badge:is(.paused, .long, .stopping) { color: var(--warning); border-color: currentcolor; }
  .badge.full { color: var(--failed); border-color: currentcolor; }
  button.small { padding: 0 8px; }
  .bar { display: inline-block; flex: none; width: 96px; height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; vertical-align: middle; }
  .bar-fill { display: block; height: 100%; width: 100%; background: var(--state); transform: scaleX(var(--share, 0)); transform-origin: left; }
  .page-scroll { max-width: 1120px; border: 1px solid var(--line); border-radius: var(--radius); background: var(--paper); overflow: clip; }
  .page-scroll:has(> table[hidden]) { display: none; }
  .page-table tbody tr:last-child > * { border-bottom: 0; }
  .page-table tbody th { font-size: 13px; line-height: 20px; letter-spacing: 0; text-transform: none; font-weight: 600; color: var(--ink); white-space: normal; }
  .page-table th, .page-table td { padding: 4px 12px; }
  .page-table tbody tr:hover { background: var(--tint); }
  .page-table tr.gone { opacity: .55; }
  .page-table .actions { text-align: right; white-space: nowrap; }
  .page-table .actions button + button { margin-left: 4px; }
  .queues td:not(.actions), .queues thead th:not(:first-child) { text-align: right; white-space: nowrap; }
  .queues td a { color: inherit; }
  .with-bar .bar { margin-right: 8px; }
  .worker-jobs { list-style: none; margin: 0; padding: 0; }
  .worker-jobs li { display: grid; grid-template-columns: minmax(0, 36ch) 96px 5ch 7ch minmax(0, 1fr); align-items: center; gap: 10px; }
  .worker-kinds { margin: 0; font-size: 12px; font-weight: 400; }
  .worker-remark { display: flex; align-items: center; gap: 8px; min-width: 0; }
  .worker-remark .badge { margin-left: 0; flex: none; }
  .worker-jobs a { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
  .worker-jobs .share, .worker-jobs .time { text-align: right; }
  .sub { display: block; font-weight: 400; color: var(--quiet); }
  .sub:empty { display: none; }
  .schedules td:nth-child(3), .schedules td:nth-child(4) { white-space: nowrap; }
  .workers th[scope=row] { width: 24%; }
  .workers td:nth-child(2) { width: 12%; white-space: nowrap; }
  .workers tbody > tr > * { vertical-align: top; }
  .empty { max-width: 64ch; padding: 24px 0; display: grid; gap: 8px; }
  .empty code { display: block; padding: 8px 12px; background: var(--paper); border: 1px solid var(--line); border-radius: var(--radius); }
  .task-columns { display: grid; grid-template-columns: 220px minmax(0, 1fr); gap: 16px; align-items: start; max-width: 1120px; }
  .task-list { padding: 4px; }
  .task-list[hidden] + .task-place { grid-column: 1 / -1; }
  .task-list ul { list-style: none; margin: 0; padding: 0; }
  .task-list button { display: block; width: 100%; text-align: left; border-color: transparent; background: none; color: var(--quiet); }
  .task-list button:hover { color: var(--ink); background: var(--tint); }
  .task-list button[aria-current] { color: var(--ink); background: var(--tint); font-weight: 600; }
  .task, .task-place { display: grid; gap: 16px; min-width: 0; }
  .task .panel { padding: 16px; display: grid; gap: 8px; }
  .task-form, .fields { display: grid; gap: 12px; max-width: 560px; }
  .field { display: grid; gap: 2px; min-width: 0; }
  .field > label, .field > legend { font-weight: 600; }
  .field > input:not([type=checkbox]), .field > select, .field > textarea { width: 100%; }
  .field > input[type=checkbox] { justify-self: start; width: 18px; height: 18px; margin: 2px 0; }
  .field > textarea { font-family: var(--mono); font-size: 12px; resize: vertical; }
  .field > span:empty { display: none; }
  .field [aria-invalid=true] { border-color: var(--failed); }
  fieldset.field { gap: 12px; margin: 0; padding: 8px 12px 12px; border: 1px solid var(--line); border-radius: var(--radius); }
  .task-buttons { display: flex; justify-content: space-between; gap: 8px; }
  .submitted:empty { display: none; }
  .heading { display: flex; gap: 4px 16px; flex-wrap: wrap; align-items: baseline; }
  .runs { margin-top: 8px; }
  .runs { border: 1px solid var(--line); border-radius: var(--radius); }
  .runs td { white-space: nowrap; }
  .runs td:last-child { width: 60%; max-width: 0; overflow: hidden; text-overflow: ellipsis; }
  .dialog-buttons { justify-content: flex-end; }
  @media (max-width: 720px) {
    .page-table, .page-table tbody, .page-table tr, .page-table td, .page-table th { display: block; height: auto; text-align: left !important; }
    .page-table thead { display: none; }
    .page-table tr { padding: 8px 12px; border-bottom: 1px solid var(--line); }
    .page-table tr:last-child { border-bottom: 0; }
    .page-table tbody th, .page-table td { width: auto !important; max-width: none !important; padding: 2px 0; border: 0; white-space: normal; }
    .page-table td[data-label] { position: relative; min-height: 24px; padding-left: 96px; }
    .page-table td[data-label]:empty { display: none; }
    .page-table td[data-label]::before { content: attr(data-label); position: absolute; left: 0; color: var(--quiet); }
    .page-table td[data-label]:has(> a:not([hidden])), .page-table td[data-label]:has(> ul > li) { padding-top: 0; padding-bottom: 0; }
    .page-table td a, .page-table th a { display: inline-flex; align-items: center; min-height: 44px; }
    .page-table td[data-label]:has(> a:not([hidden]))::before { line-height: 44px; }
    .workers td[data-label]:has(> ul > li)::before { line-height: 44px; }
    .page-table .actions { display: flex; gap: 8px; padding-top: 8px; }
    .page-table .actions button { flex: 1; margin: 0 !important; }
    .worker-jobs li { grid-template-columns: 96px 5ch 7ch minmax(0, 1fr); gap: 0 8px; }
    .worker-jobs li a { grid-column: 1 / -1; display: block; line-height: 44px; }
    .worker-remark { grid-column: 1 / -1; }
    .worker-remark .clip { max-width: none; }
    .task-columns { grid-template-columns: minmax(0, 1fr); }
    .task-list ul { display: flex; overflow-x: auto; }
    .task-list button { white-space: nowrap; }
  }
  @media print { .actions, th:has(> .unseen), .task-list, .task-form { display: none !important; } }
`);
