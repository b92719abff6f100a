// @ts-check
// What is around the rows on the page of the list: search, filters, chart, marks and what is done with them, keys.

/** @import { JobList } from './job-list.js' */
/** @import { BulkBar } from './bulk.js' */
/** @import { Peek } from './list-peek.js' */
/** @import { PageContext } from './types.js' */

import { lazy } from './kit.js';
import { copyId } from './list-input.js';
import { addressOf, isJobId } from './query.js';
import { SearchBox } from './search-box.js';
import { Selection } from './selection.js';
import { Sidebar } from './sidebar.js';

/** @typedef {'cancel' | 'retry' | 'delete'} Action */

const loadBulk = lazy(() => import('./bulk.js'));
const loadChart = lazy(() => import('./list-chart.js'));
const loadPeek = lazy(() => import('./list-peek.js'));

const PEEKED = 'job'; // the part of the address that has the job beside the list
const wide = matchMedia('(min-width: 1600px)');

export class ListPage {
  #context;
  #list;
  #places;
  #search;
  #sidebar;
  /** @type {Promise<import('./list-chart.js').ListChart>} Comes last: search and filters do not wait for it. */
  #chart;
  /** @type {Selection | null} */
  #selection = null;
  /** @type {Promise<BulkBar> | null} Loaded when something is marked for the first time. */
  #bulk = null;
  /** @type {Promise<Peek> | null} Loaded when a job is shown beside the list for the first time. */
  #peek = null;
  /** @type {string | null} The job that is shown there. */
  #peekedId = null;

  /** @param {PageContext} context @param {JobList} list @param {Record<'filters' | 'chart' | 'actions', HTMLElement>} places */
  constructor(context, list, places) {
    this.#context = context;
    this.#list = list;
    this.#places = places;
    this.#search = new SearchBox(context);
    this.#sidebar = new Sidebar(context, places.filters);
    this.#chart = loadChart().then(({ ListChart }) => new ListChart(context, places.chart));
    const { signal } = context;
    document.addEventListener('servicekit:search', (event) => context.navigate(addressOf(/** @type {CustomEvent} */ (event).detail)), { signal });
    list.addEventListener('servicekit:changed', () => this.#sidebar.refresh(), { signal });
    this.#addKeys();
    this.#letPeek();
    if (context.service.access.may_act) this.#letMark();
    this.#show(context.url);
  }

  /** @param {URL} url */
  update(url) {
    this.#list.setAttribute('query', url.searchParams.get('q') ?? '');
    this.#show(url);
  }

  close() {
    this.#search.close();
    this.#sidebar.close();
    void this.#peek?.then((peek) => peek.close());
  }

  /** @param {URL} url */
  #show(url) {
    const text = url.searchParams.get('q') ?? '';
    this.#search.value = text;
    this.#sidebar.show(text);
    void this.#chart.then((chart) => chart.show(text));
    this.#showPeeked(url);
    this.#context.setTitle(text ? `${text} · Jobs` : 'Jobs');
  }

  #addKeys() {
    const list = this.#list;
    const { keys } = this.#context;
    for (const key of ['/', 'Ctrl k']) keys.add(key, 'Search', () => this.#search.focus());
    keys.add('j', 'Next job', () => this.#move(1));
    keys.add('k', 'Previous job', () => this.#move(-1));
    keys.add('Enter', 'Open the job', () => list.currentId && this.#context.navigate(`./${list.currentId}`));
    keys.add('n', 'Show new jobs', () => list.showNew());
    keys.add('y', 'Copy the id of the job', () => list.currentId && void copyId(list.currentId));
  }

  /** @param {number} step */
  #move(step) {
    this.#list.move(step);
    if (this.#peekedId !== null) this.#choose(this.#list.currentId);
  }

  // ---- The job beside the list ----

  #letPeek() {
    const { keys, signal } = this.#context;
    let forget = () => {};
    const adapt = () => {
      forget();
      forget = wide.matches ? keys.add('p', 'Show the job beside the list', () => this.#choose(this.#list.currentId)) : () => {};
      this.#showPeeked(new URL(location.href));
    };
    wide.addEventListener('change', adapt, { signal });
    this.#list.addEventListener('click', (event) => this.#click(event), { signal });
    adapt();
  }

  /** A click on a row, beside what has a meaning of its own. @param {MouseEvent} event */
  #click(event) {
    const target = /** @type {Element} */ (event.target);
    const id = target.closest('tr.job')?.getAttribute('data-id');
    if (!id || !wide.matches || target.closest('a, button, label') || String(getSelection())) return;
    this.#list.currentId = id;
    this.#choose(id);
  }

  /** Show a job beside the list, or none, and let the address keep that. @param {string | null} id */
  #choose(id) {
    const url = new URL(location.href);
    if (id === null) url.searchParams.delete(PEEKED);
    else url.searchParams.set(PEEKED, id);
    if (id === null) url.hash = ''; // the pane of the job
    this.#context.navigate(url.href, { replace: true });
    this.#showPeeked(url);
  }

  /** @param {URL} url */
  #showPeeked(url) {
    const id = url.searchParams.get(PEEKED)?.toUpperCase() ?? '';
    this.#peekedId = wide.matches && isJobId(id) ? id : null;
    if (this.#peekedId === null && !this.#peek) return;
    this.#peek ??= loadPeek().then(({ Peek }) => new Peek(this.#context, this.#list, (chosen) => this.#choose(chosen)));
    void this.#peek.then((peek) => peek.show(this.#context.signal.aborted ? null : this.#peekedId));
  }

  #letMark() {
    const list = this.#list;
    const { keys } = this.#context;
    const selection = new Selection(() => this.#changed(selection));
    this.#selection = list.selection = selection;
    list.draw();
    keys.add('x', 'Mark the job', () => list.currentId && selection.toggle(list.currentId));
    keys.add('X', 'Mark all up to the job', () => list.currentId && selection.extendTo(list.currentId, list.rows.ids));
    keys.add('a', 'Mark all rows', () => selection.setAll(list.rows.ids));
    keys.add('Escape', 'Mark nothing', () => selection.clear());
    keys.add('c', 'Cancel', () => this.#act('cancel'));
    keys.add('r', 'Retry', () => this.#act('retry'));
    keys.add('Backspace', 'Delete', () => this.#act('delete'));
  }

  /** @param {Selection} selection */
  #changed(selection) {
    this.#list.hold('selection', !selection.isEmpty);
    this.#list.draw();
    void this.#loadBulk().then((bulk) => bulk.show());
  }

  #loadBulk() {
    this.#bulk ??= loadBulk().then(({ BulkBar }) => new BulkBar(this.#context, this.#list, this.#places.actions));
    return this.#bulk;
  }

  /** Do it with what is marked, or else with the present row. @param {Action} action */
  #act(action) {
    const id = this.#list.currentId;
    if (this.#selection?.isEmpty && id !== null) this.#selection.set(id);
    void this.#loadBulk().then((bulk) => this.#context.signal.aborted || bulk.ask(action));
  }
}
