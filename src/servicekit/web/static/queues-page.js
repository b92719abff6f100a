// @ts-check
/**
 * The page of the queues: how many jobs wait and run in each, how long jobs waited in the last hour, and a button that
 * pauses or resumes it.
 *
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./types.js').QueueRecord} QueueRecord
 * @typedef {import('./types.js').ActivityTotal} ActivityTotal
 * @typedef {{queue: QueueRecord, total: ActivityTotal | undefined}} Line
 */

import { formatRate, formatSeconds, formatShare } from './activity.js';
import { announce, formatCount, formatExact, h, replace, setText, visible } from './kit.js';
import { Fresh, Problem, Rows, hindranceOf, labelCells, listAddress, makeBar, makeEmpty, makeHead } from './page-parts.js';

const COUNT_SECONDS = 1;
const ACTIVITY_SECONDS = 5;
// Nobody tells that a queue was paused elsewhere.
const IDLE_SECONDS = 15;
const COLUMNS = ['Queue', 'Pending', 'Running', 'Per minute', 'Failed', 'Wait p50', 'Wait p95'];

/** @param {PageContext} context */
export async function show(context) {
  const page = new QueuesPage(context);
  await page.open();
  return page;
}

class QueuesPage {
  /** @type {Map<string, QueueRecord>} one that is idle again keeps its row, until it is known whether it had jobs of late */
  #queues = new Map();
  /** @type {Map<string | null, ActivityTotal>} */
  #totals = new Map();
  #isRead = false;
  #problem = new Problem();
  #empty = makeEmpty('No queues in use', 'A queue is on show while it has a limit, is paused, has jobs, or had some in the last hour. Jobs are in the queue “default” unless they name another one.');
  #body = h('tbody', {});
  /** @type {Rows<Line>} */
  #rows;

