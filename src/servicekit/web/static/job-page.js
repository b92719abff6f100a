// @ts-check
/**
 * The page of one job. What is on it is made once and then changed in place, so that nothing moves or vanishes under the
 * pointer, and no question is lost.
 */

import { ApiError, announce, formatAge, formatDuration, h, replace, secondsRemaining, secondsRun, serverNow, setText, shareOf, visible } from './kit.js';
import { errorHero } from './error-view.js';
import { ask } from './job-actions.js';
import { JobHead } from './job-head.js';
import { RUNS, historyView, medianOf, paceOf } from './job-history.js';
import { setIcon } from './job-icon.js';
import { JobLog } from './job-log.js';
import { JobPanes, addStep, argumentsOf, eventsOf } from './job-panes.js';
import { JobStatus } from './job-status.js';
import { JobStream, isTerminal } from './job-stream.js';
import { adoptPageStyles } from './job-styles.js';
import { curlOf, reportOf } from './job-texts.js';
import { formatTerm } from './query.js';
import { drawTimeline } from './timeline.js';
import { JobWaiting } from './job-waiting.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {import('./job-actions.js').Action} Action
 */

const LOG_LINES_OF_A_REPORT = 50;
const DAY_MILLISECONDS = 86_400_000;
const LONGEST_SEARCH = 100;
const ADVICE_MILLISECONDS = 2_000;

if (!customElements.get('job-status')) customElements.define('job-status', JobStatus);
if (!customElements.get('job-log')) customElements.define('job-log', JobLog);

/**
 * Show the page of the job that the address names.
 * @param {PageContext} context
 */
export async function show(context) {
  adoptPageStyles();
  context.keys.add('Escape', 'Back to the list', () => leave(context));
  /** @type {JobPage | null} */
  let page = null;
  const open = async () => {
    try {
      page = await openPage(context);
    } catch (error) {
      if (!context.signal.aborted) showProblem(context, error, open);
    }
  };
  await open();
  return {
    close: () => {
      page?.close();
      if (!context.isBeside) setIcon(null);
    },
  };
}

/** @param {PageContext} context */
const idOf = (context) => decodeURIComponent(context.url.pathname.split('/').at(-1) ?? '');

/** @param {PageContext} context */
async function openPage(context) {
  const { api, service, signal } = context;
  context.setTitle(idOf(context));
  const path = `${service.paths.jobs}/${encodeURIComponent(idOf(context))}`;
  const page = new JobPage(context, path, await api.text(path, {}, { signal }));
  void page.follow();
  return page;
}

/** Back to the list as it was left; to a new one if this page was opened by its address. @param {PageContext} context */
function leave(context) {
  const back = history.state?.back;
  if (back) history.go(-back);
  else context.navigate('./');
}

