// @ts-check
/**
 * The stream of one job: its records, and the lines of its log. It comes back until the job has ended, however often the
 * connection is lost.
 */

import { ApiError } from './kit.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./log-model.js').LogLine} LogLine
 * @typedef {import('./kit.js').Api} Api
 * @typedef {'connecting' | 'live' | 'reconnecting' | 'ended' | 'deleted' | 'refused'} StreamState
 * @typedef {{record?: (record: JobRecord, text: string) => void, lines?: (lines: LogLine[]) => void,
 *            state?: (state: StreamState) => void}} Listener
 */

const TERMINAL = new Set(['completed', 'failed', 'canceled']);
// Lines that come together are handed on together, some twenty times a second: a page shows no more.
const BATCH_MILLISECONDS = 50;
const FIRST_WAIT = 1_000;
const LONGEST_WAIT = 15_000;
// A hidden page lets go of its stream, since a browser has six connections for a host. Its title must stay true.
const HIDDEN_LOOK_MILLISECONDS = 10_000;

/** @param {string} status */
export const isTerminal = (status) => TERMINAL.has(status);

export class JobStream {
  /**
   * @param {Api} api
   * @param {string} jobs the path of the jobs
   * @param {string} jobId
   * @param {Listener} listener
   * @param {{logs?: boolean, needsTicket?: boolean}} [options]
   */
  constructor(api, jobs, jobId, listener, { logs = false, needsTicket = false } = {}) {
    this._api = api;
    this._jobs = jobs;
    this._path = `${jobs}/${jobId}`;
    this._jobId = jobId;
    this._listener = listener;
    this._logs = logs;
    this._needsTicket = needsTicket;
    this._lastId = '';
    this._wait = FIRST_WAIT;
    this._timer = 0;
    this._batchTimer = 0;
    /** @type {LogLine[]} */
    this._batch = [];
    /** @type {EventSource | null} */
    this._source = null;
    /** @type {StreamState | 'stopped' | 'new'} */
    this.state = 'new';
    this._onVisibility = () => this._turn();
  }

  /**
   * Begin: with all changes of status since the submission, and all lines after this one.
   * @param {number} [afterLine]
   */
  start(afterLine = 0) {
    this._lastId = this._logs ? `1.${afterLine}` : '1';
    this._say('connecting');
    document.addEventListener('visibilitychange', this._onVisibility);
    this._turn();
  }

  stop() {
    this.state = 'stopped';
    this._letGo();
    clearTimeout(this._batchTimer);
    document.removeEventListener('visibilitychange', this._onVisibility);
  }

  get isOver() {
    return ['ended', 'deleted', 'refused', 'stopped'].includes(this.state);
  }

  /** Open the stream of a page that is seen; of one that is hidden, only look now and then. */
  _turn() {
    this._letGo();
    if (this.isOver) return;
    if (document.hidden) this._timer = window.setTimeout(() => this._look(), HIDDEN_LOOK_MILLISECONDS);
    else void this._open();
  }

  _letGo() {
    clearTimeout(this._timer);
    this._source?.close();
    this._source = null;
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
    this._listener.record?.(JSON.parse(text), text);
  }

  async _open() {
    /** @type {Record<string, string>} */
    const params = { lastEventId: this._lastId };
    if (this._logs) params.logs = 'true';
    try {
      if (this._needsTicket) params.ticket = await this._ticket();
    } catch (error) {
      return this._judge(error);
    }
    if (this.isOver || document.hidden || this._source) return;
    const source = new EventSource(this._api.url(`${this._path}/$stream`, params));
    this._source = source;
    source.onopen = () => this._opened();
    source.onmessage = (event) => this._takeRecord(event);
    source.addEventListener('log', (event) => this._takeLine(event));
    source.onerror = () => this._lost(source);
  }

  async _ticket() {
    const given = await this._api.post(`${this._jobs}/$ticket`, {}, { job_ids: [this._jobId] });
    return /** @type {{ticket: string}} */ (given).ticket;
  }

  _opened() {
    this._wait = FIRST_WAIT;
    this._say('live');
  }

  /** @param {MessageEvent<string>} event */
  _takeRecord(event) {
    this._flush(); // lines come before the end of their job
    const record = JSON.parse(event.data);
    if (record.status === 'deleted') return this._end('deleted');
    this._lastId = event.lastEventId || this._lastId;
    this._listener.record?.(record, event.data);
    if (isTerminal(record.status)) this._end('ended');
  }

  /** @param {MessageEvent<string>} event */
  _takeLine(event) {
    this._lastId = event.lastEventId || this._lastId;
    this._batch.push(JSON.parse(event.data));
    this._batchTimer ||= window.setTimeout(() => this._flush(), BATCH_MILLISECONDS);
  }

  _flush() {
    clearTimeout(this._batchTimer);
    this._batchTimer = 0;
    const lines = this._batch;
    this._batch = [];
    if (lines.length) this._listener.lines?.(lines);
  }

  /** @param {EventSource} source */
  _lost(source) {
    if (source !== this._source) return;
    this._say('reconnecting');
    // It comes back by itself, but for an answer that is no stream: 404, 401, a 502 of a proxy; or 204, nothing more.
    if (source.readyState === EventSource.CLOSED) void this._askWhy();
  }

  async _askWhy() {
    this._letGo();
    try {
      const text = await this._api.text(this._path);
      const record = JSON.parse(text);
      this._listener.record?.(record, text);
      if (isTerminal(record.status)) return this._end('ended');
      this._comeBack();
    } catch (error) {
      this._judge(error);
    }
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
    this._timer = window.setTimeout(() => this._turn(), this._wait);
    this._wait = Math.min(LONGEST_WAIT, this._wait * 2);
  }

  /** @param {StreamState} state */
  _end(state) {
    if (this.isOver) return;
    this._flush();
    this._letGo();
    document.removeEventListener('visibilitychange', this._onVisibility);
    this._say(state);
  }

  /** @param {StreamState} state */
  _say(state) {
    if (this.state === state) return;
    this.state = state;
    this._listener.state?.(state);
  }
}
