// @ts-check
/**
 * The page of the schedules: when each submits its jobs, in words, how long it is until the next one, what became of the
 * last one, and buttons to pause, resume and remove it.
 *
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./types.js').ScheduleRecord} ScheduleRecord
 * @typedef {import('./types.js').JobRecord} JobRecord
 */

import { announce, formatAge, formatDuration, formatTime, h, replace, serverNow, setText, stateMark, visible } from './kit.js';
import { Fresh, Problem, Rows, confirmAction, labelCells, listAddress, makeEmpty, makeHead, tick } from './page-parts.js';
import { describeTimetable } from './timetable-words.js';

const LEAST_SECONDS = 1;
// Nobody tells that a schedule was added, paused or removed elsewhere.
const IDLE_SECONDS = 15;
const MOST_READ = 100; // of the last jobs, at once
const COLUMNS = ['Schedule', 'When', 'Next', 'Last job'];
const MISSED = { skip: 'Missed times get no job', once: 'One job for all missed times', all: 'A job for each missed time' };
const OVERLAP = {
  skip: 'no job while the last one has not ended',
  wait: 'a job waits for the end of the last one',
  allow: 'jobs may run at the same time',
};

/** @param {PageContext} context */
export async function show(context) {
  const page = new SchedulesPage(context);
  await page.open();
  return page;
}