class JobPage {
  /**
   * @param {PageContext} context
   * @param {string} path the route of the job
   * @param {string} text its record
   */
  constructor(context, path, text) {
    this._context = context;
    this._path = path;
    this._text = text;
    /** @type {JobRecord} */
    this._record = JSON.parse(text);
    this._input = argumentsOf(text);
    /** @type {JobRecord[]} one for each change of status: what the events are made from */
    this._steps = [];
    this._call = '';
    /** @type {number | null} */
    this._median = null;
    this._isDeleted = false;
    this._isActing = false;
    this._isPaused = false;
    /** @type {JobStream | null} */
    this._stream = null;

    this._head = new JobHead({
      leave: () => leave(context),
      act: (action) => void this._act(action),
      copy: (what, copied) => void this._copy(what, copied),
      copies: [
        ['Report', () => this._report()],
        ['curl', () => curlOf(context.api.url(path), context.api.headers)],
        ['Id', () => this._record.id],
        ['Address', () => addressOfPage()],
      ],
      keys: context.keys,
      hasTasks: context.service.paths.tasks !== null,
    });
    this._notice = h('p', { class: 'job-notice', hidden: true });
    this._waiting = new JobWaiting(context);
    this._problem = h('p', { class: 'job-problem', role: 'alert', hidden: true });
    this._same = h('p', { class: 'error-same' });
    this._hero = h('section', { class: 'job-hero', 'aria-label': 'Why it failed', hidden: true });
    this._status = new JobStatus();
    this._timeline = h('section', { class: 'job-timeline', 'aria-label': 'Timeline' });
    this._history = h('div', {});
    this._log = context.service.features.logs ? new JobLog() : null;
    this._panes = new JobPanes();
    this._paper = h('pre', { class: 'job-paper', 'aria-hidden': 'true' });
    this._article = h('article', { class: 'job-page' }, this._head.elements, this._notice, this._waiting.element, this._problem, this._hero,
      this._status, h('div', { class: 'job-past' }, this._timeline, this._history),
      h('div', { class: 'job-columns' },
        this._log ?? h('p', { class: 'pane-remark' }, 'This service keeps the logs of its jobs to itself.'),
        this._panes.element),
      this._paper); // prettier-ignore
    this._print = () => setText(this._paper, this._report());
    window.addEventListener('beforeprint', this._print);
    this._timer = window.setInterval(() => this._tick(), 1000);
    // The job's own stream is over when it has ended; that it is deleted then, the stream of all jobs tells.
    this._unsubscribe = context.live.subscribe((event) => {
      if (event.type === 'changes' && event.deleted.has(this._record.id)) this._deleted();
      if (event.type === 'state') this._pause(event.state === 'paused');
    });
    this._pause(context.live.state === 'paused');
    replace(context.root, this._article);
    this._take(this._record, text);
  }

  close() {
    this._stream?.stop();
    this._unsubscribe();
    clearInterval(this._timer);
    window.removeEventListener('beforeprint', this._print);
    this._waiting.close();
    this._panes.close();
    this._head.close();
  }

  get _needsKey() {
    return this._context.api.key !== null;
  }

  // --- what comes ----------------------------------------------------------------------------------------------------

  /** Read all that belongs to the job, and then what changes. */
  async follow() {
    const { api, signal } = this._context;
    void this._readCall();
    void this._readHistory();
    // The log is a part: without it, the page is still of use.
    await this._log?.readTail(api, this._path).catch((error) => this._say(wordsOf(error)));
    if (signal.aborted) return;
    const listener = {
      record: (/** @type {JobRecord} */ record, /** @type {string} */ text) => this._take(record, text),
      lines: (/** @type {import('./log-model.js').LogLine[]} */ lines) => this._log?.add(lines),
      state: (/** @type {string} */ state) => this._stated(state),
    };
    this._stream = new JobStream(api, this._path, listener, { logs: this._log !== null });
    this._stream.pause(this._isPaused);
    this._stream.start(this._log?.model.newest ?? 0);
    if (isTerminal(this._record.status)) this._log?.end();
  }

  /** @param {JobRecord} record @param {string} text */
  _take(record, text) {
    this._steps = addStep(this._steps, record);
    if (record.version >= this._record.version) {
      const wasOver = isTerminal(this._record.status);
      this._record = record;
      this._text = text;
      if (!wasOver && isTerminal(record.status)) this._ended(record);
    }
    this._draw();
  }

  /** @param {JobRecord} record */
  _ended({ name, status, elapsed_seconds: seconds }) {
    announce(seconds === null ? `${name} ${status}` : `${name} ${status} after ${formatDuration(seconds)}`);
    this._log?.end();
    void this._readHistory();
  }

  /** Let nothing change on the screen, or go on. @param {boolean} isPaused */
  _pause(isPaused) {
    this._isPaused = this._status.isStill = isPaused;
    this._stream?.pause(isPaused);
  }

  /** @param {string} state */
  _stated(state) {
    this._article.classList.toggle('stale', state === 'reconnecting');
    if (state === 'deleted') this._deleted();
  }

  _deleted() {
    if (this._isDeleted) return;
    this._isDeleted = true;
    this._stream?.stop();
    this._draw();
    announce('This job was deleted.');
  }

