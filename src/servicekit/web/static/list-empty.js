// @ts-check
// What stands in the place of rows when there are none: what happened, and what can be done.

/** @import { Condition, JobList, Source } from './job-list.js' */
/** @import { Submission } from './types.js' */

import { announce, dispatch, h, setText, toJson } from './kit.js';

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
  const examples = submissions.slice(0, MOST_EXAMPLES).map((each) => example(each.summary, curlOf(each, api.base, api.key !== null)));
  return message('No jobs yet', h('p', null, 'They appear here as soon as they are submitted. This service takes:'), examples);
}

/** @param {string} summary @param {string} line */
function example(summary, line) {
  const button = h('button', { type: 'button', 'aria-label': `Copy the command: ${summary}`, on: { click: () => copy(line, button) } }, 'Copy');
  return h('div', { class: 'example' }, h('h3', null, summary), h('div', null, h('pre', { tabindex: '0' }, h('code', null, line)), button));
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

/**
 * The command that submits a job.
 * @param {Submission} submission @param {URL} base @param {boolean} hasKey Whether the service demands a key.
 */
export function curlOf({ method, path, query, body }, base, hasKey) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, typeof value === 'string' ? value : toJson(value));
  const parts = ['curl', '-X', method, quote(url.href)];
  if (hasKey) parts.push('-H "X-API-Key: $API_KEY"');
  if (body !== null && body !== undefined) parts.push('-H', quote('Content-Type: application/json'), '-d', quote(toJson(body)));
  return parts.join(' ');
}

/** One word of a shell. @param {string} text */
function quote(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}
