// @ts-check
/**
 * The stream of one job: its records, and the lines of its log. It comes back until the job has ended, however often the
 * connection is lost.
 */

import { ApiError } from './kit.js';
import { readStream, secondsToRetry } from './live.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./log-model.js').LogLine} LogLine
 * @typedef {import('./kit.js').Api} Api
 * @typedef {import('./live.js').ServerSentEvent} ServerSentEvent
 * @typedef {'connecting' | 'live' | 'reconnecting' | 'ended' | 'deleted' | 'refused'} StreamState
 * @typedef {{record?: (record: JobRecord, text: string) => void, lines?: (lines: LogLine[]) => void,
 *            state?: (state: StreamState, since: Date | null) => void}} Listener  `since`: when it was last known to be right
 */

const TERMINAL = new Set(['completed', 'failed', 'canceled']);
// Lines that come together are handed on together, some twenty times a second: a page shows no more.
const BATCH_MILLISECONDS = 50;
// A hidden page lets go of its stream, since a browser has six connections for a host. Its title must stay true.
const HIDDEN_LOOK_MILLISECONDS = 10_000;
// Any number of people may look at a job that says nothing for hours: none of them may cost the service much.
const PROBE_MILLISECONDS = 15_000;

/** @param {string} status */
export const isTerminal = (status) => TERMINAL.has(status);

export class JobStream {
  /**
   * @param {Api} api
   * @param {string} path the route of the job
   * @param {Listener} listener
   * @param {{logs?: boolean}} [options] `logs`: whether lines are read as well
   */
  constructor(api, path, listener, { logs = false } = {}) {
    this._api = api;
    this._path = path;
    this._listener = listener;
    this._logs = logs;
    this._lastId = '';
    this._failures = 0;
    this._isPaused = false;
    /** When what was told was known to be right. @type {Date | null} */
    this._since = null;
    this._timer = 0;
    this._batchTimer = 0;
    /** @type {LogLine[]} */
    this._batch = [];
    this._request = new AbortController();
    /** @type {StreamState | 'stopped' | 'new'} */
    this.state = 'new';
    this._onVisibility = () => this._turn();
    this._onOnline = () => this.state === 'reconnecting' && this._turn();
  }

  /**
   * Begin: with all changes of status since the submission, and all lines after this one.
   * @param {number} [afterLine]
   */
  start(afterLine = 0) {
    this._lastId = this._logs ? `1.${afterLine}` : '1';
    this._say('connecting');
    document.addEventListener('visibilitychange', this._onVisibility);
    window.addEventListener('online', this._onOnline);
    this._turn();
  }

  stop() {
    this.state = 'stopped';
    this._letGo();
    clearTimeout(this._batchTimer);
    this._hearNothing();
  }

  /** Tell nothing until it goes on, with what has changed meanwhile. @param {boolean} isPaused */
  pause(isPaused) {
    if (this._isPaused === isPaused) return;
    this._isPaused = isPaused;
    if (this.state !== 'new') this._turn();
  }

  _hearNothing() {
    document.removeEventListener('visibilitychange', this._onVisibility);
    window.removeEventListener('online', this._onOnline);
  }

  get isOver() {
    return ['ended', 'deleted', 'refused', 'stopped'].includes(this.state);
  }

  /** Open the stream of a page that is seen; of one that is hidden, only look now and then. */
  _turn() {
    this._letGo();
    if (this.isOver || this._isPaused) return;
    if (document.hidden) this._timer = window.setTimeout(() => void this._look(), HIDDEN_LOOK_MILLISECONDS);
    else void this._open();
  }

  _letGo() {
    clearTimeout(this._timer);
    this._request.abort();
  }

  async _look() {
    try {
      await this._read();
    } catch (error) {
      this._judge(error);
    }
    if (!this.isOver && document.hidden) this._turn();
  }

  async _read() {
    const text = await this._api.text(this._path);
    if (this._isPaused || this.isOver) return;
    this._confirm();
    this._take(text);
  }

  async _open() {
    const request = new AbortController();
    this._request = request;
    try {
      const status = await readStream(this._api, `${this._path}/$stream`, {
        params: this._logs ? { logs: 'true' } : {},
        lastEventId: this._lastId,
        signal: request.signal,
        onOpen: () => this._confirm(),
        onEvent: (event) => !request.signal.aborted && this._hear(event),
        probe: async (options) => {
          await this._api.text(this._path, {}, options);
          this._since = new Date();
        },
        probeMilliseconds: PROBE_MILLISECONDS,
      });
      if (request.signal.aborted || this.isOver) return;
      // 204: the job has ended, and this is known already.
      if (status === 204) await this._read();
      this._comeBack();
    } catch (error) {
      if (!request.signal.aborted) this._judge(error);
    }
  }

  /** What is told is right at this moment. */
  _confirm() {
    this._failures = 0;
    this._since = new Date();
    this._say('live');
  }

  /** @param {ServerSentEvent} event */
  _hear(event) {
    this._lastId = event.id || this._lastId;
    this._since = new Date();
    if (event.event === 'log') {
      this._batch.push(JSON.parse(event.data));
      this._batchTimer ||= window.setTimeout(() => this._flush(), BATCH_MILLISECONDS);
    } else {
      this._flush(); // lines come before the end of their job
      this._take(event.data);
    }
  }

  /** @param {string} text of a record */
  _take(text) {
    const record = JSON.parse(text);
    if (record.status === 'deleted') return this._end('deleted');
    this._listener.record?.(record, text);
    if (isTerminal(record.status)) this._end('ended');
  }

  _flush() {
    clearTimeout(this._batchTimer);
    this._batchTimer = 0;
    const lines = this._batch;
    this._batch = [];
    if (lines.length) this._listener.lines?.(lines);
  }

  /** @param {unknown} error */
  _judge(error) {
    const status = error instanceof ApiError ? error.status : 0;
    if (status === 404) this._end('deleted');
    else if (status === 401 || status === 403) this._end('refused');
    else this._comeBack();
  }

  _comeBack() {
    if (this.isOver) return;
    this._say('reconnecting');
    this._failures += 1;
    this._timer = window.setTimeout(() => this._turn(), secondsToRetry(this._failures) * 1_000);
  }

  /** @param {StreamState} state */
  _end(state) {
    if (this.isOver) return;
    this._flush();
    this._letGo();
    this._hearNothing();
    this._say(state);
  }

  /** @param {StreamState} state */
  _say(state) {
    if (this.state === state) return;
    this.state = state;
    this._listener.state?.(state, state === 'reconnecting' ? (this._since ?? new Date()) : null);
  }
}