  async _readCall() {
    const { api, service, signal } = this._context;
    const { id } = this._record;
    const calls = await api.get(`${service.paths.jobs}/$calls`, { id }, { signal }).catch(() => ({}));
    this._call = typeof calls[id] === 'string' ? calls[id] : '';
    this._draw();
  }

  async _readHistory() {
    const { api, service, signal, navigate } = this._context;
    const { name, id } = this._record;
    /** @type {JobRecord[] | null} */
    const runs = await api.get(service.paths.jobs, { name, limit: RUNS }, { signal }).catch(() => null);
    if (!runs) return;
    this._median = medianOf(runs.flatMap((run) => (run.status === 'completed' ? [run.elapsed_seconds ?? 0] : [])));
    replace(this._history, historyView(runs, id, (other) => navigate(`./${other}`)));
    this._draw();
  }

  // --- drawing -------------------------------------------------------------------------------------------------------

  _draw() {
    if (this._context.signal.aborted) return; // an answer that came too late
    const record = this._record;
    this._article.dataset.status = record.status;
    this._article.classList.toggle('deleted', this._isDeleted);
    this._head.draw(record, this._call, this._context.service.access.may_act && !this._isDeleted);
    if (this._status.record !== record) this._status.record = record;
    this._drawTab();
    this._drawHero();
    this._drawNotice();
    this._drawWaiting();
    drawTimeline(this._timeline, record, Number(serverNow()), this._pace());
    this._drawPanes();
  }

  /** What changes with the clock. */
  _tick() {
    if (this._isPaused || isTerminal(this._record.status) || this._isDeleted) return;
    drawTimeline(this._timeline, this._record, Number(serverNow()), this._pace());
    this._drawNotice();
    this._drawWaiting();
  }

  _drawWaiting() {
    this._waiting.show(this._isDeleted ? null : this._record);
  }

  _drawTab() {
    if (this._context.isBeside) return;
    const record = this._record;
    const share = record.status === 'running' ? shareOf(record) : null;
    const state = share === null ? record.status : `${Math.floor(share * 100)} %`;
    this._context.setTitle(`${this._isDeleted ? 'deleted' : state} ${visible(record.name, 60)}`);
    setIcon(record.status, share);
  }

  _pace() {
    return this._record.status === 'running' ? paceOf(secondsRun(this._record), secondsRemaining(this._record), this._median) : '';
  }

  _drawHero() {
    const { status, error, error_traceback: traceback } = this._record;
    if (status !== 'failed' || error === null || !this._hero.hidden) return;
    this._hero.hidden = false;
    replace(this._hero, errorHero(error, traceback ?? null), this._same);
    void this._countSame(error);
  }

  /** How often the same has gone wrong of late. @param {string} error */
  async _countSame(error) {
    const { api, service } = this._context;
    const words = error.split('\n', 1).join().slice(0, LONGEST_SEARCH);
    const since = new Date(Number(serverNow()) - DAY_MILLISECONDS).toISOString();
    const wanted = { status_filter: 'failed', error: words, submitted_after: since };
    const counts = await api.get(`${service.paths.jobs}/$stats`, wanted).catch(() => null);
    if (!(counts?.failed > 1)) return;
    const query = encodeURIComponent(`status:failed ${formatTerm('error', words)}`);
    replace(this._same, h('a', { href: `./?q=${query}` }, `same error: ${counts.failed} jobs in 24 h`));
  }

  _drawPanes() {
    const { api, service } = this._context;
    this._panes.show({
      record: this._record, text: this._text, input: this._input, events: eventsOf(this._steps), api, path: this._path,
      artifacts: service.paths.artifacts, needsKey: this._needsKey, hasTracebacks: service.features.tracebacks,
      copy: (text) => void this._copy('Text', text),
    }); // prettier-ignore
  }

  _drawNotice() {
    const text = this._isDeleted ? 'This job was deleted. This is what was known of it last.' : stopNotice(this._record);
    this._notice.hidden = text === '';
    setText(this._notice, text);
  }

