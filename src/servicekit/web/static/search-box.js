// @ts-check
/**
 * The search in the header: a combobox that suggests qualifiers and their values, with how many jobs have them.
 *
 * A search is begun by Enter, or by choosing a value. One that is not understood is explained, and nothing is searched.
 */

/** @import { JobStats, PageContext } from './types.js' */

import { ApiError, adoptStyle, dispatch, formatCount, h, replace, setAttribute, visible } from './kit.js';
import { QUALIFIERS, STATUSES, formatTerm, isJobId, parseQuery, qualifierOf, tokenAt } from './query.js';

const PAUSE_MILLISECONDS = 120; // while somebody types
const MOST_SUGGESTIONS = 8;
const SUGGESTED = ['name', 'queue', 'tag', 'owner']; // fields whose values the service knows
/** @type {Record<string, [string, string][]>} */
const TIMES = { after: [['15m', 'the last 15 minutes'], ['1h', 'the last hour'], ['24h', 'the last day'], ['7d', 'the last week']] };

/**
 * @typedef {object} Option
 * @property {string} text What is put in the place of what was typed.
 * @property {string} [detail]
 * @property {string} [jobId] The job that is opened instead.
 * @property {boolean} [isOpen] More is to be typed.
 */

export class SearchBox {
  #context;
  #request = new AbortController();
  #timer = 0;
  /** @type {Option[]} */
  #options = [];
  #active = -1;
  #list = h('ul', { id: 'suggestions', role: 'listbox', 'aria-label': 'Suggestions', hidden: true });
  #problem = h('p', { id: 'search-problem', role: 'alert', hidden: true });
  #input = h('input', {
    type: 'search', role: 'combobox', 'aria-label': 'Search jobs', 'aria-autocomplete': 'list', 'aria-expanded': false,
    'aria-controls': 'suggestions', 'aria-describedby': 'search-problem', autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
    placeholder: 'Search  status:  name:  tag:  error:', enterkeyhint: 'search',
  });
  #form = h('form', { class: 'search-box', role: 'search' }, this.#input, h('kbd', { 'aria-hidden': 'true' }, '/'), this.#list, this.#problem);

  /** @param {PageContext} context */
  constructor(context) {
    this.#context = context;
    context.search.replaceChildren(this.#form);
    this.#form.onsubmit = (event) => {
      event.preventDefault();
      this.#submit();
    };
    this.#input.oninput = () => this.#typed();
    this.#input.onfocus = () => this.#typed();
    this.#input.onclick = () => this.#typed();
    this.#input.onblur = () => this.#close();
    this.#input.onkeydown = (event) => this.#press(event);
    // The field keeps the focus while an option is chosen.
    this.#list.onpointerdown = (event) => event.preventDefault();
    this.#list.onclick = (event) => {
      const option = /** @type {Element} */ (event.target).closest('li');
      if (option) this.#choose(this.#options[Number(option.dataset.index)]);
    };
  }

  /** @param {string} text */
  set value(text) {
    this.#input.value = text;
    this.#explain([]);
  }

  focus() {
    this.#input.focus();
    this.#input.select();
  }

  close() {
    this.#close();
    this.#form.remove();
  }

  #typed() {
    clearTimeout(this.#timer);
    this.#explain([]);
    this.#activate(-1);
    this.#timer = window.setTimeout(() => void this.#suggest(), PAUSE_MILLISECONDS);
  }

  #close() {
    clearTimeout(this.#timer);
    this.#request.abort();
    this.#show([]);
  }

  #submit() {
    const text = this.#input.value.trim();
    const { problems } = parseQuery(text);
    if (isJobId(text)) return this.#context.navigate(`./${text.toUpperCase()}`);
    this.#close();
    this.#explain(problems);
    if (problems.length) return;
    dispatch(this.#form, 'servicekit:search', text);
  }

  /** @param {string[]} problems */
  #explain(problems) {
    this.#problem.hidden = !problems.length;
    replace(this.#problem, problems.join(' '));
    setAttribute(this.#input, 'aria-invalid', problems.length ? 'true' : null);
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    const { key } = event;
    const { length } = this.#options;
    if ((key === 'ArrowDown' || key === 'ArrowUp') && length) {
      event.preventDefault();
      this.#activate((this.#active + (key === 'ArrowDown' ? 1 : -1) + length + (this.#active < 0 && key === 'ArrowUp' ? 1 : 0)) % length);
    } else if (key === 'Enter' && this.#active >= 0) {
      event.preventDefault();
      this.#choose(this.#options[this.#active]);
    } else if (key === 'Escape') {
      event.preventDefault();
      if (length) this.#close();
      else this.#input.blur();
    } else if (key.startsWith('Arrow') || key === 'Home' || key === 'End') {
      this.#typed();
    }
  }

  /** @param {number} index */
  #activate(index) {
    this.#active = index;
    for (const [position, item] of [...this.#list.children].entries()) setAttribute(item, 'aria-selected', position === index);
    setAttribute(this.#input, 'aria-activedescendant', index < 0 ? null : `suggestion-${index}`);
    this.#list.children[index]?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {Option | undefined} option */
  #choose(option) {
    if (!option) return;
    if (option.jobId) return this.#context.navigate(`./${option.jobId}`);
    const { value } = this.#input;
    const { start, end } = tokenAt(value, this.#input.selectionStart ?? value.length);
    const text = value.slice(0, start) + option.text + (option.isOpen ? '' : ' ');
    this.#input.value = text + value.slice(end).trimStart();
    this.#input.setSelectionRange(text.length, text.length);
    if (option.isOpen) void this.#suggest();
    else this.#submit();
  }

  async #suggest() {
    this.#request.abort();
    const { signal } = (this.#request = new AbortController());
    const { value, selectionStart } = this.#input;
    const token = tokenAt(value, selectionStart ?? value.length);
    try {
      const options = await this.#find(token.field, token.value, signal);
      if (!signal.aborted && document.activeElement === this.#input) this.#show(options);
    } catch (error) {
      if (!signal.aborted && !(error instanceof ApiError)) throw error;
    }
  }

  /** @param {string | null} field @param {string} value @param {AbortSignal} signal @returns {Promise<Option[]>} */
  async #find(field, value, signal) {
    if (field === null) return this.#findAny(value, signal);
    if (field === 'status') return this.#findStatuses(value.split(','), signal);
    if (SUGGESTED.includes(field)) return this.#findValues(field, value, signal);
    const times = (TIMES[field] ?? []).filter(([text]) => text.startsWith(value));
    return times.map(([text, detail]) => ({ text: formatTerm(field, text), detail }));
  }

  /** Something is typed that may become a qualifier, a state or a name. @param {string} value @param {AbortSignal} signal @returns {Promise<Option[]>} */
  async #findAny(value, signal) {
    if (isJobId(value)) return [{ text: value, detail: 'open this job', jobId: value.toUpperCase() }];
    const fields = Object.keys(QUALIFIERS).filter((field) => field.startsWith(value) && this.#isAllowed(field));
    const qualifiers = fields.map((field) => ({ text: `${field}:`, detail: qualifierOf(field).help, isOpen: true }));
    if (!value) return qualifiers;
    const statuses = STATUSES.filter((status) => status.startsWith(value)).map((status) => ({ text: `status:${status}` }));
    return [...qualifiers, ...statuses, ...(await this.#findValues('name', value, signal))];
  }

  /** @param {string} field */
  #isAllowed(field) {
    return field !== 'owner' || this.#context.service.access.everything;
  }

  /** One more state beside those before the last comma. @param {string[]} typed @param {AbortSignal} signal @returns {Promise<Option[]>} */
  async #findStatuses(typed, signal) {
    const chosen = typed.slice(0, -1).filter(Boolean);
    const prefix = typed.at(-1) ?? '';
    const { api, service } = this.#context;
    const stats = /** @type {JobStats} */ (await api.get(`${service.paths.jobs}/$stats`, null, { signal }));
    const statuses = STATUSES.filter((status) => status.startsWith(prefix) && !chosen.includes(status));
    return statuses.map((status) => ({
      text: `status:${[...chosen, status].join(',')}`, detail: formatCount(stats[/** @type {keyof JobStats} */ (status)]),
    }));
  }

  /** @param {string} field @param {string} prefix @param {AbortSignal} signal @returns {Promise<Option[]>} */
  async #findValues(field, prefix, signal) {
    const { api, service } = this.#context;
    const params = { field, prefix, limit: MOST_SUGGESTIONS };
    const values = await api.get(`${service.paths.jobs}/$suggestions`, params, { signal }).catch(() => []);
    return values.map((/** @type {{value: string, count: number | null}} */ { value, count }) => ({
      text: formatTerm(field, value), detail: count === null ? '' : formatCount(count),
    }));
  }

  /** @param {Option[]} options */
  #show(options) {
    const active = this.#options[this.#active]?.text;
    this.#options = options;
    replace(this.#list, options.map(({ text, detail }, index) =>
      h('li', { role: 'option', id: `suggestion-${index}`, 'data-index': String(index), 'aria-selected': false },
        h('span', { class: 'word', dir: 'auto' }, visible(text)), h('span', { class: 'quiet' }, detail ?? ''))));
    this.#list.hidden = !options.length;
    setAttribute(this.#input, 'aria-expanded', options.length > 0);
    // They can come late, when one of those before is chosen already.
    this.#activate(options.findIndex(({ text }) => text === active));
  }
}

adoptStyle(`
.search-box { position: relative; flex: 1; max-width: 480px; min-width: 0; display: flex; align-items: center; }
.search-box input { width: 100%; padding-right: 32px; }
.search-box kbd { position: absolute; right: 8px; color: var(--quiet); pointer-events: none; }
.search-box input:focus ~ kbd, .search-box input:not(:placeholder-shown) ~ kbd { display: none; }
.search-box ul, .search-box p { position: absolute; top: calc(100% + 4px); left: 0; right: 0; z-index: 8; margin: 0; padding: 4px; max-height: 60vh; overflow: auto; list-style: none; background: var(--paper); border: 1px solid var(--line); border-radius: 8px; box-shadow: 0 8px 24px #0003; }
.search-box p { padding: 8px 12px; color: var(--failed); }
.search-box li { display: flex; justify-content: space-between; gap: 16px; padding: 4px 8px; border-radius: 4px; cursor: pointer; white-space: nowrap; }
.search-box li .word { min-width: 0; overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; }
.search-box li .quiet { flex: none; max-width: 60%; overflow: hidden; text-overflow: ellipsis; }
.search-box li:hover, .search-box li[aria-selected="true"] { background: var(--tint); }
@media (max-width: 720px) {
  .search-box { max-width: none; }
  .search-box input { font-size: 16px; }
  .search-box kbd { display: none; }
  .search-box li { min-height: 44px; align-items: center; }
}
`);
