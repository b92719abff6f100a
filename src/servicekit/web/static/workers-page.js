// @ts-check
/**
 * The page of the workers: the processes of the service that are alive, since when, and what each of them runs.
 *
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./types.js').WorkerRecord} WorkerRecord
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {{worker: WorkerRecord, jobs: JobRecord[]}} Line
 * @typedef {(job: JobRecord) => number | null} UsualRun  within how many seconds nearly all jobs of its name and queue have ended
 */

import { Calls } from './job-calls.js';
import { formatAge, formatDuration, formatTime, h, replace, secondsRun, serverNow, setText, shareOf, visible } from './kit.js';
import { Fresh, Problem, Rows, formatPercent, labelCells, listAddress, makeBar, makeEmpty, makeHead, problemOfKind, sentenceOf, tick } from './page-parts.js';

const LEAST_SECONDS = 2;
const ACTIVITY_SECONDS = 5;
// Nobody tells that a process came or went.
const IDLE_SECONDS = 10;
const COLUMNS = ['Process', 'Alive for', 'Running'];
const LONG = 3; // times as long as nearly all others of its name
const LEAST_LONG_SECONDS = 10;
const JOBS_READ = 500;
const JOBS_SHOWN = 8; // in each process; the list shows all

/** @param {PageContext} context */
export async function show(context) {
  const page = new WorkersPage(context);
  await page.open();
  return page;
}

class WorkersPage {
  /** @type {WorkerRecord[]} */
  #workers = [];
  #isRead = false;
  /** @type {Map<string, JobRecord>} */
  #jobs = new Map();
  /** @type {Map<string, number | null>} of each name and queue */
  #usualRuns = new Map();
  #calls = new Calls();
  #problem = new Problem();
  #isClosed = false;
  #empty = makeEmpty('No processes', 'Nothing runs the jobs of this service at the moment.');
  #body = h('tbody', {});
  /** @type {Rows<Line>} */
  #rows = new Rows(this.#body, (name) => new WorkerRow(name, this.#calls, (job) => this.#usualRuns.get(groupOf(job)) ?? null));

