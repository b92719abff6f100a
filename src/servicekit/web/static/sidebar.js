// @ts-check
/**
 * The filters beside the list: how many jobs there are in each state, what the queues do, and tags.
 *
 * The numbers are those that the service keeps. They are asked for again when the stream has brought changes, once a
 * second at most.
 */

/** @import { JobStats, PageContext, QueueRecord } from './types.js' */

import { STATES, adoptStyle, formatCount, formatExact, h, replace, setAttribute, setText, visible } from './kit.js';
import { hindranceOf } from './page-parts.js';
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
  #queues = h('div', { role: 'group', 'aria-label': 'Queues' });
  #tags = h('div', { role: 'group', 'aria-label': 'Tags' });
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
    const rows = ['', ...STATUSES].map((status) => this.#makeState(status));
    replace(root, h('h2', null, 'State'), h('div', { role: 'group', 'aria-label': 'State' }, rows), this.#queues, this.#tags);
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
    const busiest = [...this.#queueRecords].sort((one, other) => loadOf(other) - loadOf(one)).slice(0, MOST_QUEUES);
    const rows = this.#queueRecords.filter((queue) => busiest.includes(queue)).map((queue) => this.#queueLink(queue));
    this.#showGroup(this.#queues, 'Queues', rows);
  }

  /** @param {QueueRecord} queue */
  #queueLink(queue) {
    const { name, running, pending, max_concurrency: limit } = queue;
    const hindrance = hindranceOf(queue);
    const bar = h('span', { class: 'load', 'aria-hidden': 'true' }, h('span', {}));
    bar.firstElementChild?.setAttribute('data-busy', String(running > 0));
    /** @type {HTMLElement} */ (bar.firstElementChild).style.setProperty('width', `${limit ? Math.min(100, (100 * running) / limit) : 0}%`);
    const title = `${visible(name)}: ${running} running${limit === null ? '' : ` of at most ${limit}`}, ${pending} pending${hindrance && `, ${hindrance}`}`;
    const count = hindrance ? `${hindrance} · ${formatCount(pending)}` : `${formatCount(running)}${limit === null ? '' : `/${limit}`}`;
    const link = this.#link('queue', name, title, limit === null ? null : bar, count);
    link.classList.toggle('paused', hindrance === 'paused');
    link.classList.toggle('full', hindrance === 'full');
    return link;
  }

  #showTags() {
    const rows = this.#tagValues.map(({ value, count }) => this.#link('tag', value, visible(value), null, count === null ? '' : formatCount(count)));
    this.#showGroup(this.#tags, 'Tags', rows);
  }

  /** @param {string} field @param {string} value @param {string} title @param {Node | null} bar @param {string} count */
  #link(field, value, title, bar, count) {
    const isChosen = parseQuery(this.#text).terms.some((term) => term.field === field && term.value === value);
    return h('a', { class: 'filter', title, href: addressOf(toggleTerm(this.#text, field, value)), 'aria-current': isChosen ? 'true' : null },
      h('span', { class: 'word', dir: 'auto' }, visible(value)), bar, h('span', { class: 'count' }, count));
  }

  /** Put links into a group, and leave it as it is if nothing has changed: one of them may have the focus. @param {HTMLElement} group @param {string} title @param {HTMLElement[]} rows */
  #showGroup(group, title, rows) {
    const key = rows.map((row) => `${row.title} ${row.textContent} ${row.getAttribute('href')}`).join();
    if (group.dataset.shown === key) return;
    group.dataset.shown = key;
    const focused = group.contains(document.activeElement) ? document.activeElement?.getAttribute('title') : null;
    replace(group, rows.length ? h('h2', null, title) : null, rows);
    if (focused) rows.find((row) => row.title === focused)?.focus();
  }
}

/** @param {QueueRecord} queue */
function loadOf({ running, pending }) {
  return running * 1e9 + pending;
}

adoptStyle(`
.filters { padding: 8px; background: var(--ground); }
.filters h2 { margin: 12px 8px 4px; font-size: 11px; line-height: 16px; font-weight: 500; letter-spacing: .04em; text-transform: uppercase; color: var(--quiet); }
.filters > h2:first-child { margin-top: 4px; }
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
  .filters > div { display: contents; }
  .filters h2 { display: none; }
  .filter { flex: none; height: 44px; padding: 0 12px; border: 1px solid var(--line); border-radius: 22px; background: var(--paper); }
  .filter .word { max-width: 40vw; }
  .filter[aria-current] { border-color: var(--accent); box-shadow: none; }
}
`);
