// @ts-check
/**
 * The page of the tasks: a form for each from the JSON Schema of its parameters, its last runs as they are, and a button
 * to enable or disable it. The address has the task that is on show.
 *
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./types.js').TaskRecord} TaskRecord
 * @typedef {import('./types.js').JobRecord} JobRecord
 */

import { ApiError, announce, formatAge, formatDuration, formatTime, h, replace, secondsRun, setAttribute, setText, shareOf, stateMark, visible } from './kit.js';
import { Fresh, Problem, Rows, formatPercent, labelCells, listAddress, makeEmpty, makeHead, tick } from './page-parts.js';
import { SchemaForm } from './schema-form.js';
import { valuesOf } from './task-values.js';

const IDLE_SECONDS = 15;
const RUNS_SHOWN = 10;
const COLUMNS = ['State', 'Submitted', 'Time', 'What became of it'];

/** @param {PageContext} context */
export async function show(context) {
  const page = new TasksPage(context);
  await page.open();
  return page;
}

class TasksPage {
  /** @type {TaskRecord[]} */
  #tasks = [];
  #isBegun = false;
  /** @type {TaskView | null} */
  #view = null;
  #problem = new Problem();
  #links = h('ul', {});
  #list = h('nav', { class: 'panel task-list', 'aria-label': 'Tasks' }, this.#links);
  #place = h('div', { class: 'task-place' });

  /** @param {PageContext} context */
  constructor(context) {
    this.context = context;
    this.fresh = new Fresh(context, (signal) => this.#read(signal), { leastSeconds: IDLE_SECONDS, idleSeconds: IDLE_SECONDS });
  }

  async open() {
    const { root, setTitle } = this.context;
    setTitle('Tasks');
    this.#list.hidden = true;
    replace(root, h('div', { class: 'page' }, h('h1', {}, 'Tasks'), this.#problem.element, h('div', { class: 'task-columns' }, this.#list, this.#place)));
    await this.fresh.now();
  }

  close() {
    this.fresh.close();
    this.#view?.close();
  }

  /** The job whose values the form is to have. @param {string | null} id @returns {Promise<JobRecord | null>} */
  async #readJob(id) {
    if (id === null) return null;
    const { api, service, signal } = this.context;
    let job = null;
    await this.#problem.guard('The values of that job cannot be read', async () => {
      job = await api.get(`${service.paths.jobs}/${encodeURIComponent(id)}`, null, { signal });
    });
    return job;
  }

