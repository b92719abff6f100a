// @ts-check
/**
 * The lines of a log as a page holds them: bounded, without commands to a terminal, filtered and searched.
 */

/**
 * @typedef {{number: number, at: string, attempt: number, level: string, source: string, text: string}} LogLine
 * @typedef {LogLine & {gap: number, isNewAttempt: boolean}} ShownLine  `gap`: lines that are missing before it
 */

export const LEVELS = ['debug', 'info', 'warning', 'error', 'critical'];
/** The most lines that are held. The oldest ones go first. */
const MOST_LINES = 200_000;

// The forms of ECMA-48, the same as the service's own: control sequences; strings with an end, which can lack it in a
// text that was cut; and the short ones.
// eslint-disable-next-line no-control-regex
const ESCAPES = /(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)?|\x1b[ -/]*[0-~]?/g;
const CONTROLS = /[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x84\x86-\x9f]/g;

/**
 * The text without colors and all other commands to a terminal, or to the browser's order of letters.
 * @param {string} text
 */
export function stripEscapes(text) {
  return showMarks(text.replace(ESCAPES, '').replace(CONTROLS, ''));
}

// They turn the order of all letters after them around, so that a text seems to say something else.
const MARKS = /[\u202a-\u202e\u2066-\u2069]/g;

/**
 * The text with such marks spelled out.
 * @param {string} text
 */
export function showMarks(text) {
  return text.replace(MARKS, (mark) => `\\u${mark.charCodeAt(0).toString(16)}`);
}

export class LogModel {
  constructor() {
    /** @type {ShownLine[]} all lines that are held */
    this.lines = [];
    /** @type {ShownLine[]} those that the filter lets through; the same array if it lets through all */
    this.shown = this.lines;
    /** How many of the job's oldest lines the service does not keep any more. */
    this.dropped = 0;
    this._least = 0;
    this._words = '';
  }

  /** The number of the newest line; 0 if there is none. */
  get newest() {
    return this.lines.at(-1)?.number ?? 0;
  }

  /** The number of the oldest line that is held; 0 if there is none. */
  get oldest() {
    return this.lines.at(0)?.number ?? 0;
  }

  /** How many lines the service keeps that are older than those here. */
  get earlier() {
    return this.lines.length ? Math.max(0, this.oldest - 1 - this.dropped) : 0;
  }

  /**
   * Add lines at the end. Those that are here already are left out.
   * @param {LogLine[]} lines
   * @returns {ShownLine[]} the new ones that the filter lets through
   */
  append(lines) {
    const added = [];
    for (const line of lines) {
      if (line.number <= this.newest) continue;
      const shown = follow(this.lines.at(-1), line);
      this.lines.push(shown);
      if (this._lets(shown)) added.push(shown);
    }
    if (this.shown !== this.lines) this.shown.push(...added);
    return added;
  }

  /**
   * Put lines before those that are here.
   * @param {LogLine[]} lines
   */
  prepend(lines) {
    const oldest = this.lines.at(0);
    const before = lines.filter((line) => !oldest || line.number < oldest.number);
    /** @type {ShownLine[]} */
    const all = [];
    for (const line of before) all.push(follow(all.at(-1), line));
    if (oldest) this.lines[0] = follow(all.at(-1), oldest);
    this.lines = all.concat(this.lines);
    this._filter();
  }

  /** Let go of the oldest lines if there are too many. @returns {boolean} whether there were */
  trim() {
    if (this.lines.length <= MOST_LINES) return false;
    this.lines = this.lines.slice(-MOST_LINES / 2);
    this._filter();
    return true;
  }

  /**
   * Let through only lines of this level and the more serious ones.
   * @param {string} level one of `LEVELS`, or an empty text for all
   */
  setLevel(level) {
    this._least = Math.max(0, LEVELS.indexOf(level));
    this._filter();
  }

  /**
   * The places in `shown` of the lines that have the text, whatever its case.
   * @param {string} text
   * @param {number} [start] the place to begin at
   */
  find(text, start = 0) {
    const wanted = text.toLowerCase();
    /** @type {number[]} */
    const places = [];
    if (!wanted) return places;
    for (let place = start; place < this.shown.length; place++) {
      if (this.shown[place]?.text.toLowerCase().includes(wanted)) places.push(place);
    }
    return places;
  }

  _filter() {
    this.shown = this._least === 0 ? this.lines : this.lines.filter((line) => this._lets(line));
  }

  /** @param {LogLine} line */
  _lets(line) {
    const rank = LEVELS.indexOf(line.level);
    return rank < 0 || rank >= this._least; // a level of one's own has no rank: rather show it
  }
}

/** @param {ShownLine | undefined} before @param {LogLine} line @returns {ShownLine} */
function follow(before, line) {
  return {
    ...line,
    text: stripEscapes(line.text),
    gap: before ? Math.max(0, line.number - before.number - 1) : 0,
    isNewAttempt: before ? line.attempt !== before.attempt : line.attempt > 1,
  };
}

/**
 * A text cut where a word begins and ends: odd places are what was found.
 * @param {string} text
 * @param {string} word
 */
export function splitFound(text, word) {
  if (!word) return [text];
  const parts = [];
  const lower = text.toLowerCase();
  // A letter can change its length when its case changes: then places in the two texts differ.
  const wanted = lower.length === text.length ? word.toLowerCase() : word;
  const searched = lower.length === text.length ? lower : text;
  let start = 0;
  for (let at = searched.indexOf(wanted); at >= 0; at = searched.indexOf(wanted, start)) {
    parts.push(text.slice(start, at), text.slice(at, at + wanted.length));
    start = at + wanted.length;
  }
  return [...parts, text.slice(start)];
}
