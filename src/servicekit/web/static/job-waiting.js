// @ts-check
/**
 * Why a pending job waits, in one sentence. The queues and workers that it depends on are told to those who see
 * everything.
 */

import { formatDuration, formatTime, h, replace, serverNow, visible } from './kit.js';
import { Fresh, hindranceOf, listAble, listAddress, problemOfKind, sentenceOf } from './page-parts.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./types.js').QueueRecord} QueueRecord
 * @typedef {import('./types.js').WorkerRecord} WorkerRecord
 * @typedef {{queue: QueueRecord | undefined, workers: WorkerRecord[]}} Place  where the job is to run, and by which of these
 */

const LEAST_SECONDS = 1;
// Nobody tells that a queue was paused, or that a process went.
const IDLE_SECONDS = 15;

export class JobWaiting {
  element = h('p', { class: 'job-waiting', hidden: true });
  /** @type {JobRecord | null} */
  #record = null;
  /** @type {Place | null} */
  #place = null;
  /** @type {Fresh | null} */
  #fresh = null;

  /** @param {PageContext} context */
  constructor(context) {
    this.context = context;
  }

  /** Say why this job waits; with `null`, say nothing. @param {JobRecord | null} record */
  show(record) {
    this.#record = record?.status === 'pending' ? record : null;
    if (this.#record && secondsUntil(this.#record) <= 0) this.#open();
    else this.close();
    this.#draw();
  }

  close() {
    this.#fresh?.close();
    this.#fresh = null;
    this.#place = null;
  }

  #open() {
    if (this.#fresh || !this.context.service.access.everything) return;
    const pace = { leastSeconds: LEAST_SECONDS, idleSeconds: IDLE_SECONDS };
    this.#fresh = new Fresh(this.context, (signal) => this.#read(signal), pace);
    void this.#fresh.now();
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const { api, service } = this.context;
    const [queues, workers] = await Promise.all([
      /** @type {Promise<QueueRecord[] | null>} */ (api.get(service.paths.queues, null, { signal }).catch(() => null)),
      /** @type {Promise<WorkerRecord[] | null>} */ (api.get(service.paths.workers, null, { signal }).catch(() => null)),
    ]);
    if (signal.aborted) return;
    const queue = queues?.find(({ name }) => name === this.#record?.queue);
    this.#place = queues && workers && { queue, workers: workers.filter((worker) => worker.runs_jobs && !worker.is_stopping) };
    this.#draw();
  }

  #draw() {
    const words = this.#record ? reasonOf(this.#record, this.#place) : [];
    this.element.hidden = words.length === 0;
    const text = words.map((word) => (typeof word === 'string' ? word : word.textContent)).join('');
    // Only if it has changed, since a link in it can be under the pointer.
    if (this.element.textContent !== text) replace(this.element, ...words);
  }
}

/** @param {JobRecord} record */
function secondsUntil({ scheduled_at: moment }) {
  return moment ? (Date.parse(moment) - Number(serverNow())) / 1000 : 0;
}

/**
 * @param {JobRecord} record
 * @param {Place | null} place as far as it is known
 * @returns {(string | HTMLElement)[]}
 */
export function reasonOf(record, place) {
  const seconds = Math.ceil(secondsUntil(record));
  if (seconds > 0) return [startOf(record, seconds)];
  if (!place) return [hindranceOfStart(record) || 'It waits for its turn.'];
  const { queue, workers } = place;
  const name = visible(record.queue, 60);
  const hindrance = queue ? hindranceOf(queue) : '';
  if (hindrance === 'paused') return [`The queue ${name} is `, h('a', { href: './queues' }, 'paused'), ': none of its jobs start.'];
  if (queue && hindrance === 'full') return [`The queue ${name} is full: it `, linkToRunning(queue), '.'];
  if (!workers.length) return ['Nothing runs jobs here at the moment', ...seeWorkers()];
  // What the workers say is of this moment; what has kept the job from beginning can be over.
  return problemOfWorkers(record, workers) ?? [hindranceOfStart(record) || 'It waits for a free place.'];
}

/**
 * @param {Pick<JobRecord, 'runner'>} record
 * @param {Pick<WorkerRecord, 'runners' | 'problems'>[]} workers those that run jobs
 * @returns {(string | HTMLElement)[] | null} why none of them can begin it; `null` if one can, or may be able to
 */
export function problemOfWorkers({ runner }, workers) {
  if (!runner) return null; // a kind of a newer version
  const cause = runner === 'ray' ? ', since none has a cluster (SERVICEKIT_CLUSTER)' : '';
  if (!listAble(runner, workers).length) return [`No worker runs jobs of the kind ${runner}${cause}`, ...seeWorkers()];
  const problem = problemOfKind(runner, workers);
  return problem ? [`No worker can begin it at the moment: ${sentenceOf(problem)}`] : null;
}

function seeWorkers() {
  return [': see the ', h('a', { href: './workers' }, 'workers'), '.'];
}

/** @param {JobRecord} record what has kept it from beginning when its turn came; '' if nothing has */
function hindranceOfStart({ pending_reason: reason }) {
  return reason ? `It could not begin yet: ${sentenceOf(reason)}` : '';
}

/** @param {JobRecord} record @param {number} seconds */
function startOf({ attempt, scheduled_at: moment }, seconds) {
  const wait = seconds < 10 ? `${seconds} s` : formatDuration(seconds);
  return attempt > 0 ? `It is tried again in ${wait}.` : `It starts at ${formatTime(moment)}, in ${wait}.`;
}

/** @param {QueueRecord} queue */
function linkToRunning({ name, running, max_concurrency: limit }) {
  const href = listAddress({ status: 'running', queue: name });
  return h('a', { href }, `runs ${running} of ${limit} jobs`);
}
