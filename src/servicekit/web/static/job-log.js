// @ts-check
/**
 * `<job-log src="/api/v1/jobs" job-id="01J...">`: the log of a job, live: follow, find, levels, copy, download.
 *
 * With `src` and `job-id` it reads by itself, also with an `apiKey` (a property). The job's own page sets `feed` instead,
 * so that one stream serves the whole page.
 */

import { Api, announce, describeLoss, dispatch, formatCount, h, replace } from './kit.js';
import { JobStream } from './job-stream.js';
import { adoptStyles } from './job-styles.js';
import { LogModel, stripEscapes } from './log-model.js';
import { LogTools } from './log-tools.js';
import { LogWindow, clockOf } from './log-window.js';

/** @typedef {import('./log-model.js').LogLine} LogLine */

const FIRST_LINES = 1_000;
const LINES_OF_A_PAGE = 10_000;
const AT_THE_END_PIXELS = 8;

export class JobLog extends HTMLElement {
  static observedAttributes = ['src', 'job-id'];

  constructor() {
    super();
    this.apiKey = '';
    this.model = new LogModel();
    /** @type {Api | null} */
    this._api = null;
    this._path = '';
    /** @type {JobStream | null} */
    this._stream = null;
    /** Whether no more lines can come. */
    this.isOver = false;
    this._isFollowing = true;
    this._unseen = 0;
    /** @type {number[]} the places of what was found */
    this._found = [];
    this._at = -1;
    this._tools = new LogTools({
      filter: () => this._filter(),
      find: () => this._find(),
      findKey: (event) => this._findKey(event),
      step: (by) => this._step(by),
      follow: (isOn) => this._setFollowing(isOn),
      wrap: (isOn) => this._lines.classList.toggle('wrap', isOn),
      copy: () => void this._copy(),
      download: () => void this._try('The log cannot be downloaded', () => this._download()),
    });
    this._note = h('p', { class: 'log-note', hidden: true });
    this._problem = h('p', { class: 'log-note log-lost', role: 'alert', hidden: true });
    this._lost = h('p', { class: 'log-note log-lost', role: 'status', hidden: true });
    this._lines = h('div', { class: 'log-lines', tabindex: '0', role: 'region', 'aria-label': 'Lines of the log' });
    this._lines.addEventListener('scroll', () => this._scrolled(), { passive: true });
    this._pill = h('button', { type: 'button', class: 'log-pill', hidden: true, on: { click: () => this._setFollowing(true) } });
    this._empty = h('p', { class: 'log-empty' }, 'Nothing yet.');
    this._frame = h('div', { class: 'log-frame' }, this._lines, this._empty, this._pill);
    this._window = new LogWindow(this._lines, () => this._stick());
    this._showHits();
  }

  connectedCallback() {
    adoptStyles();
    if (!this.childElementCount) this.append(this._tools.element, this._problem, this._note, this._frame, this._lost);
    this._follow();
  }

  disconnectedCallback() {
    this._stream?.stop();
    this._stream = null;
  }

  attributeChangedCallback() {
    if (this.isConnected) this._follow();
  }

  // --- reading -------------------------------------------------------------------------------------------------------

  _follow() {
    this._stream?.stop();
    this._stream = null;
    const [src, jobId] = [this.getAttribute('src'), this.getAttribute('job-id')];
    if (!src || !jobId) return;
    const key = this.apiKey;
    void this._begin(new Api('', { getKey: () => key || null }), `${src}/${jobId}`);
  }

  /** @param {Api} api @param {string} path */
  async _begin(api, path) {
    const listener = {
      lines: (/** @type {LogLine[]} */ lines) => this.add(lines),
      state: (/** @type {string} */ state, /** @type {Date | null} */ since) => this._stated(state, since),
    };
    const stream = new JobStream(api, path, listener, { logs: true });
    this._stream = stream;
    await this.readTail(api, path).catch((error) => this._fail(error));
    if (this._stream === stream) stream.start(this.model.newest);
  }

  /** @param {string} state @param {Date | null} since */
  _stated(state, since) {
    if (state === 'ended') this.end();
    this._lost.hidden = since === null;
    replace(this._lost, since ? describeLoss(since) : '');
    dispatch(this, 'servicekit:state', { state, since });
  }

  /**
   * Show the newest lines that there are.
   * @param {Api} api
   * @param {string} path the path of the job
   */
  async readTail(api, path) {
    [this._api, this._path] = [api, path];
    this.model = new LogModel();
    const page = await this._page({ tail: FIRST_LINES });
    this.model.dropped = page.dropped;
    this.model.append(page.lines);
    this._redraw();
  }

  /** @param {unknown} error */
  _fail(error) {
    this._empty.hidden = false;
    replace(this._empty, `The log cannot be read: ${error instanceof Error ? error.message : error}`);
  }

  /** Do what somebody has asked for, or say why that cannot be done. @param {string} problem @param {() => Promise<void>} act */
  async _try(problem, act) {
    this._problem.hidden = true;
    try {
      await act();
    } catch (error) {
      this._problem.hidden = false;
      replace(this._problem, `${problem}: ${error instanceof Error ? error.message : error}`);
    }
  }

  /** @param {Record<string, number>} params */
  async _page(params) {
    const api = /** @type {Api} */ (this._api);
    return /** @type {{lines: LogLine[], dropped: number}} */ (await api.get(`${this._path}/$logs`, params));
  }

  async _readEarlier() {
    const oldest = this.model.oldest;
    const limit = Math.min(LINES_OF_A_PAGE, this.model.earlier);
    const page = await this._page({ after: oldest - 1 - limit, limit });
    const fromEnd = this._lines.scrollHeight - this._lines.scrollTop;
    this.model.dropped = page.dropped;
    this.model.prepend(page.lines);
    this._noteFollowing(false);
    this._redraw();
    this._lines.scrollTop = this._lines.scrollHeight - fromEnd;
  }

