// @ts-check
/**
 * The panes beside the log: arguments, result, error, events, and the record as it is. Each has an address of its own.
 */

import { formatTime, h, replace, setText, stateMark } from './kit.js';
import { saveFile } from './job-log.js';
import { showMarks } from './log-model.js';
import { memberOf, printJson, readJson } from './json-text.js';
import { jsonText, jsonView } from './json-view.js';
import { tracebackView } from './error-view.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./json-text.js').JsonNode} JsonNode
 * @typedef {{record: JobRecord, text: string, input: JsonNode | undefined, events: JobEvent[], api: import('./kit.js').Api,
 *            path: string, artifacts: string | null, needsKey: boolean, hasTracebacks: boolean,
 *            copy: (text: string) => void}} Shown
 * @typedef {{at: string, status: import('./types.js').JobStatus, text: string, version: number}} JobEvent
 * @typedef {{name: string, word: string, isThere: (shown: Shown) => boolean, draw: (shown: Shown) => Node,
 *            key: (shown: Shown) => unknown}} Pane  `key`: the pane is drawn again when this is another
 */

// What is larger is for a program to read: it can be downloaded.
const MOST_CHARACTERS = 500_000;

/** @type {Pane[]} */
const PANES = [
  { name: 'arguments', word: 'Arguments', isThere: () => true, draw: drawArguments, key: (shown) => shown.input },
  { name: 'result', word: 'Result', isThere: ({ record }) => record.status === 'completed', draw: drawResult, key: ({ record }) => record.id },
  { name: 'error', word: 'Error', isThere: hasError, draw: drawError, key: ({ record }) => [record.error, record.attempts?.length].join() },
  { name: 'events', word: 'Events', isThere: () => true, draw: drawEvents, key: ({ events }) => events.length },
  { name: 'raw', word: 'Raw', isThere: () => true, draw: drawRaw, key: ({ text }) => text },
]; // prettier-ignore

/** @param {Shown} shown */
function hasError({ record }) {
  return Boolean(record.error) || Boolean(record.attempts?.some((past) => past.error));
}

export class JobPanes {
  constructor() {
    this._list = h('div', { class: 'tabs', role: 'tablist', 'aria-label': 'About this job' });
    this._body = h('div', { class: 'pane', id: 'pane', role: 'tabpanel', tabindex: '0' });
    this.element = h('section', { class: 'job-panes' }, this._list, this._body);
    this._list.addEventListener('keydown', (event) => this._move(event));
    /** @type {Shown | null} */
    this._shown = null;
    this._chosen = location.hash.slice(1);
    this._drawn = '';
    /** Whether it is not drawn as it is, since a part of it is selected. */
    this._isBehind = false;
    this._tabs = new Map(PANES.map((pane) => [pane.name, this._tab(pane)]));
    this._list.append(...this._tabs.values());
    this._onHash = () => this.choose(location.hash.slice(1));
    window.addEventListener('hashchange', this._onHash);
    this._onSelection = () => this._isBehind && this._shown && this.show(this._shown);
    document.addEventListener('selectionchange', this._onSelection);
  }

  close() {
    window.removeEventListener('hashchange', this._onHash);
    document.removeEventListener('selectionchange', this._onSelection);
  }

  /** @param {Pane} pane */
  _tab({ name, word }) {
    const act = (/** @type {Event} */ event) => {
      event.preventDefault();
      history.replaceState(history.state, '', `#${name}`);
      this.choose(name);
    };
    return h('a', { href: `#${name}`, role: 'tab', id: `tab-${name}`, 'aria-controls': 'pane', on: { click: act } }, word);
  }

  /** @param {string} name */
  choose(name) {
    this._chosen = name;
    if (this._shown) this.show(this._shown);
  }

  /** Show the job as it is now. @param {Shown} shown */
  show(shown) {
    this._shown = shown;
    const there = PANES.filter((pane) => pane.isThere(shown));
    const pane = there.find(({ name }) => name === this._chosen) ?? defaultOf(there, shown.record);
    if (!pane) return;
    for (const [name, tab] of this._tabs) {
      const isChosen = name === pane.name;
      tab.hidden = !there.some((each) => each.name === name);
      tab.setAttribute('aria-selected', String(isChosen));
      tab.tabIndex = isChosen ? 0 : -1;
    }
    this._draw(pane, shown);
  }

