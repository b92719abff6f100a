// @ts-check
// What a person does with the rows of a list: while somebody points at them, is among them with the keyboard or has
// scrolled, they stay where they are.

/** @import { JobList } from './job-list.js' */

import { announce } from './kit.js';

// From the end of a touch to the click that comes of it: a browser may wait 300 ms for a second tap.
const CLICK_MILLISECONDS = 400;

/** @typedef {{body: HTMLElement, scroller: HTMLElement, all: HTMLInputElement, pill: HTMLElement}} Parts */

export class ListInput {
  #list;
  #parts;
  #ended = new AbortController();
  #touchTimer = 0;

  /** @param {JobList} list @param {Parts} parts */
  constructor(list, parts) {
    this.#list = list;
    this.#parts = parts;
    this.#listen();
    this.#catchUp();
  }

  end() {
    clearTimeout(this.#touchTimer);
    this.#ended.abort();
  }

  #listen() {
    const list = this.#list;
    const { body, scroller, all, pill } = this.#parts;
    const ended = this.#ended;
    body.addEventListener('pointerenter', (event) => list.hold('pointer', event.pointerType !== 'touch'), ended);
    // What tells of new rows would be gone as soon as the pointer is on it, and a click would hit a row.
    body.addEventListener('pointerleave', (event) => list.hold('pointer', isWithin(pill, event.relatedTarget)), ended);
    pill.addEventListener('pointerleave', (event) => list.hold('pointer', isWithin(body, event.relatedTarget)), ended);
    body.addEventListener('pointerdown', (event) => event.pointerType === 'touch' && this.#touch(), ended);
    for (const type of ['pointerup', 'pointercancel']) body.addEventListener(type, () => this.#letGo(), ended);
    body.addEventListener('focusin', (event) => this.#focus(event.target), ended);
    body.addEventListener('focusout', (event) => list.hold('focus', isWithin(body, event.relatedTarget)), ended);
    body.addEventListener('click', (event) => this.#click(event), ended);
    all.addEventListener('change', () => list.selection?.setAll(all.checked ? list.rows.ids : []), ended);
    scroller.addEventListener('scroll', () => {
      list.hold('scroll', scroller.scrollTop > 2);
      list.draw();
    }, ended);
  }

  /** What was done before this was loaded. */
  #catchUp() {
    const { body, scroller } = this.#parts;
    // A screen that is touched has no pointer that rests anywhere.
    this.#list.hold('pointer', matchMedia('(hover: hover)').matches && body.matches(':hover'));
    this.#list.hold('touch', false);
    this.#list.hold('scroll', scroller.scrollTop > 2);
    if (isWithin(body, document.activeElement)) this.#focus(document.activeElement);
  }

  /** A row under a finger must still be that of the same job when the click comes. */
  #touch() {
    clearTimeout(this.#touchTimer);
    this.#list.hold('touch', true);
  }

  #letGo() {
    clearTimeout(this.#touchTimer);
    this.#touchTimer = window.setTimeout(() => this.#list.hold('touch', false), CLICK_MILLISECONDS);
  }

  /** @param {EventTarget | null} target */
  #focus(target) {
    this.#list.currentId = rowIdOf(target) ?? this.#list.currentId;
    this.#list.hold('focus', true);
  }

  /** @param {MouseEvent} event */
  #click(event) {
    const target = /** @type {Element} */ (event.target);
    const { selection, rows } = this.#list;
    const id = rowIdOf(target);
    if (id === null) return;
    if (target.closest('.copy')) void copyId(id);
    else if (!(target instanceof HTMLInputElement)) return;
    else if (event.shiftKey && target.checked) selection?.extendTo(id, rows.ids);
    else selection?.set(id, target.checked);
  }
}

/** @param {EventTarget | null} target @returns {string | null} */
function rowIdOf(target) {
  return target instanceof Element ? (target.closest('tr')?.getAttribute('data-id') ?? null) : null;
}

/** @param {Element} element @param {EventTarget | null} target */
function isWithin(element, target) {
  return target instanceof Node && element.contains(target);
}

/** @param {string} id */
export async function copyId(id) {
  try {
    await navigator.clipboard.writeText(id);
    announce('The id is copied');
  } catch {
    announce('The browser does not allow to copy');
  }
}
