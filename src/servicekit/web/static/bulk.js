// @ts-check
/**
 * Cancel, repeat or delete what is marked: the number first, then in steps, and at the end what was done.
 *
 * Rows that are marked are named by their ids. "Everything that matches" is done by the service, by the same filter as
 * the list, and only down from the newest job that was there when the number was shown.
 */

/** @import { Api } from './kit.js' */
/** @import { JobList } from './job-list.js' */
/** @import { JobRecord, JobStatus, PageContext } from './types.js' */
/** @import { Selection } from './selection.js' */

import { ApiError, adoptStyle, announce, formatExact, h, replace, setText, showDialog, visible } from './kit.js';
import { EVERYTHING, toParams } from './query.js';

const MOST_IDS = 100; // in one request
const MOST_NAMED = 5; // jobs that a question names one by one
const MOST_PROBLEMS = 20; // that are shown
const STEP = 200; // jobs of one request, so that it is seen how far it is and can be stopped

/** @typedef {'cancel' | 'retry' | 'delete'} Action */
/** @typedef {[string, string][]} Params */
/** @typedef {{matching: number, is_exact: boolean, up_to: string | null}} Preview */
/** @typedef {{id: string, detail: string}} Problem */
/** @typedef {{done: number, skipped: number, problems: Problem[], next_cursor: string | null}} Step */

/** @type {Record<Action, {key: string, word: string, done: string, on: JobStatus[], none: string, class: string}>} */
const ACTIONS = {
  cancel: { key: 'c', word: 'Cancel', done: 'canceled', on: ['pending', 'running'], none: 'They have ended already.', class: 'danger' },
  retry: { key: 'r', word: 'Retry', done: 'submitted again', on: ['failed', 'canceled'], none: 'Only jobs that failed or were canceled can be.', class: 'main' },
  delete: { key: '⌫', word: 'Delete', done: 'deleted', on: ['pending', 'running', 'completed', 'failed', 'canceled'], none: 'They are gone already.', class: 'danger' },
};

/** What an action is done with. */
class Target {
  /** @type {string | null} The newest job that is meant. */
  #upTo = null;
  #ids;
  #filter;

  /** @param {string[] | null} ids @param {Params} filter The list's filter, if there are no ids. */
  constructor(ids, filter) {
    this.#ids = ids;
    /** The jobs that are meant, if they are few enough to be named one by one. @type {string[]} */
    this.few = ids && ids.length <= MOST_NAMED ? ids : [];
    this.#filter = filter;
  }