  /** @param {Pane} pane @param {Shown} shown */
  _draw(pane, shown) {
    const drawn = `${pane.name} ${pane.key(shown)}`;
    this._isBehind = false;
    if (drawn === this._drawn) return;
    const isOther = !this._drawn.startsWith(`${pane.name} `);
    this._isBehind = !isOther && isSelected(this._body);
    if (this._isBehind) return;
    const top = isOther ? 0 : this._body.scrollTop;
    this._drawn = drawn;
    this._body.setAttribute('aria-labelledby', `tab-${pane.name}`);
    replace(this._body, pane.draw(shown));
    this._body.scrollTop = top;
  }

  /** @param {KeyboardEvent} event */
  _move(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    const tabs = [...this._tabs.values()].filter((tab) => !tab.hidden);
    const at = tabs.findIndex((tab) => tab.getAttribute('aria-selected') === 'true');
    const next = tabs[(at + by + tabs.length) % tabs.length];
    next?.click();
    next?.focus();
  }
}

/** Whether somebody has selected a part of it, to copy that. @param {Element} element */
function isSelected(element) {
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && element.contains(selection.anchorNode);
}

/** What is asked first of a job in its state. @param {Pane[]} there @param {JobRecord} record */
function defaultOf(there, record) {
  const wanted = record.status === 'completed' ? 'result' : record.status === 'failed' ? 'error' : 'arguments';
  return there.find(({ name }) => name === wanted) ?? there[0];
}

/** @param {string} text */
const remark = (text) => h('p', { class: 'pane-remark' }, text);

/** @param {() => string} read @param {(text: string) => void} copy */
function copyButton(read, copy) {
  return h('button', { type: 'button', class: 'pane-copy', title: 'Copy', 'aria-label': 'Copy all', on: { click: () => copy(read()) } }, 'copy');
}

/** @param {Shown} shown */
function drawArguments({ input, text, copy }) {
  const parts = [];
  if (!input || input.kind === 'literal') parts.push(remark('The arguments of this job are not kept, or cannot be read.'));
  else if (input.kind === 'object' && input.entries.length === 0) parts.push(remark('It has no arguments.'));
  else parts.push(copyButton(() => jsonText(input), copy), jsonView(input));
  const metadata = memberOf(readJson(text), 'metadata');
  if (metadata?.kind === 'object' && metadata.entries.length) parts.push(h('h3', {}, 'Metadata'), jsonView(metadata));
  return h('div', {}, ...parts);
}

// --- the result ------------------------------------------------------------------------------------------------------

/** @param {Shown} shown */
function drawResult(shown) {
  const body = h('div', {}, remark('Reading…'));
  readBounded(shown.api, `${shown.path}/$result`).then(
    (read) => replace(body, artifactOf(shown), ...resultParts(shown, read)),
    (error) => replace(body, artifactOf(shown), remark(error.detail ?? 'The result cannot be read at the moment.')),
  );
  return body;
}

/** @param {Shown} shown @param {{text: string, isWhole: boolean}} read */
function resultParts(shown, { text, isWhole }) {
  if (!isWhole) {
    const note = `It is larger than ${MOST_CHARACTERS.toLocaleString('en')} characters; this is its beginning.`;
    return [remark(note), downloadButton(shown), h('pre', { class: 'pane-text' }, text.slice(0, 5_000))];
  }
  const node = readJson(text);
  if (node.kind === 'literal' && node.text === 'null') return [remark('It returned nothing.')];
  return [copyButton(() => jsonText(node), shown.copy), jsonView(node)];
}

/** @param {Shown} shown */
function downloadButton({ api, path, record }) {
  return saveButton(api, `${path}/$result`, `${record.id}.json`);
}

/** A button that saves what the service answers there, or says why it cannot. @param {Shown['api']} api @param {string} path @param {string} name */
function saveButton(api, path, name) {
  const problem = h('span', { role: 'alert' });
  const save = async () => saveFile(await (await api.response(path)).blob(), name);
  const act = () => save().then(() => setText(problem, ''), (error) => setText(problem, ` It cannot be saved: ${error.message}`));
  return h('span', {}, h('button', { type: 'button', on: { click: act } }, 'Download'), problem);
}

/** Read no more of an answer than can be shown. @param {import('./kit.js').Api} api @param {string} path */
async function readBounded(api, path) {
  const response = await api.response(path);
  const reader = /** @type {ReadableStream<Uint8Array>} */ (response.body).getReader();
  const decoder = new TextDecoder();
  let text = '';
  while (text.length <= MOST_CHARACTERS) {
    const { done, value } = await reader.read();
    if (done) return { text: text + decoder.decode(), isWhole: true };
    text += decoder.decode(value, { stream: true });
  }
  await reader.cancel();
  return { text, isWhole: false };
}

