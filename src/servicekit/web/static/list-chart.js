// @ts-check
// The chart above the list: narrowed by the search, and narrowing it to a time.

/** @import { PageContext } from './types.js' */

import { ActivityChart } from './activity-chart.js';
import { setAttribute } from './kit.js';
import { addressOf, formatQuery, parseQuery } from './query.js';

const TIMES = ['after', 'before'];
const NARROWING = ['name', 'queue']; // by the service: the minutes are kept for each name and queue

export class ListChart {
  #chart = new ActivityChart();
  #query = parseQuery('');
  #place;

  /** @param {PageContext} context @param {HTMLElement} place */
  constructor(context, place) {
    this.#chart.context = context;
    this.#chart.addEventListener('servicekit:range', (event) =>
      context.navigate(addressOf(this.#choose(/** @type {CustomEvent} */ (event).detail))));
    this.#place = place;
  }

  /** @param {string} text what is searched for */
  show(text) {
    this.#query = parseQuery(text);
    for (const field of NARROWING) setAttribute(this.#chart, field, this.#find(field));
    for (const field of TIMES) setAttribute(this.#chart, field, momentOf(this.#find(field)));
    setAttribute(this.#chart, 'note', this.#describeRest());
    // Only now: it reads as soon as it is there, and must know the search by then.
    if (!this.#chart.isConnected) this.#place.append(this.#chart);
  }

  /** What of the search the chart does not follow. */
  #describeRest() {
    const fields = this.#query.terms.map(({ field }) => field).filter((field) => ![...NARROWING, ...TIMES].includes(field));
    const rest = [...new Set(fields), ...(this.#query.words ? ['text'] : [])];
    return rest.length ? `not narrowed by ${rest.join(', ')}` : null;
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