  /** How many jobs an action would change. @param {Api} api @param {string} route @returns {Promise<Preview>} */
  async preview(api, route) {
    const previews = [];
    for (const params of this.#pieces()) previews.push(/** @type {Preview} */ (await api.post(route, [...params, ['dry_run', 'true']])));
    if (!this.#ids) this.#upTo = previews[0]?.up_to ?? null;
    return {
      matching: previews.reduce((sum, each) => sum + each.matching, 0), is_exact: previews.every((each) => each.is_exact), up_to: this.#upTo,
    };
  }

  /** Do it, step by step. @param {Api} api @param {string} route @returns {AsyncGenerator<Step>} */
  async *act(api, route) {
    for (const params of this.#pieces()) {
      let cursor = /** @type {string | null} */ (null);
      do {
        const step = /** @type {Step} */ (await api.post(route, [...params, ...this.#bounds(cursor)]));
        cursor = step.next_cursor;
        yield step;
      } while (cursor !== null);
    }
  }

  /** @returns {Params[]} */
  #pieces() {
    if (!this.#ids) return [this.#filter.length ? this.#filter : [['all', 'true']]];
    const ids = this.#ids;
    const starts = Array.from({ length: Math.ceil(ids.length / MOST_IDS) }, (_, index) => index * MOST_IDS);
    return starts.map((start) => ids.slice(start, start + MOST_IDS).map((id) => ['id', id]));
  }

  /** @param {string | null} cursor @returns {Params} */
  #bounds(cursor) {
    const bounds = /** @type {Params} */ ([['limit', String(STEP)]]);
    if (this.#upTo !== null) bounds.push(['up_to', this.#upTo]);
    if (cursor !== null) bounds.push(['cursor', cursor]);
    return bounds;
  }
}

/** The bar below the list: how much is marked, and what can be done with it. */
export class BulkBar {
  #context;
  #list;
  #place;
  /** @type {Preview | null} How many jobs match the search, if that is more than what is marked. */
  #all = null;
  #asked = '';

  /** @param {PageContext} context @param {JobList} list @param {HTMLElement} place */
  constructor(context, list, place) {
    this.#context = context;
    this.#list = list;
    this.#place = place;
    place.setAttribute('role', 'region');
    place.setAttribute('aria-label', 'Marked jobs');
    list.addEventListener('servicekit:changed', () => !place.hidden && this.show(), { signal: context.signal });
  }

  get #selection() {
    return /** @type {Selection} */ (this.#list.selection);
  }

  /** Show what is marked now. */
  show() {
    const selection = this.#selection;
    if (selection.isEmpty) this.#asked = '';
    this.#place.hidden = selection.isEmpty;
    if (selection.isEmpty) return replace(this.#place);
    const actions = this.#actions();
    const buttons = actions.map((action) => this.#button(action));
    const key = `${this.#countText()} ${actions.join()} ${this.#all?.matching}`;
    if (this.#place.dataset.shown !== key || !this.#place.firstChild) {
      const focused = this.#place.contains(document.activeElement) ? document.activeElement?.getAttribute('data-action') : null;
      replace(this.#place, h('strong', { role: 'status' }, this.#countText()), h('span', { class: 'buttons' }, buttons), this.#allButton(), this.#clearButton());
      this.#place.dataset.shown = key;
      if (focused) /** @type {HTMLElement | null} */ (this.#place.querySelector(`[data-action="${focused}"]`))?.focus();
    }
    void this.#count();
  }

  /** Show what would happen, and ask. @param {Action} action */
  ask(action) {
    const selection = this.#selection;
    if (selection.isEmpty || !this.#actions().includes(action)) return;
    const target = new Target(selection.isEverything ? null : [...selection.ids], toParams(this.#list.query ?? EVERYTHING));
    new BulkDialog(this.#context, this.#list, action, target).open();
  }

  #countText() {
    const { ids, isEverything: isAll } = this.#selection;
    if (!isAll) return `${formatExact(ids.size)} marked`;
    return this.#all ? `All ${numberText(this.#all)} marked` : 'All marked';
  }

  /** Those that have an effect on something that is marked. @returns {Action[]} */
  #actions() {
    const statuses = this.#statuses();
    return /** @type {Action[]} */ (Object.keys(ACTIONS)).filter((action) => ACTIONS[action].on.some((status) => statuses.has(status)) || action === 'delete');
  }

  /** @returns {Set<JobStatus>} */
  #statuses() {
    const { ids, isEverything: isAll } = this.#selection;
    if (isAll) {
      const wanted = this.#list.query?.terms.filter((term) => term.field === 'status').map((term) => term.value) ?? [];
      return new Set(/** @type {JobStatus[]} */ (wanted.length ? wanted : ACTIONS.delete.on));
    }
    // What is not on the screen any more may be in any state.
    return new Set([...ids].flatMap((id) => statusesOf(this.#list.rows.record(id))));
  }

  /** @param {Action} action */
  #button(action) {
    const { word, key, class: style } = ACTIONS[action];
    return h('button', { type: 'button', class: style === 'main' ? null : style, 'data-action': action, on: { click: () => this.ask(action) } }, word, ' ', h('kbd', { 'aria-hidden': 'true' }, key));
  }

  #allButton() {
    const { ids, isEverything: isAll } = this.#selection;
    if (isAll || !this.#all || this.#all.matching <= ids.size) return null;
    const query = this.#list.getAttribute('query');
    const text = `Mark all ${numberText(this.#all)}${query ? ` that match ${visible(query, 60)}` : ''}`;
    return h('button', { type: 'button', class: 'link', on: { click: () => this.#selection.setEverything() } }, text);
  }

  #clearButton() {
    return h('button', { type: 'button', class: 'plain', 'aria-label': 'Mark nothing', title: 'Mark nothing (Esc)', on: { click: () => this.#selection.clear() } }, '✕');
  }

  /** Ask once how many jobs match: for each search, and as long as something is marked. */
  async #count() {
    const asked = `?${this.#list.getAttribute('query') ?? ''}`;
    if (this.#asked === asked) return;
    this.#asked = asked;
    this.#all = null;
    const { api, service } = this.#context;
    const target = new Target(null, toParams(this.#list.query ?? EVERYTHING));
    try {
      this.#all = await target.preview(api, `${service.paths.jobs}/$delete`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error; // then there is no such offer
    }
    if (!this.#selection.isEmpty) this.show();
  }
}

/** @param {Pick<Preview, 'matching' | 'is_exact'>} preview */
function numberText({ matching, is_exact: isExact }) {
  return `${formatExact(matching)}${isExact ? '' : ' or more'}`;
}

/** @param {Pick<Preview, 'matching' | 'is_exact'>} preview */
function jobsText(preview) {
  return preview.matching === 1 && preview.is_exact ? '1 job' : `${numberText(preview)} jobs`;
}

/** What counts for what can be done: to ask a job twice to stop has no effect. @param {JobRecord | undefined} record @returns {JobStatus[]} */
function statusesOf(record) {
  if (!record) return ACTIONS.delete.on;
  return record.status === 'running' && record.cancel_requested_at ? [] : [record.status];
}

/** One action, from the number to what was done. */
class BulkDialog {
  #context;
  #list;
  #action;
  #target;
  #body = h('div', { class: 'bulk' });
  /** @type {HTMLDialogElement | null} */
  #dialog = null;
  #isStopped = false;
  #hasActed = false;
  #isActing = false;
  #done = 0;
  #skipped = 0;
  /** @type {Problem[]} */
  #problems = [];

  /** @param {PageContext} context @param {JobList} list @param {Action} action @param {Target} target */
  constructor(context, list, action, target) {
    this.#context = context;
    this.#list = list;
    this.#action = action;
    this.#target = target;
  }

  open() {
    this.#list.hold('dialog', true);
    this.#dialog = showDialog(`${ACTIONS[this.#action].word} jobs`, this.#body);
    this.#dialog.addEventListener('close', () => this.#close());
    this.#dialog.addEventListener('cancel', (event) => this.#escape(event));
    void this.#preview();
  }

  get #route() {
    return `${this.#context.service.paths.jobs}/$${this.#action}`;
  }

  #close() {
    this.#isStopped = true;
    // What was done is to be seen: a row with the focus would keep all others as they were.
    if (this.#hasActed) this.#list.leaveRow();
    else this.#list.focusRow(this.#list.currentId);
    this.#list.hold('dialog', false);
  }

  async #preview() {
    replace(this.#body, h('p', { role: 'status' }, 'Counting…'));
    try {
      const preview = await this.#target.preview(this.#context.api, this.#route);
      if (preview.matching) this.#confirm(preview);
      else this.#end(`No job can be ${ACTIONS[this.#action].done}. ${ACTIONS[this.#action].none}`);
    } catch (error) {
      this.#end(`This could not be counted: ${messageOf(error)}`);
    }
  }

  /** @param {Preview} preview */
  #confirm(preview) {
    const { word, class: style } = ACTIONS[this.#action];
    const text = `${word} ${this.#action === 'retry' ? 'at most ' : ''}${jobsText(preview)}`;
    const yes = h('button', { type: 'button', class: style, on: { click: () => void this.#act(preview) } }, text);
    const no = h('button', { type: 'button', on: { click: () => this.#dialog?.close() } }, 'Leave it');
    setText(/** @type {Element} */ (this.#dialog?.querySelector('h2')), `${text}?`);
    const calls = this.#target.few.map((id) => h('li', { dir: 'auto' }, visible(this.#list.callOf(id))));
    const named = calls.length ? h('ul', { class: 'calls' }, calls) : null;
    replace(this.#body, named, h('p', { class: 'quiet', role: 'status' }, this.#consequence(preview)), h('div', { class: 'buttons' }, no, yes));
    (this.#action === 'delete' ? no : yes).focus();
  }

  /** @param {Preview} preview */
  #consequence(preview) {
    const texts = {
      cancel: 'What runs is asked to stop. The jobs are kept.',
      retry: 'Each is submitted again, as a new job with the same arguments, unless that was done already.',
      delete: 'What runs is asked to stop. Jobs, results and logs are gone for good.',
    };
    return `${texts[this.#action]}${preview.up_to ? ' Jobs that are submitted from now on are left alone.' : ''}`;
  }

  /** @param {Preview} preview */
  async #act(preview) {
    this.#hasActed = this.#isActing = true;
    const text = h('p', { role: 'status' });
    const bar = h('progress', { max: preview.matching, value: 0, 'aria-label': 'Progress' });
    replace(this.#body, text, bar, h('div', { class: 'buttons' }, h('button', { type: 'button', on: { click: () => this.#stop() } }, 'Stop')));
    this.#body.querySelector('button')?.focus();
    const show = () => {
      const done = this.#done + this.#skipped;
      bar.value = Math.min(done, preview.matching);
      setText(text, `${formatExact(done)} of ${numberText(preview)}`);
    };
    show();
    try {
      for await (const step of this.#target.act(this.#context.api, this.#route)) {
        this.#count(step);
        show();
        if (this.#isStopped) break;
      }
      this.#finish(this.#isStopped ? ' Stopped before the end.' : '');
    } catch (error) {
      this.#finish(` Then it failed: ${messageOf(error)}`);
    }
  }

  #stop() {
    this.#isStopped = true;
  }

  /** Escape stops the work, and leaves the report of it to be read. @param {Event} event */
  #escape(event) {
    if (!this.#isActing) return;
    event.preventDefault();
    this.#stop();
  }

  /** @param {Step} step */
  #count(step) {
    this.#done += step.done;
    this.#skipped += step.skipped;
    this.#problems.push(...step.problems.slice(0, MOST_PROBLEMS - this.#problems.length));
  }

  /** @param {string} addition */
  #finish(addition) {
    this.#isActing = false;
    const done = `${formatExact(this.#done)} ${ACTIONS[this.#action].done}.`;
    const skipped = this.#skipped ? ` ${formatExact(this.#skipped)} skipped${this.#reason}.` : '';
    announce(done + skipped + addition);
    this.#list.selection?.clear();
    if (!this.#skipped && !addition && !this.#problems.length) return this.#dialog?.close();
    const problems = this.#problems.map(({ id, detail }) => h('li', null, h('code', null, id), ` ${visible(detail)}`));
    this.#end(done + skipped + addition, problems.length ? h('ul', null, problems) : null);
  }

  /** Why jobs were skipped that have no problem of their own. */
  get #reason() {
    if (this.#skipped <= this.#problems.length || this.#problems.length >= MOST_PROBLEMS) return '';
    return this.#action === 'retry' ? ': submitted again before, or changed meanwhile' : ': changed meanwhile, or gone';
  }

  /** @param {string} text @param {Node | null} [more] */
  #end(text, more = null) {
    const close = h('button', { type: 'button', class: 'main', on: { click: () => this.#dialog?.close() } }, 'Close');
    replace(this.#body, h('p', { role: 'status' }, text), more, h('div', { class: 'buttons' }, close));
    close.focus();
  }
}

/** @param {unknown} error */
function messageOf(error) {
  return error instanceof ApiError ? error.detail : String(error);
}

adoptStyle(`
.actions { display: flex; align-items: center; gap: 6px 12px; padding: 6px 12px; background: var(--paper); border-top: 1px solid var(--line); }
.actions .buttons { display: flex; gap: 6px; }
.actions .link { border: 0; background: none; padding: 3px 0; color: var(--accent); min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.actions .plain { margin-left: auto; }
.bulk { display: grid; gap: 12px; }
.bulk .buttons { display: flex; justify-content: flex-end; gap: 8px; }
.bulk progress { width: 100%; height: 8px; }
.bulk .calls { overflow-wrap: anywhere; }
.bulk ul { margin: 0; padding-left: 16px; max-height: 40vh; overflow: auto; }
@media (max-width: 720px) {
  .actions { flex-wrap: wrap; padding: 8px 12px calc(8px + env(safe-area-inset-bottom)); border-radius: 12px 12px 0 0; box-shadow: 0 -4px 16px #0003; z-index: 4; }
  .actions strong { order: -2; }
  .actions .plain { order: -1; }
  .actions .buttons { flex-basis: 100%; order: 0; }
  .actions .buttons button { flex: 1; }
  .actions kbd { display: none; }
}
`);