  /** Show these new lines. @param {LogLine[]} lines */
  add(lines) {
    const start = this.model.shown.length;
    const added = this.model.append(lines);
    if (this.model.trim()) return this._redraw();
    this._window.grow();
    if (this._tools.search.value) this._found.push(...this.model.find(this._tools.search.value, start));
    if (!this._isFollowing) this._unseen += added.length;
    this._told();
    this._stick();
  }

  /** No more lines will come. */
  end() {
    this.isOver = true;
    this._told();
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  _redraw() {
    this._window.show(this.model.shown);
    this._find();
    this._told();
    this._stick();
  }

  _told() {
    const { lines, shown, dropped, earlier } = this.model;
    const all = formatCount(lines.length + earlier);
    replace(this._tools.count, shown === lines ? all : `${formatCount(shown.length)} of ${all}`);
    this._empty.hidden = shown.length > 0;
    replace(this._empty, lines.length ? 'No line has this level.' : this.isOver ? 'It has written nothing.' : 'Nothing yet.');
    this._pill.hidden = this._unseen === 0;
    replace(this._pill, `↓ ${formatCount(this._unseen)} new`);
    this._note.hidden = dropped === 0 && earlier === 0;
    replace(this._note, dropped ? `${dropped.toLocaleString('en')} older lines are not kept. ` : '', earlier ? this._earlierButton(earlier) : '');
    this._showHits();
  }

  /** @param {number} earlier */
  _earlierButton(earlier) {
    const count = Math.min(LINES_OF_A_PAGE, earlier).toLocaleString('en');
    const act = () => void this._try('Earlier lines cannot be read', () => this._readEarlier());
    return h('button', { type: 'button', class: 'link-button', on: { click: act } }, `Load ${count} earlier lines`);
  }

  _stick() {
    if (this._isFollowing) this._lines.scrollTop = this._lines.scrollHeight;
  }

  _scrolled() {
    const left = this._lines.scrollHeight - this._lines.scrollTop - this._lines.clientHeight;
    this._noteFollowing(left <= AT_THE_END_PIXELS);
  }

  /** @param {boolean} isOn */
  _setFollowing(isOn) {
    this._noteFollowing(isOn);
    this._stick();
  }

  /** @param {boolean} isOn */
  _noteFollowing(isOn) {
    if (isOn) this._unseen = 0;
    if (isOn === this._isFollowing && (!isOn || this._pill.hidden)) return;
    this._isFollowing = isOn;
    this._tools.isFollowing.checked = isOn;
    this._told();
  }

  _filter() {
    this.model.setLevel(this._tools.level.value);
    this._redraw();
  }

  // --- finding -------------------------------------------------------------------------------------------------------

  /** Put the cursor into the field. */
  focusSearch() {
    this._tools.search.focus();
    this._tools.search.select();
  }

  _find() {
    this._window.mark(this._tools.search.value);
    this._found = this.model.find(this._tools.search.value);
    this._at = -1;
    if (this._found.length) this._goTo(this._found.length - 1);
    this._showHits();
  }

  /** @param {KeyboardEvent} event */
  _findKey(event) {
    if (event.key === 'Enter') this._step(event.shiftKey ? -1 : 1);
    if (event.key !== 'Escape' || !this._tools.search.value) return;
    event.stopPropagation();
    this._tools.search.value = '';
    this._find();
  }

  /** @param {number} by */
  _step(by) {
    const count = this._found.length;
    if (count) this._goTo((this._at + by + count) % count);
  }

  /** @param {number} at */
  _goTo(at) {
    const place = this._found[at];
    if (place === undefined) return;
    this._at = at;
    this._isFollowing = false;
    this._tools.isFollowing.checked = false;
    this._window.goTo(place);
    this._showHits();
  }

  _showHits() {
    const count = this._found.length;
    const isAsked = this._tools.search.value !== '';
    replace(this._tools.hits, isAsked ? (count ? `${this._at + 1} of ${count.toLocaleString('en')}` : 'none') : '');
    this._tools.previous.hidden = this._tools.next.hidden = count === 0;
  }

  // --- taking it away ------------------------------------------------------------------------------------------------

  /** The newest lines as text. @param {number} [most] */
  text(most = Infinity) {
    const lines = most < Infinity ? this.model.shown.slice(-most) : this.model.shown;
    return lines.map((line) => `${clockOf(line.at)} ${line.level.padEnd(8)} ${line.text}`).join('\n');
  }

  async _copy() {
    await this._try('The lines cannot be copied', async () => {
      // A browser has a clipboard for pages only with https, and on the machine itself.
      if (!navigator.clipboard) throw new Error('the browser allows it only with https');
      await navigator.clipboard.writeText(this.text());
      announce('The lines were copied.');
    });
  }

  async _download() {
    const parts = [];
    let [after, hasMore] = [0, true];
    while (hasMore) {
      const page = await this._page({ after, limit: LINES_OF_A_PAGE });
      parts.push(...page.lines.map((line) => `${line.at} ${line.level} ${stripEscapes(line.text)}\n`));
      hasMore = page.lines.length === LINES_OF_A_PAGE;
      after = page.lines.at(-1)?.number ?? after;
    }
    saveFile(new Blob(parts, { type: 'text/plain' }), `${this._path.split('/').at(-1)}.log`);
  }
}

/** Let the browser save a file. @param {Blob} blob @param {string} name */
export function saveFile(blob, name) {
  const url = URL.createObjectURL(blob);
  h('a', { href: url, download: name }).click();
  // The browser has begun to read it by then; only the page's own hold on it ends.
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}