/** @param {Shown} shown */
function artifactOf({ api, record, artifacts, needsKey }) {
  if (!record.artifact_id || !artifacts) return null;
  const path = `${artifacts}/${record.artifact_id}/$download`;
  // A link sends no key; a file that is fetched is held in memory. So each where it is the right one.
  const way = needsKey
    ? saveButton(api, path, record.artifact_id)
    : h('a', { class: 'button', href: api.url(path), download: '' }, 'Download');
  return h('p', { class: 'pane-artifact' }, 'Artifact ', h('code', {}, record.artifact_id), ' ', way);
}

// --- the others ------------------------------------------------------------------------------------------------------

/** @param {Shown} shown */
function drawError({ record, hasTracebacks, copy }) {
  const parts = [];
  if (record.error) {
    const text = record.error_traceback ?? record.error;
    parts.push(copyButton(() => text, copy));
    parts.push(record.error_traceback ? tracebackView(record.error_traceback) : h('pre', { class: 'pane-text' }, showMarks(record.error)));
    if (!record.error_traceback && !hasTracebacks) parts.push(remark('This service keeps tracebacks to itself.'));
  }
  const past = (record.attempts ?? []).filter((attempt) => attempt.error);
  if (past.length) parts.push(h('h3', {}, 'Earlier attempts'));
  for (const { attempt, error } of past) {
    parts.push(h('div', { class: 'past-error' }, h('strong', {}, `attempt ${attempt} `), h('span', { dir: 'auto' }, showMarks(error ?? ''))));
  }
  return h('div', {}, ...parts);
}

/** @param {Shown} shown */
function drawEvents({ events }) {
  const rows = events.map(({ at, status, text, version }) =>
    h('tr', {}, h('td', {}, h('time', { datetime: at, title: at }, formatTime(at))), h('td', {}, stateMark(status)),
      h('td', { class: 'event-text', dir: 'auto' }, showMarks(text)), h('td', { class: 'event-version' }, String(version)))); // prettier-ignore
  const head = ['Time', 'State', 'What happened', 'Version'].map((word) => h('th', { scope: 'col' }, word));
  return h('table', { class: 'events' }, h('thead', {}, h('tr', {}, ...head)), h('tbody', {}, ...rows));
}

/** @param {Shown} shown */
function drawRaw({ text, copy }) {
  const printed = printJson(readJson(text));
  return h('div', {}, copyButton(() => printed, copy), h('pre', { class: 'pane-text' }, showMarks(printed)));
}

/**
 * The records with another one, in the order of their versions, without those that tell only of progress: a job can
 * report for days.
 * @param {JobRecord[]} steps
 * @param {JobRecord} record
 */
export function addStep(steps, record) {
  const all = [...steps, record].sort((one, other) => one.version - other.version);
  return all.filter((each, index) => stepOf(each) !== stepOf(all[index - 1]));
}

/** @param {JobRecord | undefined} record */
const stepOf = (record) => record && `${record.status} ${record.attempt} ${record.cancel_requested_at}`;

/**
 * What happened to a job, from its records: the oldest first, each with its version.
 * @param {JobRecord[]} records in the order of their versions
 * @returns {JobEvent[]}
 */
export function eventsOf(records) {
  const submitted = records[0]?.submitted_at ?? '';
  /** @type {JobEvent[]} */
  const events = [{ at: submitted, status: 'pending', text: 'submitted', version: 1 }];
  let [status, attempt, wasAsked] = ['pending', 0, false];
  for (const record of records) {
    if (record.cancel_requested_at && !wasAsked) {
      events.push({ at: record.cancel_requested_at, status: record.status, text: 'asked to stop', version: record.version });
    }
    wasAsked = record.cancel_requested_at !== null;
    if (record.status !== status || record.attempt !== attempt) events.push(eventOf(record));
    [status, attempt] = [record.status, record.attempt];
  }
  return events;
}

/** @param {JobRecord} record @returns {JobEvent} */
function eventOf(record) {
  const { status, version } = record;
  if (status === 'running') return { at: record.started_at ?? '', status, text: `attempt ${record.attempt} on ${record.process ?? '?'}`, version };
  if (status === 'pending') {
    const past = record.attempts?.at(-1);
    return { at: past?.finished_at ?? record.submitted_at, status, text: past?.error ?? 'given back', version };
  }
  const ended = record.ended_by && record.ended_by !== 'target' ? `ended by ${record.ended_by}` : '';
  return { at: record.finished_at ?? '', status, text: record.error ?? ended, version };
}

/** The arguments in the text of a record. @param {string} text */
export const argumentsOf = (text) => memberOf(readJson(text), 'arguments');