  /** @param {PageContext} context */
  constructor(context) {
    this.context = context;
    this.#rows = new Rows(this.#body, (name) => new QueueRow(name, this.#mayAct ? () => this.#switch(name) : null));
    this.counts = new Fresh(context, (signal) => this.#readQueues(signal), { leastSeconds: COUNT_SECONDS, idleSeconds: IDLE_SECONDS });
    this.activity = new Fresh(context, (signal) => this.#readActivity(signal), { leastSeconds: ACTIVITY_SECONDS, idleSeconds: 60 });
  }

  get #mayAct() {
    return this.context.service.access.may_act;
  }

  async open() {
    this.context.setTitle('Queues');
    const head = makeHead(COLUMNS, this.#mayAct);
    this.table = h('table', { class: 'page-table queues' }, h('caption', { class: 'unseen' }, 'Queues, with the activity of the last hour'), head, this.#body);
    this.#empty.hidden = this.table.hidden = true; // until it is known what there is
    replace(this.context.root, h('div', { class: 'page' }, h('div', { class: 'heading' }, h('h1', {}, 'Queues'), h('p', { class: 'quiet' }, 'Rates and waits of the last hour')), this.#problem.element, this.#empty, h('div', { class: 'page-scroll' }, this.table)));
    await Promise.all([this.counts.now(), this.activity.now()]);
  }

  close() {
    this.counts.close();
    this.activity.close();
  }

  /** @param {AbortSignal} signal */
  async #readQueues(signal) {
    const { api, service } = this.context;
    await this.#problem.guard('The queues cannot be read', async () => {
      /** @type {QueueRecord[]} */
      const queues = await api.get(service.paths.queues, null, { signal });
      const idle = [...this.#queues.values()].map((queue) => ({ ...queue, pending: 0, running: 0, is_paused: false }));
      this.#queues = new Map([...idle, ...queues].map((queue) => [queue.name, queue]));
      this.#isRead = true;
      this.#render();
    });
  }

  /** @param {AbortSignal} signal */
  async #readActivity(signal) {
    const { api, service } = this.context;
    /** @type {import('./types.js').Activity | null} */
    const activity = await api.get(`${service.paths.jobs}/$activity`, { minutes: 60 }, { signal }).catch(() => null);
    if (!activity) return;
    this.#totals = new Map(activity.queues.map((total) => [total.queue, total]));
    this.#queues = new Map([...this.#queues].filter(([name, queue]) => this.#totals.has(name) || !isIdle(queue)));
    this.#render();
  }

  #render() {
    if (!this.#isRead) return;
    const busy = [...this.#totals.keys()].filter((name) => name !== null);
    const names = [...new Set([...this.#queues.keys(), ...busy])].sort((one, other) => one.localeCompare(other));
    const lines = names.map((name) => /** @type {const} */ ([name, { queue: this.#queues.get(name) ?? makeIdle(name), total: this.#totals.get(name) }]));
    this.#rows.show(new Map(lines));
    this.#empty.hidden = this.#rows.size > 0;
    if (this.table) this.table.hidden = this.#rows.size === 0;
  }

  /** @param {string} name */
  async #switch(name) {
    const { api, service } = this.context;
    const action = this.#queues.get(name)?.is_paused ? 'resume' : 'pause';
    await this.#problem.guard(`The queue ${name} could not be ${action}d`, async () => {
      const queue = await api.post(`${service.paths.queues}/${encodePath(name)}/$${action}`);
      this.#queues.set(name, queue);
      this.#render();
      void this.counts.now();
      announce(`Queue ${name} ${action}d`);
    });
  }
}

/** A queue whose jobs have all ended, of which the service has nothing more to say. @param {string} name @returns {QueueRecord} */
const makeIdle = (name) => ({ name, is_paused: false, pending: 0, running: 0, max_concurrency: null });

/** Whether it is on show only for what was in the last hour. @param {QueueRecord} queue */
const isIdle = ({ is_paused, pending, running, max_concurrency }) => !is_paused && !pending && !running && max_concurrency === null;

class QueueRow {
  #bar = makeBar('running');
  #pending = h('a', {});
  #running = h('a', {});
  #cells = { rate: h('td', {}), failed: h('td', {}), waitHalf: h('td', {}), waitMost: h('td', {}) };
  #mark = h('span', { class: 'badge', hidden: true });

  /** @param {string} name @param {(() => void) | null} act */
  constructor(name, act) {
    this.#pending.href = listAddress({ queue: name, status: 'pending' });
    this.#running.href = listAddress({ queue: name, status: 'running' });
    this.button = act && h('button', { class: 'small', on: { click: act } });
    this.name = name;
    const { rate, failed, waitHalf, waitMost } = this.#cells;
    this.element = h('tr', {},
      h('th', { scope: 'row' }, h('a', { href: listAddress({ queue: name }), dir: 'auto' }, visible(name)), this.#mark),
      h('td', {}, this.#pending), h('td', { class: 'with-bar' }, this.#bar.element, this.#running),
      rate, failed, waitHalf, waitMost, this.button && h('td', { class: 'actions' }, this.button));
    labelCells(this.element, COLUMNS);
  }

  /** @param {Line | null} line */
  update(line) {
    if (!line) return;
    const { queue, total } = line;
    setCount(this.#pending, queue.pending, 'pending');
    setCount(this.#running, queue.running, 'running', queue.max_concurrency);
    this.#bar.set(queue.max_concurrency ? queue.running / queue.max_concurrency : 0);
    this.#bar.element.hidden = !queue.max_concurrency;
    const hindrance = hindranceOf(queue);
    this.#mark.hidden = hindrance === '';
    this.#mark.className = `badge ${hindrance}`;
    setText(this.#mark, hindrance);
    setText(this.#cells.rate, formatRate(total?.per_minute));
    setText(this.#cells.failed, formatShare(total?.failure_share));
    this.#cells.failed.classList.toggle('bad', Boolean(total?.failure_share));
    setText(this.#cells.waitHalf, formatSeconds(total?.wait_p50));
    setText(this.#cells.waitMost, formatSeconds(total?.wait_p95));
    if (this.button) this.#renderButton(this.button, queue);
  }

  /** @param {HTMLElement} button @param {QueueRecord} queue */
  #renderButton(button, { is_paused }) {
    setText(button, is_paused ? 'Resume' : 'Pause');
    button.setAttribute('aria-label', `${is_paused ? 'Resume' : 'Pause'} the queue ${this.name}`);
    button.title = is_paused ? 'Start its jobs again' : 'Start no more of its jobs; those that run go on';
  }
}

/** @param {HTMLElement} link @param {number} count @param {string} word @param {number | null} [limit] */
function setCount(link, count, word, limit = null) {
  setText(link, limit === null ? formatCount(count) : `${formatCount(count)} / ${formatCount(limit)}`);
  link.title = limit === null ? `${formatExact(count)} ${word}` : `${formatExact(count)} ${word}, at most ${formatExact(limit)}`;
}

/** Names may contain slashes, and the routes of queues take them as they are. @param {string} name */
const encodePath = (name) => name.split('/').map(encodeURIComponent).join('/');