  /** @param {string} text */
  _say(text) {
    this._problem.hidden = text === '';
    setText(this._problem, text);
  }

  // --- actions -------------------------------------------------------------------------------------------------------

  /** @param {Action} action */
  async _act(action) {
    if (this._isActing) return; // a key that is held down is pressed again and again
    this._isActing = true;
    await this._ask(action).finally(() => {
      this._isActing = false;
    });
  }

  /** @param {Action} action */
  async _ask(action) {
    const title = `${action.word} ${visible(this._call || this._record.name)}?`;
    const text = action.question(this._record);
    if (text !== null && !(await ask({ title, text, word: `${action.word} the job`, isFinal: action.name === 'delete' }))) return;
    this._say('');
    this._head.setBusy(action, true);
    try {
      await this._send(action.name);
    } catch (error) {
      this._say(`${action.word}: ${wordsOf(error)}`);
    }
    this._head.setBusy(action, false);
  }

  /** @param {string} name */
  async _send(name) {
    const { api, navigate } = this._context;
    if (name === 'cancel') await api.post(`${this._path}/$cancel`);
    if (name === 'retry') navigate(`./${(await api.post(`${this._path}/$retry`)).job_id}`);
    if (name !== 'delete') return;
    await api.delete(this._path);
    this._deleted();
  }

  /** @param {string} what @param {string} text */
  async _copy(what, text) {
    try {
      await navigator.clipboard.writeText(text);
      announce(`${what} copied`);
    } catch {
      this._say('The browser lets pages copy only with https, and on the machine itself.');
    }
  }

  /** The job as text, for tickets and for paper. */
  _report() {
    return reportOf({
      record: this._record, call: this._call || this._record.name, url: addressOfPage(), input: this._input,
      log: this._log?.text(LOG_LINES_OF_A_REPORT) ?? '', now: Number(serverNow()),
    }); // prettier-ignore
  }
}

const addressOfPage = () => location.href.split('#', 1).join();

/** @param {unknown} error */
const wordsOf = (error) => (error instanceof ApiError ? error.detail : String(error));

/** @param {JobRecord} record */
function stopNotice({ status, cancel_requested_at: asked, process }) {
  if (asked === null || isTerminal(status)) return '';
  const notice = `Asked to stop ${formatAge(asked)} ago. It has not stopped yet.`;
  // What stops at once needs no advice.
  return Number(serverNow()) - Date.parse(asked) < ADVICE_MILLISECONDS ? notice : `${notice} ${adviceOf(process)}`;
}

/** What helps against a job that does not stop. Its record does not tell in what it runs. @param {string | null} process */
function adviceOf(process) {
  const where = process ? `the process ${process}` : 'its process';
  return `If it is a plain function in a thread, it stops only where it asks whether it was canceled, and keeps its place in the queue until then. To end it sooner, restart ${where}.`;
}

// --- no job ----------------------------------------------------------------------------------------------------------

/** @param {PageContext} context @param {unknown} error @param {() => void} open */
function showProblem(context, error, open) {
  const status = error instanceof ApiError ? error.status : 0;
  const [title, text] = problemOf(status, idOf(context), wordsOf(error));
  const mayPass = status === 0 || status >= 500;
  context.setTitle(title);
  replace(context.root, h('div', { class: 'message' }, h('h1', {}, title), h('p', {}, text),
    mayPass ? h('button', { type: 'button', on: { click: open } }, 'Try again') : null,
    h('p', {}, h('a', { href: './' }, 'All jobs')))); // prettier-ignore
}

/** @param {number} status @param {string} jobId @param {string} detail @returns {[string, string]} */
function problemOf(status, jobId, detail) {
  if (status === 404) return ['No such job', `There is no job ${jobId}. It never was, it was deleted, or it was too old to keep.`];
  if (status === 400) return ['No such job', `${jobId.slice(0, 60)} is not the id of a job: those have 26 letters and digits.`];
  return ['The job cannot be read', detail];
}