class SchedulesPage {
  /** @type {Map<string, ScheduleRecord>} */
  #schedules = new Map();
  #isRead = false;
  /** @type {Map<string, JobRecord | null>} the last jobs by id; `null` for one that is not kept any more */
  #jobs = new Map();
  #problem = new Problem();
  #empty = makeEmpty('No schedules', 'A schedule submits a job again and again. The service’s code adds it:',
    h('code', {}, '.with_schedule("clean up", Cron("0 3 * * *"), clean_up, days=7)'));
  #body = h('tbody', {});
  /** @type {Rows<ScheduleRecord>} */
  #rows;
  /** @type {(() => void)[]} */
  #endings;

  /** @param {PageContext} context */
  constructor(context) {
    this.context = context;
    this.#rows = new Rows(this.#body, (name) => new ScheduleRow(name, this.#jobs, context.service.access.may_act ? this : null));
    this.fresh = new Fresh(context, (signal) => this.#read(signal), { leastSeconds: LEAST_SECONDS, idleSeconds: IDLE_SECONDS });
    this.#endings = [tick(context, () => this.#render()), context.live.subscribe((event) => this.#take(event))];
  }

  async open() {
    this.context.setTitle('Schedules');
    const head = makeHead(COLUMNS, this.context.service.access.may_act);
    this.table = h('table', { class: 'page-table schedules' }, h('caption', { class: 'unseen' }, 'Schedules'), head, this.#body);
    this.#empty.hidden = this.table.hidden = true; // until it is known what there is
    replace(this.context.root, h('div', { class: 'page' }, h('h1', {}, 'Schedules'), this.#problem.element, this.#empty, h('div', { class: 'page-scroll' }, this.table)));
    await this.fresh.now();
  }

  close() {
    this.fresh.close();
    for (const end of this.#endings) end();
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const { api, service } = this.context;
    await this.#problem.guard('The schedules cannot be read', async () => {
      /** @type {ScheduleRecord[]} */
      const schedules = await api.get(service.paths.schedules, null, { signal });
      this.#schedules = new Map(schedules.map((schedule) => [schedule.name, schedule]));
      this.#isRead = true;
      await this.#readJobs(schedules.flatMap(({ last_job_id }) => last_job_id ?? []), signal);
      this.#render();
    });
  }

  /** A last job is read once, if it is kept; what it becomes is told by the stream. @param {string[]} ids @param {AbortSignal} signal */
  async #readJobs(ids, signal) {
    const { api, service } = this.context;
    const unknown = ids.filter((id) => !this.#jobs.has(id)).slice(0, MOST_READ);
    if (!unknown.length) return;
    const kept = await api.get(`${service.paths.jobs}/$calls`, { id: unknown }, { signal });
    const read = async (/** @type {string} */ id) => {
      const job = id in kept ? await api.get(`${service.paths.jobs}/${id}`, null, { signal }).catch(() => null) : null;
      if (!signal.aborted) this.#jobs.set(id, job);
    };
    await Promise.all(unknown.map(read));
  }

  /** @param {import('./types.js').LiveEvent} event */
  #take(event) {
    if (event.type === 'reset') this.#jobs.clear();
    if (event.type !== 'changes') return;
    for (const [id, job] of event.records) if (job.schedule) this.#jobs.set(id, job);
    for (const id of event.deleted) if (this.#jobs.has(id)) this.#jobs.set(id, null);
  }

  #render() {
    if (!this.#isRead) return;
    this.#rows.show(this.#schedules);
    this.#empty.hidden = this.#rows.size > 0;
    if (this.table) this.table.hidden = this.#rows.size === 0;
    const shown = new Set([...this.#schedules.values()].map(({ last_job_id }) => last_job_id));
    for (const id of this.#jobs.keys()) if (!shown.has(id)) this.#jobs.delete(id);
  }

  /** @param {string} name */
  async switch(name) {
    const { api, service } = this.context;
    const action = this.#schedules.get(name)?.is_paused ? 'resume' : 'pause';
    await this.#problem.guard(`The schedule ${name} could not be ${action}d`, async () => {
      this.#schedules.set(name, await api.post(`${service.paths.schedules}/${encodeURIComponent(name)}/$${action}`));
      this.#render();
      void this.fresh.now();
      announce(`Schedule ${name} ${action}d`);
    });
  }

  /** @param {string} name */
  async remove(name) {
    const { api, service } = this.context;
    const text = 'It submits no more jobs; those that it has submitted stay. If the service’s code adds it, it is back '
      + 'after the next start: pause it instead.';
    if (!await confirmAction({ title: `Remove the schedule “${name}”?`, text, action: 'Remove' })) return;
    const isDone = await this.#problem.guard(`The schedule ${name} could not be removed`, () =>
      api.delete(`${service.paths.schedules}/${encodeURIComponent(name)}`));
    if (!isDone) return;
    this.#schedules.delete(name);
    this.#rows.remove(name);
    this.#render();
    void this.fresh.now();
    announce(`Schedule ${name} removed`);
  }
}

class ScheduleRow {
  #name = h('a', { dir: 'auto' });
  #target = h('span', { class: 'sub' });
  #paused = h('span', { class: 'badge paused', hidden: true }, 'paused');
  #problem = h('p', { class: 'bad', hidden: true });
  #words = h('span', {});
  #expression = h('span', { class: 'sub' });
  #next = h('td', {});
  #last = h('td', {});
  #shownLast = '';

  /**
   * @param {string} name @param {Map<string, JobRecord | null>} jobs
   * @param {SchedulesPage | null} actions
   */
  constructor(name, jobs, actions) {
    this.name = name;
    this.jobs = jobs;
    setText(this.#name, visible(name));
    this.button = actions && h('button', { class: 'small', on: { click: () => void actions.switch(name) } });
    const remove = actions && h('button', { class: 'small', 'aria-label': `Remove the schedule ${name}`, on: { click: () => void actions.remove(name) } }, 'Remove');
    this.element = h('tr', {},
      h('th', { scope: 'row' }, this.#name, this.#paused, this.#target, this.#problem),
      h('td', {}, this.#words, this.#expression), this.#next, this.#last,
      this.button && h('td', { class: 'actions' }, this.button, remove));
    labelCells(this.element, COLUMNS);
  }

  /** @param {ScheduleRecord | null} schedule */
  update(schedule) {
    this.element.classList.toggle('gone', !schedule);
    if (!schedule) return setText(this.#next, 'removed');
    this.#renderWhen(schedule);
    this.#renderNext(schedule);
    this.#renderLast(schedule);
    this.#paused.hidden = !schedule.is_paused;
    this.#problem.hidden = !schedule.problem;
    setText(this.#problem, schedule.problem ? visible(schedule.problem) : '');
    if (!this.button) return;
    setText(this.button, schedule.is_paused ? 'Resume' : 'Pause');
    this.button.setAttribute('aria-label', `${schedule.is_paused ? 'Resume' : 'Pause'} the schedule ${this.name}`);
  }

  /** @param {ScheduleRecord} schedule */
  #renderWhen({ timetable, target_name, missed, overlap }) {
    this.#name.setAttribute('href', listAddress({ name: target_name }));
    this.#name.title = `Jobs of ${target_name}`;
    setText(this.#target, target_name === this.name ? '' : visible(target_name));
    setText(this.#words, describeTimetable(timetable));
    const isCron = timetable !== null && 'cron' in timetable;
    setText(this.#expression, isCron ? `${timetable.cron} · ${timetable.time_zone}` : '');
    this.#words.title = `${MISSED[missed]}; ${OVERLAP[overlap]}.`;
  }

  /** @param {ScheduleRecord} schedule */
  #renderNext({ next_at, is_paused }) {
    const seconds = next_at ? Math.round((Date.parse(next_at) - Number(serverNow())) / 1000) : null;
    setText(this.#next, is_paused ? '–' : seconds === null ? 'never' : seconds > 0 ? `in ${formatDuration(seconds)}` : 'now');
    this.#next.title = next_at ? formatTime(next_at) : '';
  }

  /** @param {ScheduleRecord} schedule */
  #renderLast({ last_job_id, last_at }) {
    const job = last_job_id ? this.jobs.get(last_job_id) : undefined;
    const key = `${last_job_id} ${job?.version} ${job === null}`;
    if (key !== this.#shownLast) {
      this.#shownLast = key;
      replace(this.#last, ...describeLast(last_job_id, job));
    }
    const age = this.#last.querySelector('time');
    if (age && last_at) setText(age, `${formatAge(last_at)} ago`);
    if (age && last_at) age.title = formatTime(last_at);
  }
}

/** @param {string | null} id @param {JobRecord | null | undefined} job */
function describeLast(id, job) {
  if (!id) return [h('span', { class: 'quiet' }, 'none yet')];
  const age = h('time', { class: 'quiet' });
  if (!job) return [h('span', { class: 'quiet' }, job === null ? 'not kept any more' : ''), ' ', age];
  const link = h('a', { href: `./${id}`, 'aria-label': `The last job, ${job.status}` }, stateMark(job.status));
  return [link, ' ', age, job.error ? h('p', { class: 'bad clip', title: job.error }, job.error) : null];
}
