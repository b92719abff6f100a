// @ts-check
/**
 * Which rows the table of jobs shows, and which wait: no document in here.
 *
 * The newest job is on top. While somebody points at the table, is in it with the keyboard, has selected rows or has
 * scrolled, the table is *held*: no row comes, goes or moves. Rows that would come wait, and a number tells of them.
 * Rows that would go, since they do not match any more or are deleted, stay and are marked. When the table is let go,
 * all that happens at once.
 *
 * Everything is bounded: rows, and those that wait. What does not fit is read again from the service when it is wanted.
 */

/** @import {JobRecord} from './types.js' */

/** @typedef {'deleted' | 'unmatched'} Departure Why a row that is still shown would not be there any more. */

export const PAGE_SIZE = 50;
/** The most rows that are kept. A person who scrolls further is better served by the search. */
const MAX_ROWS = 5_000;
const MAX_WAITING = 500;
// A list that nobody holds is on top: it grows by what comes, and is cut back to two pages now and then.
const CUT_AT = 300;
const CUT_TO = 2 * PAGE_SIZE;

export class RowModel {
  /** @type {string[]} The ids of the rows, the newest first. */
  ids = [];
  /** @type {string | null} The next page has the jobs before this id; `null` if there are no more. */
  cursor = null;
  isHeld = false;
  /** More jobs wait than are kept: the list has to be read again to show them. */
  isOverflowing = false;

  /** @type {Map<string, JobRecord>} */
  #records = new Map();
  /** @type {Set<string>} */
  #waiting = new Set();
  /** @type {Map<string, Departure>} */
  #departures = new Map();
  #matches;

  /** @param {(record: JobRecord) => boolean} matches */
  constructor(matches) {
    this.#matches = matches;
  }

  /** How many jobs wait to be shown. */
  get waitingCount() {
    return this.#waiting.size;
  }

  /** Whether the rows are as many as are ever kept. */
  get isFull() {
    return this.ids.length >= MAX_ROWS;
  }

  /** @param {string} id */
  record(id) {
    return this.#records.get(id);
  }

  /** @param {string} id */
  departure(id) {
    return this.#departures.get(id) ?? null;
  }

  /**
   * Begin with the first page.
   *
   * @param {JobRecord[]} records
   * @param {string | null} cursor
   */
  load(records, cursor) {
    this.ids = [];
    this.cursor = null;
    this.#records.clear();
    this.#waiting.clear();
    this.#departures.clear();
    this.isOverflowing = false;
    this.append(records, cursor);
  }

  /**
   * Add the next page below. Nothing moves by that, so it is done whether the table is held or not.
   *
   * @param {JobRecord[]} records
   * @param {string | null} cursor
   */
  append(records, cursor) {
    const bottom = this.ids.at(-1) ?? '~';
    for (const record of records) {
      const isBelow = record.id < bottom && !this.#records.has(record.id);
      this.#keep(record);
      if (isBelow) this.ids.push(record.id);
    }
    this.cursor = cursor;
  }

  /**
   * Take what the stream has brought.
   *
   * @param {Iterable<JobRecord>} records
   * @param {Iterable<string>} deleted
   */
  apply(records, deleted) {
    const coming = /** @type {JobRecord[]} */ ([]);
    for (const record of records) {
      if (this.#records.has(record.id)) this.#update(record);
      else if (this.#isInRange(record.id) && this.#matches(record)) coming.push(record);
    }
    for (const id of deleted) this.#depart(id, 'deleted');
    this.#come(coming);
    this.#settle();
  }

  /**
   * Take what the list of the service says after changes may have been missed: all jobs down to an id. Rows below it may
   * be out of date: they are read again as the next page.
   *
   * @param {JobRecord[]} records
   * @param {string | null} cursor Where these records end; `null` if they are all.
   */
  reconcile(records, cursor) {
    const found = new Set(records.map((record) => record.id));
    const isMissing = (/** @type {string} */ id) => (cursor === null || id >= cursor) && !found.has(id);
    if (cursor === null) this.cursor = null;
    else if ((this.ids.at(-1) ?? cursor) < cursor) this.#forgetBelow(cursor);
    for (const id of [...this.#records.keys()].filter(isMissing)) this.#depart(id, 'unmatched');
    this.apply(records, []);
  }

  /** @param {boolean} isHeld Whether rows must stay where they are. */
  hold(isHeld) {
    this.isHeld = isHeld;
    this.#settle();
  }

  /** Show what waits, and take out what is gone, though the table is held. */
  showWaiting() {
    this.#removeDeparted();
    this.#insert([...this.#waiting]);
    this.#waiting.clear();
  }

  /** @param {JobRecord} record */
  #update(record) {
    if (!this.#keep(record) || this.departure(record.id) === 'deleted') return;
    if (this.#matches(record)) this.#departures.delete(record.id);
    else this.#depart(record.id, 'unmatched');
  }

  /** @param {JobRecord} record Kept unless a newer one is known: answers and the stream overtake each other. */
  #keep(record) {
    const known = this.#records.get(record.id);
    if (known && known.version > record.version) return false;
    this.#records.set(record.id, record);
    return true;
  }

  /**
   * @param {string} id
   * @param {Departure} departure
   */
  #depart(id, departure) {
    if (this.#waiting.delete(id)) this.#records.delete(id);
    else if (this.#records.has(id)) this.#departures.set(id, departure);
  }

  /** @param {JobRecord[]} records */
  #come(records) {
    for (const record of records) {
      if (this.#waiting.size >= MAX_WAITING && this.isHeld) {
        this.isOverflowing = true;
        return;
      }
      this.#records.set(record.id, record);
      this.#waiting.add(record.id);
    }
  }

  #settle() {
    if (this.isHeld || this.isOverflowing) return;
    this.showWaiting();
    if (this.ids.length > CUT_AT) this.#cut();
  }

  #removeDeparted() {
    if (!this.#departures.size) return;
    this.ids = this.ids.filter((id) => !this.#departures.has(id));
    for (const id of this.#departures.keys()) this.#records.delete(id);
    this.#departures.clear();
  }

  /** @param {string[]} ids */
  #insert(ids) {
    if (!ids.length) return;
    // ULIDs: a later one is greater. Jobs that come to match later belong into the middle.
    this.ids = [...this.ids, ...ids].sort((one, other) => (one < other ? 1 : -1));
  }

  #cut() {
    for (const id of this.ids.splice(CUT_TO)) this.#records.delete(id);
    this.cursor = this.ids.at(-1) ?? null;
  }

  /** @param {string} id */
  #forgetBelow(id) {
    for (const each of [...this.#records.keys()].filter((each) => each < id)) {
      this.#records.delete(each);
      this.#waiting.delete(each);
      this.#departures.delete(each);
    }
    this.ids = this.ids.filter((each) => each >= id);
    this.cursor = id;
  }

  /** @param {string} id Whether its place is among the rows, and not on a page that has not been read. */
  #isInRange(id) {
    return this.cursor === null || id > this.cursor;
  }
}
