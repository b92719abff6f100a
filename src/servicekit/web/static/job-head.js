// @ts-check
/**
 * The top of a job's page: its call, state and facts, and what can be done with it.
 */

import { h, replace, setText, stateMark, visible } from './kit.js';
import { ACTIONS, taskOf } from './job-actions.js';
import { isTerminal } from './job-stream.js';
import { formatTerm } from './query.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./job-actions.js').Action} Action
 * @typedef {import('./types.js').PageContext} PageContext
 * @typedef {{leave: () => void, act: (action: Action) => void, copy: (what: string, text: string) => void,
 *            copies: [string, () => string][], keys: PageContext['keys'], hasTasks: boolean}} HeadActs
 */

export class JobHead {
  /** @param {HeadActs} acts */
  constructor(acts) {
    this._acts = acts;
    this._call = h('h1', { class: 'job-call', dir: 'auto' });
    this._mark = h('span', { class: 'job-mark' });
    this._meta = h('p', { class: 'job-meta' });
    this._edit = h('a', { class: 'button', hidden: true }, 'Retry with edits');
    this._buttons = new Map(ACTIONS.map((action) => [action, this._button(action)]));
    /** @type {Map<Action, () => void>} what takes their keys away again */
    this._keys = new Map();
    this._drawn = '';
    const back = (/** @type {Event} */ event) => {
      event.preventDefault();
      acts.leave();
    };
    this.elements = [
      h('p', { class: 'job-back' }, h('a', { href: './', on: { click: back } }, '‹ Jobs')),
      h('header', { class: 'job-header' },
        h('div', { class: 'job-title' }, this._call, this._mark),
        h('div', { class: 'job-actions' }, this._orderButtons())),
      this._meta,
    ]; // prettier-ignore
  }

  close() {
    for (const remove of this._keys.values()) remove();
    this._keys.clear();
  }

  /** What takes the job away comes last, far from the others. */
  _orderButtons() {
    const buttons = [...this._buttons.values()];
    return [...buttons.slice(0, -1), this._edit, copyMenu(this._acts), ...buttons.slice(-1)];
  }

  /** @param {Action} action */
  _button(action) {
    const act = () => this._acts.act(action);
    return h('button', { type: 'button', class: `action-${action.name}`, hidden: true, on: { click: act } },
      action.word, ' ', h('kbd', { 'aria-hidden': 'true' }, action.keyMark)); // prettier-ignore
  }

  /** @param {Action} action @param {boolean} isBusy */
  setBusy(action, isBusy) {
    const button = this._buttons.get(action);
    if (button) button.disabled = isBusy;
  }

  /** @param {JobRecord} record @param {string} call @param {boolean} mayAct */
  draw(record, call, mayAct) {
    setText(this._call, visible(call || record.name));
    this._offer(record, mayAct);
    const facts = factsOf(record, call, () => this._acts.copy('Id', record.id));
    // Only if one has changed, since there are links in it that can be under the pointer.
    const drawn = [record.status, ...facts.map((fact) => fact.textContent)].join('\n');
    if (drawn === this._drawn) return;
    this._drawn = drawn;
    replace(this._mark, stateMark(record.status));
    replace(this._meta, facts);
  }

  /** @param {JobRecord} record @param {boolean} mayAct */
  _offer(record, mayAct) {
    for (const [action, button] of this._buttons) {
      const isValid = mayAct && action.isValid(record);
      button.hidden = !isValid;
      if (isValid && !this._keys.has(action)) {
        const act = () => this._acts.act(action);
        this._keys.set(action, this._acts.keys.add(action.key, action.description, act));
      } else if (!isValid) {
        this._keys.get(action)?.();
        this._keys.delete(action);
      }
    }
    this._offerEdits(record, mayAct);
  }

  /** A task has a form, in which other values can be given. @param {JobRecord} record @param {boolean} mayAct */
  _offerEdits(record, mayAct) {
    const task = this._acts.hasTasks ? taskOf(record) : null;
    this._edit.hidden = !mayAct || task === null || !isTerminal(record.status);
    if (task !== null) this._edit.href = `./tasks?${new URLSearchParams({ task, from: record.id })}`;
  }
}

/** @param {HeadActs} acts */
function copyMenu({ copies, copy }) {
  const items = copies.map(([what, read]) =>
    h('button', { type: 'button', on: { click: () => {
      menu.open = false;
      copy(what, read());
    } } }, what)); // prettier-ignore
  const menu = h('details', { class: 'job-copy' }, h('summary', { class: 'button' }, 'Copy'), h('div', { class: 'job-copy-list' }, items));
  menu.addEventListener('focusout', (event) => {
    if (!(event.relatedTarget instanceof Node && menu.contains(event.relatedTarget))) menu.open = false;
  });
  return menu;
}

/** @param {JobRecord} record @param {string} call @param {() => void} copyId */
function factsOf(record, call, copyId) {
  const { name, queue, process, attempt, priority, tags, owner, parent, retry_of: original, schedule } = record;
  const id = h('span', { class: 'job-id' }, h('code', {}, record.id),
    h('button', { type: 'button', class: 'icon-button', title: 'Copy the id', 'aria-label': 'Copy the id', on: { click: copyId } }, 'copy')); // prettier-ignore
  return [
    fact('', id),
    call && call.split('(')[0] !== name ? fact('name', found('name', name)) : null,
    fact('queue', found('queue', queue)),
    process ? fact('process', process) : null,
    attempt > 1 ? fact('attempt', String(attempt)) : null,
    priority === 0 ? null : fact('priority', String(priority)),
    tags.length ? fact('tags', h('span', { class: 'job-tags' }, tags.map((tag) => found('tag', tag)))) : null,
    owner ? fact('owner', found('owner', owner)) : null,
    parent ? fact('submitted by', linkTo(parent)) : null,
    original ? fact('repeats', linkTo(original)) : null,
    schedule ? fact('schedule', h('a', { href: './schedules' }, schedule)) : null,
  ].filter((each) => each !== null);
}

/** @param {string} word @param {Node | string} value */
const fact = (word, value) => h('span', { class: 'job-fact' }, word ? h('span', { class: 'job-fact-word' }, word) : null, value);

/** A link to the jobs with this value. @param {string} field @param {string} value */
function found(field, value) {
  return h('a', { href: `./?q=${encodeURIComponent(formatTerm(field, value))}` }, visible(value));
}

/** A link to another job. @param {string} id */
const linkTo = (id) => h('a', { href: `./${id}`, title: id }, `…${id.slice(-8)}`);