  /** @param {AbortSignal} [signal] */
  async #read(signal) {
    const { api, service } = this.context;
    const isRead = await this.#problem.guard('The tasks cannot be read', async () => {
      this.#tasks = service.paths.tasks === null ? [] : await api.get(service.paths.tasks, null, { signal });
    });
    if (!isRead) return;
    if (!this.#isBegun) await this.#begin();
    this.#render();
  }

  /** Choose what the address names, as soon as there is a task. */
  async #begin() {
    const { searchParams } = this.context.url;
    const [first] = this.#tasks;
    this.#isBegun = first !== undefined;
    if (first) this.#choose(searchParams.get('task') ?? first.name, await this.#readJob(searchParams.get('from')));
    else replace(this.#place, makeEmpty('No tasks', 'A task is a function or a command that can be run by name. The service’s code has none, and no client has made one.'));
  }

  #render() {
    const shown = this.#view?.task.name;
    this.#list.hidden = this.#tasks.length === 0;
    const names = this.#tasks.map(({ name, enabled, problem }) => `${name} ${enabled} ${problem}`).join('\n');
    if (this.#links.dataset.names !== names) {
      this.#links.dataset.names = names;
      replace(this.#links, this.#tasks.map((task) => h('li', {}, this.#makeLink(task))));
    }
    for (const link of this.#links.querySelectorAll('button')) setAttribute(link, 'aria-current', link.name === shown ? 'true' : null);
    const now = this.#tasks.find(({ name }) => name === shown);
    if (now) this.#view?.update(now);
  }

  /** @param {TaskRecord} task */
  #makeLink({ name, enabled, problem }) {
    const note = problem ? 'not here' : enabled ? null : 'disabled';
    return h('button', { type: 'button', name, on: { click: () => this.#choose(name) } }, name, note && h('span', { class: 'badge' }, note));
  }

  /** @param {string} name @param {JobRecord | null} [job] whose values the form has */
  #choose(name, job = null) {
    const task = this.#tasks.find((each) => each.name === name);
    this.#view?.close();
    this.#view = null;
    if (task) {
      this.#view = new TaskView(this.context, task, job, () => this.fresh.now());
      this.context.navigate(`./tasks?${new URLSearchParams({ task: name, ...(job && { from: job.id }) })}`, { replace: true });
    }
    replace(this.#place, task ? this.#view?.element : makeEmpty('No such task', `There is no task ${name}.`));
    this.#render();
  }
}

class TaskView {
  #problem = new Problem();
  #note = h('p', { class: 'quiet' });
  #submitted = h('p', { class: 'submitted', role: 'status' });
  #execute = h('button', { class: 'main' }, 'Execute');
  #switch = h('button', { type: 'button', on: { click: () => void this.#toggle() } });
  /** @type {Runs} */
  #runs;

  /** @param {PageContext} context @param {TaskRecord} task @param {JobRecord | null} job whose values the form has @param {() => void} onChange */
  constructor(context, task, job, onChange) {
    this.context = context;
    this.task = task;
    this.onChange = onChange;
    const { values, left } = job ? valuesOf(job, task.parameters_schema) : { values: {}, left: [] };
    this.form = new SchemaForm(task.parameters_schema, values);
    this.source = job && describeSource(job, left);
    this.#runs = new Runs(context, task.name);
    this.element = h('div', { class: 'task' }, this.#makePanel(), this.#runs.element);
    this.update(task);
  }

  close() {
    this.#runs.close();
  }

  /** @param {TaskRecord} task the same one, as it is now */
  update(task) {
    this.task = task;
    this.#execute.disabled = !task.enabled || Boolean(task.problem);
    setText(this.#note, task.problem ?? (task.enabled ? '' : 'This task is disabled.'));
    setText(this.#switch, task.enabled ? 'Disable' : 'Enable');
  }

  #makePanel() {
    const { task } = this;
    const isCommand = task.task_type === 'shell' || task.source === 'client';
    return h('section', { class: 'panel', 'aria-label': task.name },
      h('h2', {}, task.name), task.description ? h('p', {}, task.description) : null,
      isCommand ? h('p', { class: 'quiet' }, h('code', {}, task.command)) : null,
      this.context.service.access.may_act ? this.#makeForm() : null, this.#note);
  }

  #makeForm() {
    const isEverybodys = this.context.service.access.everything;
    const buttons = h('div', { class: 'task-buttons' }, this.#execute, isEverybodys ? this.#switch : null);
    const submit = (/** @type {Event} */ event) => {
      event.preventDefault();
      void this.#submit();
    };
    return h('form', { class: 'task-form', autocomplete: 'off', on: { submit } }, this.source, this.form.element, this.#problem.element, buttons, this.#submitted);
  }

  async #submit() {
    const parameters = this.form.read();
    if (parameters === null) return;
    this.#execute.disabled = true;
    try {
      const { job_id } = await this.context.api.post(`${this.#path}/$execute`, null, { parameters });
      this.#problem.say('');
      replace(this.#submitted, 'Submitted: ', h('a', { href: `./${job_id}` }, job_id));
      this.#runs.fresh.now();
    } catch (error) {
      this.#explain(/** @type {Error} */ (error));
      this.onChange();
    }
    this.update(this.task);
  }

  /** @param {Error} error */
  #explain(error) {
    replace(this.#submitted);
    const problems = error instanceof ApiError ? error.problems : [];
    const own = problems.filter(({ loc }) => loc[0] === 'parameters').map(({ loc, msg }) => ({ loc: loc.slice(1), msg }));
    const others = problems.filter(({ loc }) => loc[0] !== 'parameters').map(({ loc, msg }) => `${loc.join('.')}: ${msg}`);
    const rest = [...this.form.explain(own), ...others];
    const text = problems.length ? rest.join('; ') || 'see the fields' : error.message;
    this.#problem.say(`Not executed: ${text}`);
  }

  async #toggle() {
    const action = this.task.enabled ? 'disable' : 'enable';
    await this.#problem.guard(`The task could not be ${action}d`, async () => {
      this.update(await this.context.api.post(`${this.#path}/$${action}`));
      announce(`Task ${this.task.name} ${action}d`);
      this.onChange();
    });
  }

  get #path() {
    return `${this.context.service.paths.tasks}/${encodeURIComponent(this.task.name)}`;
  }
}

/** Where the values of a form are from. @param {JobRecord} job @param {string[]} left the parameters whose values it does not tell */
function describeSource({ id }, left) {
  const rest = left.length ? ` It does not show the whole value of ${left.join(', ')}: enter that again.` : '';
  return h('p', { class: 'quiet' }, 'With the values of ', h('a', { href: `./${id}`, title: id }, `…${id.slice(-8)}`), `.${rest}`);
}

/** The last runs of a task, the newest first. */
class Runs {
  #body = h('tbody', {});
  /** @type {Rows<JobRecord>} */
  #rows;
  /** @type {Map<string, JobRecord>} */
  #jobs = new Map();
  #tag;

  /** @param {PageContext} context @param {string} task */
  constructor(context, task) {
    this.context = context;
    this.#tag = `task:${task}`;
    this.#rows = new Rows(this.#body, (id) => new RunRow(id));
    const all = h('a', { href: listAddress({ tag: this.#tag }) }, 'All runs');
    const table = h('table', { class: 'page-table runs' }, h('caption', { class: 'unseen' }, 'Last runs'), makeHead(COLUMNS, false), this.#body);
    this.element = h('section', { hidden: true, 'aria-label': 'Last runs' }, h('div', { class: 'heading' }, h('h2', {}, 'Last runs'), all), table);
    this.fresh = new Fresh(context, (signal) => this.#read(signal), { leastSeconds: 1 });
    this.endings = [tick(context, () => this.#render()), context.live.subscribe((event) => this.#take(event))];
    void this.fresh.now();
  }

  close() {
    this.fresh.close();
    for (const end of this.endings) end();
  }

  /** @param {AbortSignal} signal */
  async #read(signal) {
    const { api, service } = this.context;
    /** @type {JobRecord[] | null} */
    const jobs = await api.get(service.paths.jobs, { tag: this.#tag, limit: RUNS_SHOWN }, { signal }).catch(() => null);
    if (!jobs) return;
    this.#jobs = new Map(jobs.map((job) => [job.id, job]));
    this.#render();
  }

  /** @param {import('./types.js').LiveEvent} event */
  #take(event) {
    if (event.type !== 'changes') return;
    for (const [id, job] of event.records) if (this.#jobs.has(id)) this.#jobs.set(id, job);
    this.#render();
  }

  #render() {
    this.#rows.show(this.#jobs);
    this.element.hidden = this.#rows.size === 0;
  }
}

class RunRow {
  #link = h('a', {});
  #age = h('td', {});
  #time = h('td', {});
  #what = h('td', {});

  /** @param {string} id */
  constructor(id) {
    this.#link.href = `./${id}`;
    this.element = h('tr', {}, h('td', {}, this.#link), this.#age, this.#time, this.#what);
    labelCells(this.element, COLUMNS);
  }

  /** @param {JobRecord | null} job */
  update(job) {
    if (!job) return;
    if (this.#link.dataset.status !== job.status) {
      this.#link.dataset.status = job.status;
      replace(this.#link, stateMark(job.status));
    }
    setText(this.#age, `${formatAge(job.submitted_at)} ago`);
    this.#age.title = formatTime(job.submitted_at);
    setText(this.#time, formatDuration(secondsRun(job)));
    const what = job.error ?? describeProgress(job);
    setText(this.#what, what && visible(what));
    this.#what.classList.toggle('bad', job.error !== null);
  }
}

/** @param {import('./types.js').JobRecord} job */
function describeProgress(job) {
  const share = shareOf(job);
  return [share === null ? '' : formatPercent(share), job.progress?.message].filter(Boolean).join(' ');
}
