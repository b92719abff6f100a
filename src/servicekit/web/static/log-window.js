// @ts-check
/**
 * A list of log lines of any length, of which only what is near the view is in the page. Lines can have any height, so it
 * works in chunks: one that is far away is an empty block as high as it was.
 */

import { h } from './kit.js';
import { splitFound } from './log-model.js';

/**
 * @typedef {import('./log-model.js').ShownLine} ShownLine
 * @typedef {{element: HTMLElement, start: number, end: number, isFilled: boolean}} Chunk
 */

const LINES_OF_A_CHUNK = 100;
const LINE_PIXELS = 18; // as in the stylesheet; only a guess for chunks that were never seen
const MARGIN = '800px 0px';

/** @type {Record<string, string>} */
const LEVEL_WORDS = { debug: 'DEBUG', info: 'INFO', warning: 'WARN', error: 'ERROR', critical: 'CRIT' };

export class LogWindow {
  /** @param {HTMLElement} scroller @param {() => void} onHeight called when what is drawn has another height */
  constructor(scroller, onHeight) {
    this._scroller = scroller;
    this._onHeight = onHeight;
    /** @type {ShownLine[]} */
    this._lines = [];
    /** @type {Chunk[]} */
    this._chunks = [];
    this._word = '';
    this._current = -1;
    /** @type {Map<Element, Chunk>} */
    this._byElement = new Map();
    const options = { root: scroller, rootMargin: MARGIN };
    this._observer = new IntersectionObserver((entries) => this._seen(entries), options);
  }

  close() {
    this._observer.disconnect();
  }

  /** Show other lines. @param {ShownLine[]} lines */
  show(lines) {
    this._observer.disconnect();
    this._byElement.clear();
    this._chunks = [];
    this._scroller.replaceChildren();
    this._lines = lines;
    this.grow();
  }

  /** Lines were added at the end of those that are shown. */
  grow() {
    const last = this._chunks.at(-1);
    const wasFilled = !last || last.isFilled;
    if (last) this._extend(last);
    let end = this._chunks.at(-1)?.end ?? 0;
    while (end < this._lines.length) end = this._add(end).end;
    const newest = this._chunks.at(-1);
    // At once, not when it is seen: else the end of a log that is followed would be blank for a moment.
    if (newest && wasFilled && !newest.isFilled) this._fill(newest);
  }

  /** Mark a text in all lines. @param {string} word */
  mark(word) {
    this._word = word;
    this._current = -1;
    for (const chunk of this._chunks) if (chunk.isFilled) this._fill(chunk);
  }

  /** Go to the line at this place. @param {number} place */
  goTo(place) {
    this._current = place;
    const chunk = this._chunks[Math.floor(place / LINES_OF_A_CHUNK)];
    for (const each of this._chunks) if (each.isFilled || each === chunk) this._fill(each);
    chunk?.element.querySelector('.current')?.scrollIntoView({ block: 'center', inline: 'nearest' });
  }

  /** @param {number} start */
  _add(start) {
    const end = Math.min(start + LINES_OF_A_CHUNK, this._lines.length);
    const chunk = { element: h('div', { class: 'log-chunk' }), start, end, isFilled: false };
    this._guessHeight(chunk);
    this._chunks.push(chunk);
    this._byElement.set(chunk.element, chunk);
    this._scroller.append(chunk.element);
    this._observer.observe(chunk.element);
    return chunk;
  }

  /** @param {Chunk} chunk */
  _extend(chunk) {
    const end = Math.min(chunk.start + LINES_OF_A_CHUNK, this._lines.length);
    const added = this._lines.slice(chunk.end, end);
    if (chunk.isFilled) chunk.element.append(...added.map((line, index) => this._draw(line, chunk.end + index)));
    chunk.end = end;
    if (!chunk.isFilled) this._guessHeight(chunk);
  }

  /** @param {IntersectionObserverEntry[]} entries */
  _seen(entries) {
    for (const entry of entries) {
      const chunk = this._byElement.get(entry.target);
      if (!chunk || chunk.isFilled === entry.isIntersecting) continue;
      if (entry.isIntersecting) this._fill(chunk);
      else this._empty(chunk);
    }
    this._onHeight();
  }

  /** @param {Chunk} chunk */
  _fill(chunk) {
    const lines = this._lines.slice(chunk.start, chunk.end);
    chunk.element.replaceChildren(...lines.map((line, index) => this._draw(line, chunk.start + index)));
    chunk.element.style.removeProperty('height');
    chunk.isFilled = true;
  }

  /** @param {Chunk} chunk */
  _empty(chunk) {
    chunk.element.style.setProperty('height', `${chunk.element.offsetHeight}px`);
    chunk.element.replaceChildren();
    chunk.isFilled = false;
  }

  /** @param {Chunk} chunk */
  _guessHeight(chunk) {
    chunk.element.style.setProperty('height', `${(chunk.end - chunk.start) * LINE_PIXELS}px`);
  }

  /** @param {ShownLine} line @param {number} place */
  _draw(line, place) {
    const remarks = [
      line.gap ? `${line.gap.toLocaleString('en')} ${line.gap === 1 ? 'line' : 'lines'} left out` : '',
      line.isNewAttempt ? `attempt ${line.attempt}` : '',
    ].filter(Boolean);
    const drawn = h('div', { class: `log-line ${place === this._current ? 'current ' : ''}${classOf(line.level)}` },
      h('time', { datetime: line.at, title: `${line.at}  ${line.source}` }, clockOf(line.at)),
      h('span', { class: 'log-level' }, LEVEL_WORDS[line.level] ?? line.level),
      h('span', { class: 'log-text' }, ...this._marked(line.text))); // prettier-ignore
    if (remarks.length === 0) return drawn;
    return h('div', {}, h('p', { class: 'log-remark' }, remarks.join(' · ')), drawn);
  }

  /** @param {string} text */
  _marked(text) {
    const parts = splitFound(text, this._word);
    return parts.map((part, index) => (index % 2 ? h('mark', {}, part) : part));
  }
}

/** @param {string} level */
const classOf = (level) => (level in LEVEL_WORDS ? level : 'info');

/** The time of day here, to the millisecond. @param {string} iso */
export function clockOf(iso) {
  const at = new Date(iso);
  const two = (/** @type {number} */ number) => String(number).padStart(2, '0');
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(':');
  return `${clock}.${String(at.getMilliseconds()).padStart(3, '0')}`;
}
