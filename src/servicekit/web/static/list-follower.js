// @ts-check
/**
 * Keeps the rows of a list live: takes what the stream brings, reads further pages, and reads again what may have been
 * missed. Which rows are shown then, `RowModel` decides.
 */

/** @import { JobList } from './job-list.js' */
/** @import { JobRecord, LiveEvent } from './types.js' */

import { dispatch } from './kit.js';
import { EVERYTHING, isRelative, matches } from './query.js';
import { PAGE_SIZE, RowModel } from './row-model.js';

const MOST_SLIDING = 5; // rows: more of them would be a blur
const REST_MILLISECONDS = 1_000; // rows that come all the time would keep the table, and the processor, moving
const EMPTY_PAGES = 10; // each is a search of 10,000 jobs
const MOST_AT_ONCE = 1_000; // that the service gives
const MOST_PAGES = 5; // they cover as many rows as are kept
const PAUSE_MILLISECONDS = 2_000; // before a page is asked for again

export class Follower {
  #list;
  #table;
  #model;
  /** @type {Map<string, JobRecord | null> | null} What the stream brings while the list is read; `null` is a deleted job. */
  #buffer = new Map();
  #isReading = false;
  #isReconciling = false;
  /** Whether changes may have been missed since the list was asked for. */
  #isBehind = false;
  /** @type {Map<string, JobRecord | null>} What the stream has brought while a further page is read, which may not have it. */
  #meanwhile = new Map();
  #emptyPages = 0;
  /** When rows came last. */
  #cameAt = 0;

  /** @param {JobList} list @param {{body: HTMLElement, height: number}} table The place of the rows, and the height of one. */
  constructor(list, table) {
    this.#list = list;
    this.#table = table;
    this.#model = new RowModel((record) => matches(list.query ?? EVERYTHING, record));
  }

  /** Whether it has looked at very many jobs in vain, and looks no further by itself. */
  get hasGivenUp() {
    return this.#model.cursor !== null && this.#emptyPages >= EMPTY_PAGES;
  }

  /** The list is read: keep what the stream brings until then. */
  wait() {
    this.#buffer ??= new Map();
  }

  /** Begin with the first page. @param {JobRecord[]} records @param {string | null} cursor */
  begin(records, cursor) {
    this.#emptyPages = 0;
    this.#model.hold(this.#list.isHeld);
    this.#model.load(records, cursor);
    this.#list.rows = this.#model;
    this.goOn();
  }

  /** Take what has come while the list was read. */
  goOn() {
    const buffer = this.#buffer ?? new Map();
    this.#buffer = null;
    this.#apply(buffer);
  }

  /** @param {Exclude<LiveEvent, {type: 'state'}>} event */
  hear(event) {
    if (event.type === 'reset') return void this.#list.readAgain();
    /** @type {Map<string, JobRecord | null>} */
    const changes = new Map(event.records);
    for (const id of event.deleted) changes.set(id, null);
    if (this.#isReading) for (const [id, record] of changes) this.#meanwhile.set(id, record);
    if (this.#buffer) for (const [id, record] of changes) this.#buffer.set(id, record);
    else this.#apply(changes);
  }

  /**
   * Read what is shown, since changes may have been missed. What is read just now may have been read before that, and an
   * older answer must not come last: so it is read again after it.
   * @param {AbortSignal} signal
   */
  async reconcile(signal) {
    this.#isBehind = true;
    if (this.#isReconciling) return;
    this.#isReconciling = true;
    try {
      while (this.#isBehind) {
        this.#isBehind = false;
        this.wait();
        const { records, cursor } = await this.#readShown(signal);
        const before = this.#model.cursor;
        this.#model.reconcile(records, cursor);
        if (this.#model.cursor !== before) this.#emptyPages = 0; // rows below are to be found again
      }
    } finally {
      this.#isReconciling = false;
    }
    this.goOn();
  }

  /**
   * All rows that must stay where they are, or were hard to find; of others a page, below which they are read when they are
   * wanted.
   * @param {AbortSignal} signal
   */
  async #readShown(signal) {
    const { ids, isHeld } = this.#model;
    const limit = this.#list.limit ?? Math.min(MOST_AT_ONCE, Math.max(PAGE_SIZE, ids.length));
    const records = [];
    let cursor = null;
    for (let pages = 0; pages < MOST_PAGES; pages++) {
      const page = await this.#list.fetch(Object.entries({ limit: String(limit), ...(cursor && { cursor }) }), signal);
      records.push(...page.records);
      cursor = page.cursor;
      if (cursor === null || cursor <= (ids.at(-1) ?? cursor)) break;
      if (!isHeld && page.records.length === limit) break;
    }
    return { records, cursor };
  }

  /** Read the next page, unless that is done or in vain. @param {AbortSignal} signal */
  async readMore(signal) {
    const { cursor, isFull } = this.#model;
    if (cursor === null || isFull || this.#isReading || this.hasGivenUp) return;
    this.#isReading = true;
    this.#meanwhile.clear();
    try {
      const page = await this.#list.fetch([['limit', String(PAGE_SIZE)], ['cursor', cursor]], signal);
      this.#emptyPages = page.records.length ? 0 : this.#emptyPages + 1;
      this.#model.append(page.records, page.cursor);
      this.#take(this.#meanwhile);
    } catch {
      // The service is busy, or away.
      if (!signal.aborted) await new Promise((resolve) => setTimeout(resolve, PAUSE_MILLISECONDS));
    }
    this.#isReading = false;
    this.#list.draw();
  }

  /** Look further. */
  searchOn() {
    this.#emptyPages = 0;
    this.#list.draw();
  }

  /** Time has gone on: jobs came to match by that alone, or do not any more. The service knows which. */
  judge() {
    if (isRelative(this.#list.query ?? EVERYTHING)) void this.#list.readAgain();
  }

  /** The list is held, or is not any more. */
  settle() {
    const before = this.#model.ids;
    this.#model.hold(this.#list.isHeld);
    if (!this.#model.isHeld && this.#model.isOverflowing) return void this.#list.read();
    this.#slide(before);
    this.#list.draw();
  }

  /** Show what waits. */
  showNew() {
    if (this.#model.isOverflowing) return void this.#list.read();
    this.#model.showWaiting();
    this.#list.draw();
  }

  /** @param {Map<string, JobRecord | null>} changes */
  #apply(changes) {
    const before = this.#model.ids;
    this.#take(changes);
    this.#slide(before);
    dispatch(this.#list, 'servicekit:changed');
    this.#list.draw();
  }

  /** Let a few new rows slide in on top, if none came just before. A list that is held has none. @param {string[]} before */
  #slide(before) {
    const { ids } = this.#model;
    const count = before === ids || !before[0] ? 0 : ids.indexOf(before[0]);
    if (count < 1) return;
    const wasAtRest = performance.now() - this.#cameAt > REST_MILLISECONDS;
    this.#cameAt = performance.now();
    if (!wasAtRest || count > MOST_SLIDING || matchMedia('(prefers-reduced-motion: reduce)').matches) return;
    const start = { transform: `translateY(-${count * this.#table.height}px)` };
    this.#table.body.animate([start, { transform: 'none' }], { duration: 200, easing: 'ease-out' });
  }

  /** @param {Map<string, JobRecord | null>} changes */
  #take(changes) {
    const records = /** @type {JobRecord[]} */ ([...changes.values()].filter((record) => record !== null));
    this.#model.apply(records, [...changes.keys()].filter((id) => changes.get(id) === null));
  }
}
