// @ts-check
/**
 * `<job-status src="/api/v1/jobs" job-id="01J...">`: one job, live: its state, progress, times and error.
 *
 * With `src` and `job-id` it follows the job by itself, also with an `apiKey` (a property, since attributes can be read
 * by everybody). Without them it shows the `record` that it is given. At each change it sends the event `servicekit:job`,
 * whose `detail` is the record. While the connection is lost, it says so, and its clocks stand still; the event
 * `servicekit:state` tells of that as well.
 */

import { changeTo } from './in-place.js';
import { Api, describeLoss, dispatch, formatDuration, h, replace, secondsRemaining, secondsRun, shareOf, stateMark } from './kit.js';
import { JobStream, isTerminal } from './job-stream.js';
import { adoptStyles } from './job-styles.js';
import { showMarks } from './log-model.js';

/** @typedef {import('./types.js').JobRecord} JobRecord */

export class JobStatus extends HTMLElement {
  static observedAttributes = ['src', 'job-id'];

  constructor() {
    super();
    /** @type {JobRecord | null} */
    this._record = null;
    this._timer = 0;
    /** @type {JobStream | null} */
    this._stream = null;
    /** The key to send, if the service asks for one. Set it before the element is in the page. */
    this.apiKey = '';
    /** Whether its clocks stand still. */
    this.isStill = false;
    this._head = h('p', { class: 'job-status-head' });
    this._bar = h('div', { class: 'job-bar' }, h('div', { class: 'job-bar-done' }));
    this._facts = h('p', { class: 'job-status-facts' });
    this._error = h('p', { class: 'job-status-error', dir: 'auto' });
    this._lost = h('p', { class: 'job-status-lost', role: 'status' });
  }

  connectedCallback() {
    adoptStyles();
    if (!this.childElementCount) this.append(this._head, this._bar, this._facts, this._error, this._lost);
    this._timer = window.setInterval(() => this.isStill || this._tick(), 1000);
    this._follow();
  }

  disconnectedCallback() {
    clearInterval(this._timer);
    this._stream?.stop();
    this._stream = null;
  }

  attributeChangedCallback() {
    if (this.isConnected) this._follow();
  }

  /** What is shown. @type {JobRecord | null} */
  get record() {
    return this._record;
  }

  set record(record) {
    this._record = record;
    this._draw();
    if (record) this.dispatchEvent(new CustomEvent('servicekit:job', { bubbles: true, detail: record }));
  }

  _follow() {
    this._stream?.stop();
    this._stream = null;
    const [src, jobId] = [this.getAttribute('src'), this.getAttribute('job-id')];
    if (!src || !jobId) return;
    const key = this.apiKey;
    const api = new Api('', { getKey: () => key || null });
    const listener = {
      record: (/** @type {JobRecord} */ record) => this._take(record),
      state: (/** @type {string} */ state, /** @type {Date | null} */ since) => this._stated(state, since),
    };
    this._stream = new JobStream(api, `${src}/${jobId}`, listener);
    this._stream.start();
  }

  /** @param {JobRecord} record */
  _take(record) {
    if (this._record?.id === record.id && this._record.version > record.version) return;
    this.record = record;
  }

  /** @param {string} state @param {Date | null} since */
  _stated(state, since) {
    this.toggleAttribute('data-stale', since !== null);
    this._lost.textContent = since ? describeLoss(since) : '';
    if (state === 'deleted') replace(this._head, 'There is no such job, or not any more.');
    if (state === 'refused') replace(this._head, 'You may not see this job.');
    dispatch(this, 'servicekit:state', { state, since });
  }

  _draw() {
    const record = this._record;
    if (!record) return;
    this.dataset.status = record.status;
    changeTo(this._head, stateMark(record.status), h('span', { class: 'job-status-name', dir: 'auto' }, showMarks(record.name)));
    this._drawBar(record);
    this._error.textContent = showMarks(record.error ?? '');
    this._error.hidden = record.error === null;
    this._tick();
  }

  /** @param {JobRecord} record */
  _drawBar(record) {
    const share = shareOf(record);
    const isRunning = record.status === 'running';
    this._bar.hidden = !isRunning && share === null;
    this._bar.classList.toggle('unknown', isRunning && share === null);
    this._bar.style.setProperty('--share', String(share ?? 0));
    // The role only while it runs: a bar that will never move is no progress to hear of.
    for (const name of ['role', 'aria-label', 'aria-valuenow', 'aria-valuetext']) this._bar.removeAttribute(name);
    if (!isRunning) return;
    this._bar.setAttribute('role', 'progressbar');
    this._bar.setAttribute('aria-label', `Progress of ${record.name}`);
    if (share !== null) this._bar.setAttribute('aria-valuenow', String(Math.floor(share * 100)));
    if (share === null && record.progress) this._bar.setAttribute('aria-valuetext', amountOf(record));
  }

  _tick() {
    const record = this._record;
    // What is not known any more must not seem to go on.
    if (record && !this.hasAttribute('data-stale')) changeTo(this._facts, ...this._factsOf(record));
  }

  /** @param {JobRecord} record */
  _factsOf(record) {
    const facts = [];
    if (record.progress) facts.push(h('strong', { class: 'job-amount' }, amountOf(record)));
    if (record.progress?.message) facts.push(h('span', { class: 'job-message', dir: 'auto' }, showMarks(record.progress.message)));
    const [elapsed, left] = [secondsRun(record), secondsRemaining(record)];
    const isOver = isTerminal(record.status);
    if (elapsed !== null && record.status !== 'pending') {
      facts.push(h('span', { class: 'job-time' }, `${formatDuration(elapsed)}${isOver ? '' : ' elapsed'}`));
    }
    if (left !== null && left >= 1) facts.push(h('span', { class: 'job-time' }, `~${formatDuration(Math.round(left))} left`));
    return facts;
  }
}

/** @param {JobRecord} record */
function amountOf(record) {
  const share = shareOf(record);
  if (share !== null) return `${Math.floor(share * 100)} %`;
  return (record.progress?.done ?? 0).toLocaleString('en');
}
