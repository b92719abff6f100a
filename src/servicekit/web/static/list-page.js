// @ts-check
// What is around the rows on the page of the list: search, filters, chart, marks and what is done with them, keys.

/** @import { JobList } from './job-list.js' */
/** @import { BulkBar } from './bulk.js' */
/** @import { PageContext } from './types.js' */

import { addressOf, copyId } from './job-list.js';
import { SearchBox } from './search-box.js';
import { Selection } from './selection.js';
import { Sidebar } from './sidebar.js';

/** @typedef {'cancel' | 'retry' | 'delete'} Action */

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

  /** @param {PageContext} context @param {JobList} list @param {Record<'filters' | 'chart' | 'actions', HTMLElement>} places */
  constructor(context, list, places) {
    this.#context = context;
    this.#list = list;
    this.#places = places;
    this.#search = new SearchBox(context);
    this.#sidebar = new Sidebar(context, places.filters);
    this.#chart = import('./list-chart.js').then(({ ListChart }) => new ListChart(context, places.chart));
    const { signal } = context;
    document.addEventListener('servicekit:search', (event) => context.navigate(addressOf(/** @type {CustomEvent} */ (event).detail)), { signal });
    list.addEventListener('servicekit:changed', () => this.#sidebar.refresh(), { signal });
    this.#addKeys();
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
  }

  /** @param {URL} url */
  #show(url) {
    const text = url.searchParams.get('q') ?? '';
    this.#search.value = text;
    this.#sidebar.show(text);
    void this.#chart.then((chart) => chart.show(text));
    this.#context.setTitle(text ? `${text} · Jobs` : 'Jobs');
  }

  #addKeys() {
    const list = this.#list;
    const { keys } = this.#context;
    for (const key of ['/', 'Ctrl k']) keys.add(key, 'Search', () => this.#search.focus());
    keys.add('j', 'Next job', () => list.move(1));
    keys.add('k', 'Previous job', () => list.move(-1));
    keys.add('Enter', 'Open the job', () => list.currentId && this.#context.navigate(`./${list.currentId}`));
    keys.add('n', 'Show new jobs', () => list.showNew());
    keys.add('y', 'Copy the id of the job', () => list.currentId && void copyId(list.currentId));
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
    this.#bulk ??= import('./bulk.js').then(({ BulkBar }) => new BulkBar(this.#context, this.#list, this.#places.actions));
    return this.#bulk;
  }

  /** Do it with what is marked, or else with the present row. @param {Action} action */
  #act(action) {
    const id = this.#list.currentId;
    if (this.#selection?.isEmpty && id !== null) this.#selection.set(id);
    void this.#loadBulk().then((bulk) => bulk.ask(action));
  }
}
