// @ts-check
// The chart above the list: narrowed by the search, and narrowing it to a time.

/** @import { PageContext } from './types.js' */

import { ActivityChart } from './activity-chart.js';
import { addressOf } from './job-list.js';
import { setAttribute } from './kit.js';
import { formatQuery, parseQuery } from './query.js';

const TIMES = ['after', 'before'];

export class ListChart {
  #chart = new ActivityChart();
  #query = parseQuery('');

  /** @param {PageContext} context @param {HTMLElement} place */
  constructor(context, place) {
    this.#chart.context = context;
    this.#chart.addEventListener('servicekit:range', (event) =>
      context.navigate(addressOf(this.#choose(/** @type {CustomEvent} */ (event).detail))));
    place.append(this.#chart);
  }

  /** @param {string} text what is searched for */
  show(text) {
    this.#query = parseQuery(text);
    for (const field of ['name', 'queue']) setAttribute(this.#chart, field, this.#find(field));
    for (const field of TIMES) setAttribute(this.#chart, field, momentOf(this.#find(field)));
  }

  /** @param {string} field */
  #find(field) {
    return this.#query.terms.find((term) => term.field === field)?.value ?? null;
  }

  /** The search with another time. @param {Record<string, string | null>} range */
  #choose(range) {
    const others = this.#query.terms.filter(({ field }) => !TIMES.includes(field));
    const times = TIMES.flatMap((field) => (range[field] ? [{ field, value: range[field] }] : []));
    return formatQuery({ ...this.#query, terms: [...others, ...times] });
  }
}

/** A time as it is; one like `15m` is a matter of the list. @param {string | null} value */
function momentOf(value) {
  return value && Number.isFinite(Date.parse(value)) ? value : null;
}
