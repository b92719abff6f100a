// @ts-check
/**
 * The filters beside the list: how many jobs there are in each state, what the queues do, and tags.
 *
 * The numbers are those that the service keeps. They are asked for again when the stream has brought changes, once a
 * second at most.
 */

/** @import { JobStats, PageContext, QueueRecord } from './types.js' */

import { STATES, adoptStyle, formatCount, formatExact, h, replace, setAttribute, setText, visible } from './kit.js';
import { Rows, hindranceOf } from './page-parts.js';
import { STATUSES, addressOf, parseQuery, toggleTerm } from './query.js';

const REFRESH_MILLISECONDS = 1_000;
const TAGS_MILLISECONDS = 30_000; // tags hardly change
const MOST_QUEUES = 12;
const MOST_TAGS = 12;

/** @typedef {{value: string, count: number | null}} Suggestion */

export class Sidebar {
  #context;
  #root;
  #text = '';
  /** @type {Record<string, {link: HTMLAnchorElement, count: HTMLElement}>} */
  #states = {};
  /** @type {Rows<QueueRecord>} Rows stay the same elements, since one of them may have the focus. */
  #queues = new Rows(h('div'), (name) => this.#makeRow('queue', name, showQueue));
  /** @type {Rows<Suggestion>} */
  #tags = new Rows(h('div'), (value) => this.#makeRow('tag', value, showTag));
  /** @type {QueueRecord[]} */
  #queueRecords = [];
  /** @type {Suggestion[]} */
  #tagValues = [];
  #timer = 0;
  #askedAt = 0;
  #tagsAt = -Infinity;

