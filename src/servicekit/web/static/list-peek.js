// @ts-check
// The job beside the list, where the screen has room for both: the same page as its own, in a column.

/** @import { JobList } from './job-list.js' */
/** @import { Page, PageContext } from './types.js' */

import { adoptStyle, h, lazy, replace } from './kit.js';
import { isJobId } from './query.js';

const loadJobPage = lazy(() => import('./job-page.js'));
const PAUSE_MILLISECONDS = 150; // who goes down the list with a key passes by most jobs

export class Peek {
  #context;
  #choose;
  #place = h('div', { class: 'peek-job' });
  #open = h('a', { class: 'button' }, 'Open');
  #element;
  #mark = adoptStyle('');
  /** @type {string | null} */
  #id = null;
  #timer = 0;
  #shown = new AbortController();
  /** @type {Page | null} */
  #page = null;
  #forgetKey = () => {};

  /** @param {PageContext} context @param {JobList} list @param {(id: string | null) => void} choose Shows another job here, or none. */
  constructor(context, list, choose) {
    this.#context = context;
    this.#choose = choose;
    const close = h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', title: 'Close (Esc)', on: { click: () => choose(null) } }, '✕');
    const head = h('div', { class: 'peek-head' }, this.#open, close);
    this.#element = h('aside', { class: 'peek', 'aria-label': 'Job beside the list', hidden: true }, head, this.#place);
    list.closest('.list-page')?.append(this.#element);
  }

  /** Show a job, or none. @param {string | null} id */
  show(id) {
    if (id === this.#id) return;
    this.#leave();
    this.#id = id;
    this.#element.hidden = id === null;
    // Rows are filled with one job after the other: the one that is shown is marked by a rule for its id.
    this.#mark.replaceSync(id === null ? '' : `job-list tr[data-id="${id}"] td { background: var(--tint); }`);
    if (id === null) return;
    this.#open.href = `./${id}`;
    this.#forgetKey = this.#context.keys.add('Escape', 'Close the job beside the list', () => this.#choose(null));
    this.#timer = window.setTimeout(() => void this.#load(id), this.#place.firstChild ? PAUSE_MILLISECONDS : 0);
  }

  close() {
    this.#leave();
    this.#element.remove();
    document.adoptedStyleSheets = document.adoptedStyleSheets.filter((sheet) => sheet !== this.#mark);
  }

  #leave() {
    clearTimeout(this.#timer);
    this.#forgetKey();
    this.#shown.abort();
    this.#page?.close();
    this.#page = null;
  }

  /** @param {string} id */
  async #load(id) {
    const shown = (this.#shown = new AbortController());
    const { show } = await loadJobPage();
    if (shown.signal.aborted) return;
    replace(this.#place);
    const page = await show({
      ...this.#context,
      isBeside: true,
      root: this.#place,
      url: new URL(`./${id}`, this.#context.url),
      signal: AbortSignal.any([this.#context.signal, shown.signal]),
      navigate: (address) => this.#follow(address),
      setTitle: () => {},
      keys: { add: () => () => {} }, // those of the list do the same with its present row
    });
    if (shown.signal.aborted) page.close();
    else this.#page = page;
  }

  /** Another job is shown here as well. @param {string} address */
  #follow(address) {
    const id = address.replace('./', '');
    if (isJobId(id)) this.#choose(id);
    else this.#context.navigate(address);
  }
}

adoptStyle(`
.list-page:has(> .peek:not([hidden])) { grid-template-columns: 184px minmax(0, 1fr) minmax(0, 640px); }
.peek { display: flex; flex-direction: column; min-width: 0; min-height: 0; border-left: 1px solid var(--line); background: var(--ground); }
.peek[hidden] { display: none; }
.peek-head { display: flex; justify-content: space-between; padding: 8px 16px 0; }
.peek-job { flex: 1; min-height: 0; overflow: auto; }
.peek .job-back, .peek .job-actions kbd { display: none; }
@media print { .list-page > .peek { display: none; } }
`);