  /** @param {PageContext} context */
  constructor(context) {
    this.context = context;
    this.fresh = new Fresh(context, (signal) => this.#read(signal), { leastSeconds: LEAST_SECONDS, idleSeconds: IDLE_SECONDS });
    this.activity = new Fresh(context, (signal) => this.#readActivity(signal), { leastSeconds: ACTIVITY_SECONDS, idleSeconds: 60 });
    this.endings = [tick(context, () => this.#render()), context.live.subscribe((event) => this.#take(event))];
  }

  async open() {
    this.context.setTitle('Workers');
    this.table = h('table', { class: 'page-table workers' }, h('caption', { class: 'unseen' }, 'Processes and what they run'), makeHead(COLUMNS, false), this.#body);
    this.#empty.hidden = this.table.hidden = true; // until it is known what there is
    replace(this.context.root, h('div', { class: 'page' }, h('h1', {}, 'Workers'), this.#problem.element, this.#empty, h('div', { class: 'page-scroll' }, this.table)));
    await Promise.all([this.fresh.now(), this.activity.now()]);
  }

  close() {
    this.#isClosed = true;
    this.fresh.close();
    this.activity.close();
    for (const end of this.endings) end();
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const { api, service } = this.context;
    await this.#problem.guard('The processes cannot be read', async () => {
      const running = { status_filter: 'running', limit: JOBS_READ };
      const [workers, jobs] = await Promise.all([
        /** @type {Promise<WorkerRecord[]>} */ (api.get(service.paths.workers, null, { signal })),
        api.get(service.paths.jobs, running, { signal }),
      ]);
      this.#workers = [...Map.groupBy(workers, ({ name }) => name).values()].map(merge);
      this.#jobs = new Map(jobs.map((/** @type {JobRecord} */ job) => [job.id, this.#newer(job)]));
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
    this.#usualRuns = new Map(activity.groups.map((group) => [groupOf(group), group.run_p95]));
    this.#render();
  }

  /** The stream may have told more already than what was read. @param {JobRecord} job */
  #newer(job) {
    const known = this.#jobs.get(job.id);
    return known && known.version > job.version ? known : job;
  }

  /** @param {import('./types.js').LiveEvent} event */
  #take(event) {
    if (event.type !== 'changes') return;
    for (const [id, job] of event.records) {
      if (job.status === 'running') this.#jobs.set(id, job);
      else this.#jobs.delete(id);
    }
    for (const id of event.deleted) this.#jobs.delete(id);
    this.#render();
  }

  #render() {
    if (!this.#isRead) return;
    const groups = Map.groupBy(this.#jobs.values(), (job) => job.process);
    const lines = this.#workers.map((worker) => /** @type {const} */ ([worker.name, { worker, jobs: groups.get(worker.name) ?? [] }]));
    this.#rows.show(new Map(lines));
    const { api, service } = this.context;
    if (!this.#isClosed) void this.#calls.ask({ api, jobs: service.paths.jobs }, [...this.#jobs.keys()], () => this.#render());
    this.#empty.hidden = this.#rows.size > 0;
    if (this.table) this.table.hidden = this.#rows.size === 0;
  }
}

/** @param {{name: string | null, queue: string | null}} group a job, or what is known of such jobs */
const groupOf = ({ name, queue }) => JSON.stringify([name, queue]);

/** Several workers can live in one process, and jobs know only the process. @param {WorkerRecord[]} workers @returns {WorkerRecord} */
function merge(workers) {
  const [first] = /** @type {[WorkerRecord]} */ (workers);
  const kinds = [...new Set(workers.flatMap(({ problems }) => Object.keys(problems)))];
  const problems = kinds.map((kind) => [kind, problemOfKind(kind, workers)]).filter(([, problem]) => problem);
  return {
    ...first,
    is_stopping: workers.every(({ is_stopping }) => is_stopping),
    runs_jobs: workers.some(({ runs_jobs }) => runs_jobs),
    is_this: workers.some(({ is_this }) => is_this),
    running: workers.reduce((sum, { running }) => sum + running, 0),
    runners: workers.some(({ runners }) => !runners) ? null : [...new Set(workers.flatMap(({ runners }) => runners ?? []))],
    problems: Object.fromEntries(problems),
  };
}

class WorkerRow {
  #name = h('th', { scope: 'row' });
  #badges = h('span', {});
  #kinds = h('p', { class: 'quiet worker-kinds' });
  #problems = h('p', { class: 'bad' });
  #age = h('td', {});
  #jobs = h('ul', { class: 'worker-jobs' });
  #idle = h('span', { class: 'quiet' }, 'nothing');
  #more = h('a', { href: listAddress({ status: 'running' }), hidden: true });
  /** @type {Rows<JobRecord>} */
  #lines;

  /** @param {string} name @param {Calls} calls @param {UsualRun} usualRun */
  constructor(name, calls, usualRun) {
    this.#lines = new Rows(this.#jobs, (id) => new JobLine(id, calls, usualRun));
    this.#name.append(name, this.#badges, this.#kinds);
    this.element = h('tr', {}, this.#name, this.#age, h('td', {}, this.#jobs, this.#idle, this.#more, this.#problems));
    labelCells(this.element, COLUMNS);
  }

  /** @param {Line | null} line */
  update(line) {
    this.element.classList.toggle('gone', !line);
    if (!line) return setText(this.#badges, 'gone');
    const { worker, jobs } = line;
    const words = [worker.is_this && 'answers this page', worker.is_stopping && 'stopping', !worker.runs_jobs && 'runs no jobs'].filter((word) => word !== false);
    if (this.#badges.textContent !== words.join('')) replace(this.#badges, words.map((word) => h('span', { class: 'badge' }, word)));
    setText(this.#kinds, worker.runners?.length ? `runs ${worker.runners.join(', ')}` : '');
    const problems = Object.entries(worker.problems).map(([kind, reason]) => `Jobs of the kind ${kind} cannot begin: ${sentenceOf(reason)}`);
    setText(this.#problems, problems.join(' '));
    setText(this.#age, formatDuration((Number(serverNow()) - Date.parse(worker.started_at)) / 1000));
    this.#age.title = `Since ${formatTime(worker.started_at)}${worker.seen_at ? `; seen ${formatAge(worker.seen_at)} ago` : ''}`;
    const shown = jobs.toSorted((one, other) => (one.id < other.id ? -1 : 1)).slice(0, JOBS_SHOWN);
    this.#lines.show(new Map(shown.map((job) => [job.id, job])));
    const others = Math.max(worker.running, jobs.length) - shown.length;
    this.#idle.hidden = jobs.length > 0 || others > 0;
    this.#more.hidden = others <= 0;
    setText(this.#more, shown.length ? `and ${others} more` : `${others} jobs`);
  }
}

class JobLine {
  #link = h('a', {});
  #fill = makeBar('running');
  #bar = h('span', {}, this.#fill.element);
  #share = h('span', { class: 'share' });
  #message = h('span', { class: 'quiet clip' });
  #time = h('span', { class: 'time' });
  #mark = h('span', { class: 'badge', hidden: true });

  /** @param {string} id @param {Calls} calls @param {UsualRun} usualRun */
  constructor(id, calls, usualRun) {
    this.id = id;
    this.usualRun = usualRun;
    this.calls = calls;
    this.#link.href = `./${id}`;
    this.element = h('li', {}, this.#link, this.#bar, this.#share, this.#time, h('span', { class: 'worker-remark' }, this.#mark, this.#message));
  }

  /** @param {JobRecord | null} job */
  update(job) {
    if (!job) return setText(this.#message, 'ended');
    const { progress } = job;
    const share = shareOf(job);
    setText(this.#link, visible(this.calls.get(this.id) ?? job.name));
    this.#link.title = this.#link.textContent ?? '';
    this.#fill.element.hidden = share === null;
    this.#fill.set(share ?? 0);
    setText(this.#share, share === null ? '' : formatPercent(share));
    setText(this.#message, progress?.message ? visible(progress.message) : '');
    this.#message.title = progress?.message ?? '';
    setText(this.#time, formatDuration(secondsRun(job)));
    this.#renderMark(job);
  }

  /** @param {JobRecord} job */
  #renderMark(job) {
    const { cancel_requested_at: asked } = job;
    const usual = this.usualRun(job);
    const isLong = usual !== null && (secondsRun(job) ?? 0) > Math.max(LEAST_LONG_SECONDS, LONG * usual);
    const word = asked ? 'stopping' : isLong ? 'long' : '';
    this.#mark.hidden = word === '';
    this.#mark.className = `badge ${word}`;
    this.#mark.title = asked ? `Asked to stop ${formatAge(asked)} ago` : `Nearly all others took at most ${formatDuration(usual)}`;
    setText(this.#mark, word);
  }
}