  /** @param {PageContext} context @param {HTMLElement} root */
  constructor(context, root) {
    this.#context = context;
    this.#root = root;
    const states = h('div', null, ['', ...STATUSES].map((status) => this.#makeState(status)));
    replace(root, makeGroup('State', states), makeGroup('Queues', this.#queues.body), makeGroup('Tags', this.#tags.body));
    this.refresh();
  }

  close() {
    clearTimeout(this.#timer);
    replace(this.#root);
  }

  /** Show which filters a search has, and link to those that come from it. @param {string} text */
  show(text) {
    this.#text = text;
    const chosen = parseQuery(text).terms;
    for (const [status, { link }] of Object.entries(this.#states)) {
      const isChosen = status ? chosen.some((term) => term.field === 'status' && term.value === status) : !chosen.some((term) => term.field === 'status');
      setAttribute(link, 'aria-current', isChosen ? 'true' : null);
      setAttribute(link, 'href', addressOf(toggleTerm(text, 'status', status || null)));
      // On a phone the filters stand in a line, which may be longer than the screen.
      if (isChosen) link.scrollIntoView({ block: 'nearest', inline: 'center' });
    }
    this.#showQueues();
    this.#showTags();
  }

  /** Something has changed: ask for the numbers, not at once if that was done a moment ago. */
  refresh() {
    const due = Math.max(0, this.#askedAt + REFRESH_MILLISECONDS - performance.now());
    this.#timer ||= window.setTimeout(() => {
      this.#timer = 0;
      this.#askedAt = performance.now();
      void this.#ask();
    }, this.#askedAt ? due : 0);
  }

  /** @param {string} status */
  #makeState(status) {
    const count = h('span', { class: 'count' });
    const { shape, word } = status ? STATES[/** @type {keyof typeof STATES} */ (status)] : { shape: '', word: 'all' };
    const link = h('a', { class: 'filter', href: './', 'data-state': status || null },
      h('span', { class: 'shape', 'aria-hidden': 'true' }, shape), h('span', { class: 'word' }, word), count);
    this.#states[status] = { link, count };
    return link;
  }

  async #ask() {
    const { api, service, signal } = this.#context;
    const isTagsDue = performance.now() - this.#tagsAt > TAGS_MILLISECONDS;
    const [stats, queues, tags] = await Promise.all([
      api.get(`${service.paths.jobs}/$stats`, null, { signal }).catch(() => null),
      service.access.everything ? api.get(service.paths.queues, null, { signal }).catch(() => null) : null,
      isTagsDue ? api.get(`${service.paths.jobs}/$suggestions`, { field: 'tag', limit: MOST_TAGS }, { signal }).catch(() => null) : null,
    ]);
    if (signal.aborted) return;
    if (isTagsDue) this.#tagsAt = performance.now();
    if (stats) this.#showStats(stats);
    if (queues) this.#queueRecords = queues;
    if (tags) this.#tagValues = tags;
    this.#showQueues();
    this.#showTags();
  }

  /** @param {JobStats} stats */
  #showStats(stats) {
    for (const [status, { link, count }] of Object.entries(this.#states)) {
      const number = stats[/** @type {keyof JobStats} */ (status || 'total')];
      setText(count, formatCount(number));
      setAttribute(link, 'title', `${formatExact(number)} ${status || 'in all'}`);
    }
  }

  #showQueues() {
    // The busiest ones, in the order of their names, so that they stay where they are.
    const busiest = new Set([...this.#queueRecords].sort((one, other) => loadOf(other) - loadOf(one)).slice(0, MOST_QUEUES));
    this.#queues.show(new Map(this.#queueRecords.filter((queue) => busiest.has(queue)).map((queue) => [queue.name, queue])));
  }

  #showTags() {
    this.#tags.show(new Map(this.#tagValues.map((tag) => [tag.value, tag])));
  }

  /**
   * A link to the search with a filter, or without it if the search has it.
   * @template T
   * @param {string} field @param {string} value @param {(parts: Parts, record: T) => void} show
   */
  #makeRow(field, value, show) {
    const [fill, count] = [h('span'), h('span', { class: 'count' })];
    const bar = h('span', { class: 'load', 'aria-hidden': 'true', hidden: true }, fill);
    const element = h('a', { class: 'filter' }, h('span', { class: 'word', dir: 'auto' }, visible(value)), bar, count);
    const update = (/** @type {T | null} */ record) => {
      const isChosen = parseQuery(this.#text).terms.some((term) => term.field === field && term.value === value);
      setAttribute(element, 'href', addressOf(toggleTerm(this.#text, field, value)));
      setAttribute(element, 'aria-current', isChosen ? 'true' : null);
      if (record) show({ element, bar, fill, count }, record);
    };
    return { element, update };
  }
}

/** @typedef {Record<'element' | 'bar' | 'fill' | 'count', HTMLElement>} Parts */

/** @param {Parts} parts @param {QueueRecord} queue */
function showQueue({ element, bar, fill, count }, queue) {
  const { name, running, pending, max_concurrency: limit } = queue;
  const hindrance = hindranceOf(queue);
  const most = limit === null ? '' : ` of at most ${limit}`;
  setAttribute(element, 'title', `${visible(name)}: ${running} running${most}, ${pending} pending${hindrance && `, ${hindrance}`}`);
  setText(count, hindrance ? `${hindrance} · ${formatCount(pending)}` : `${formatCount(running)}${limit === null ? '' : `/${limit}`}`);
  bar.hidden = limit === null;
  fill.style.setProperty('width', `${limit ? Math.min(100, (100 * running) / limit) : 0}%`);
  for (const state of ['paused', 'full']) element.classList.toggle(state, hindrance === state);
}

/** @param {Parts} parts @param {Suggestion} tag */
function showTag({ element, count }, { value, count: number }) {
  setAttribute(element, 'title', visible(value));
  setText(count, number === null ? '' : formatCount(number));
}

/** @param {string} title @param {HTMLElement} rows */
function makeGroup(title, rows) {
  return h('div', { role: 'group', 'aria-label': title }, h('h2', null, title), rows);
}

/** @param {QueueRecord} queue */
function loadOf({ running, pending }) {
  return running * 1e9 + pending;
}

adoptStyle(`
.filters { padding: 8px; background: var(--ground); }
.filters h2 { margin: 12px 8px 4px; font-size: 11px; line-height: 16px; font-weight: 500; letter-spacing: .04em; text-transform: uppercase; color: var(--quiet); }
.filters > :first-child h2 { margin-top: 4px; }
.filters h2:has(+ :empty) { display: none; }
.filter { display: flex; align-items: center; gap: 6px; height: 28px; padding: 0 8px; border-radius: var(--radius); color: var(--ink); }
.filter:hover { background: var(--tint); text-decoration: none; }
.filter[aria-current] { background: var(--tint); font-weight: 600; box-shadow: inset 2px 0 var(--accent); }
.filter .shape { width: 1.1em; text-align: center; color: var(--state, inherit); }
.filter .word { flex: 1; min-width: 0; overflow: hidden; white-space: nowrap; text-overflow: ellipsis; unicode-bidi: isolate; }
.filter .count { color: var(--quiet); font-weight: 400; }
.filter.paused .count { color: var(--warning); }
.filter.full .count { color: var(--failed); font-weight: 600; }
.filter .load { flex: none; width: 36px; height: 6px; border-radius: 3px; background: var(--line); overflow: hidden; }
.filter .load span { display: block; height: 100%; background: var(--running); }
.filter.full .load span { background: var(--failed); }
@media (max-width: 720px) {
  .filters { display: flex; gap: 4px; padding: 4px 8px; scrollbar-width: none; }
  .filters div { display: contents; }
  .filters h2 { display: none; }
  .filter { flex: none; height: 44px; padding: 0 12px; border: 1px solid var(--line); border-radius: 22px; background: var(--paper); }
  .filter .word { max-width: 40vw; }
  .filter[aria-current] { border-color: var(--accent); box-shadow: none; }
}
`);
