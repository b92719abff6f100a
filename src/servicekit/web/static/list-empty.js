// @ts-check
// What stands in the place of rows when there are none: what happened, and what can be done.

/** @import { Condition, JobList, Source } from './job-list.js' */
/** @import { Submission } from './types.js' */

import { adoptStyle, announce, dispatch, h, replace, setText } from './kit.js';
import { LANGUAGES } from './submission-texts.js';

const MOST_EXAMPLES = 5;
const COPIED_MILLISECONDS = 2_000; // how long the button says so

/** @param {JobList} list @param {Condition} condition @returns {Promise<Node>} */
export async function describe(list, condition) {
  const { source, problem } = list;
  if (condition === 'none') return source?.service?.access.may_act ? describeNone(source) : message('No jobs yet');
  const clear = () => h('button', { type: 'button', on: { click: () => dispatch(list, 'servicekit:search', '') } }, 'Clear the search');
  if (condition === 'failed') return message('Jobs cannot be read', h('p', null, problem), h('p', { class: 'quiet' }, 'This page tries again by itself.'));
  const title = condition === 'misread' ? 'This search is not understood' : 'Nothing matches';
  const text = condition === 'misread' ? problem : `There is no job for ${list.getAttribute('query')}`;
  return message(title, h('p', null, text), source?.service ? clear() : null);
}

/** @param {string} title @param {...import('./kit.js').Child} children */
function message(title, ...children) {
  return h('div', { class: 'message' }, h('h2', null, title), ...children);
}

/** How jobs are submitted to this service. @param {Source} source */
async function describeNone({ api }) {
  const submissions = /** @type {Submission[]} */ (await api.get('$submissions').catch(() => []));
  if (!submissions.length) return message('No jobs yet', h('p', null, 'Endpoints of the service submit them.'));
  const panel = h('div', { class: 'examples', role: 'tabpanel', id: 'examples' });
  const show = (/** @type {import('./submission-texts.js').Write} */ write) => replace(panel, submissions.slice(0, MOST_EXAMPLES)
    .map((each) => example(each.summary, write(each, api.base, api.headers))));
  const text = 'They appear here as soon as they are submitted. This service takes:';
  return message('No jobs yet', h('p', null, text), languageTabs(show), panel);
}

/** Tabs for the languages of the examples; the first one is chosen. @param {(write: import('./submission-texts.js').Write) => void} show */
function languageTabs(show) {
  const list = h('div', { class: 'languages', role: 'tablist', 'aria-label': 'Language of the examples' });
  const tabs = LANGUAGES.map(({ word, write }) => h('button', { type: 'button', role: 'tab', 'aria-controls': 'examples', on: { click: (event) => {
    for (const tab of tabs) {
      tab.setAttribute('aria-selected', String(tab === event.target));
      tab.tabIndex = tab === event.target ? 0 : -1;
    }
    show(write);
  } } }, word)); // prettier-ignore
  list.append(...tabs);
  list.addEventListener('keydown', ({ key }) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[key];
    if (!step) return;
    const next = tabs[(tabs.findIndex((tab) => tab.tabIndex === 0) + step + tabs.length) % tabs.length];
    next?.focus();
    next?.click();
  });
  tabs[0]?.click();
  return list;
}

/** @param {string} summary @param {string} text */
function example(summary, text) {
  const button = h('button', { type: 'button', 'aria-label': `Copy: ${summary}`, on: { click: () => copy(text, button) } }, 'Copy');
  return h('div', { class: 'example' }, h('h3', null, summary), h('div', null, h('pre', { tabindex: '0' }, h('code', null, text)), button));
}

/** @param {string} text @param {HTMLElement} button */
async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    announce('Copied');
    setText(button, 'Copied');
    setTimeout(() => setText(button, 'Copy'), COPIED_MILLISECONDS);
  } catch {
    announce('The browser does not allow to copy');
  }
}

adoptStyle(`
job-list .notice .message { margin: 10vh auto; max-width: 720px; }
job-list .languages { display: flex; gap: 4px; }
job-list .languages [aria-selected=true] { background: var(--tint); font-weight: 600; }
job-list .examples { display: grid; gap: 12px; width: 100%; }
job-list .example { display: grid; gap: 4px; }
job-list .example h3 { margin: 0; font-size: 13px; font-weight: 500; color: var(--quiet); }
job-list .example > div { display: flex; gap: 8px; align-items: start; }
job-list .example pre { flex: 1; min-width: 0; margin: 0; padding: 6px 10px; overflow: auto; white-space: pre-wrap; background: var(--ground); border: 1px solid var(--line); border-radius: 6px; }
`);
