// @ts-check
/**
 * Which rows a person has marked: some, or everything that matches the search.
 */

export class Selection {
  /** @type {Set<string>} */
  ids = new Set();
  /** Everything that matches is meant, also what is not on the screen. */
  isEverything = false;
  /** @type {string | null} Where a range begins: the row that was marked last. */
  #anchor = null;
  #changed;

  /** @param {() => void} changed Called after each change. */
  constructor(changed) {
    this.#changed = changed;
  }

  get isEmpty() {
    return !this.ids.size;
  }

  /** @param {string} id */
  has(id) {
    return this.ids.has(id);
  }

  /**
   * @param {string} id
   * @param {boolean} isOn
   */
  set(id, isOn = true) {
    if (isOn) this.ids.add(id);
    else this.ids.delete(id);
    this.#anchor = id;
    this.isEverything = false;
    this.#changed();
  }

  /** @param {string} id */
  toggle(id) {
    this.set(id, !this.ids.has(id));
  }

  /**
   * Mark all rows from the one that was marked last to this one.
   *
   * @param {string} id
   * @param {string[]} rows The rows in their order.
   */
  extendTo(id, rows) {
    const from = this.#anchor === null ? -1 : rows.indexOf(this.#anchor);
    const to = rows.indexOf(id);
    if (from < 0 || to < 0) return this.set(id);
    for (const each of rows.slice(Math.min(from, to), Math.max(from, to) + 1)) this.ids.add(each);
    this.isEverything = false;
    this.#changed();
  }

  /** @param {Iterable<string>} ids */
  setAll(ids) {
    this.ids = new Set(ids);
    this.isEverything = false;
    this.#changed();
  }

  setEverything() {
    this.isEverything = true;
    this.#changed();
  }

  clear() {
    if (this.isEmpty && !this.isEverything) return;
    this.#anchor = null;
    this.setAll([]);
  }
}
