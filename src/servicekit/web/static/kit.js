// @ts-check
// What every part of the page needs: elements, texts of numbers and times, JSON, requests, keys.

/** @import { JobRecord, JobStatus } from './types.js' */

// ---- Elements ----

/** @typedef {Node | string | number | null | undefined | false | Child[]} Child */
/** @typedef {Record<string, unknown> & {on?: Record<string, (event: any) => void>}} Props */

/**
 * An element. Texts become text nodes, so that nothing in them is markup.
 * @template {string} Tag
 * @param {Tag} tag
 * @param {Props | null} [props] attributes; `on: {click: act}` for events; `true` is an attribute without a value, and
 *   `null` or `false` is none
 * @param {...Child} children
 * @returns {Tag extends keyof HTMLElementTagNameMap ? HTMLElementTagNameMap[Tag] : HTMLElement}
 */
export function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) setProp(element, name, value);
  element.append(...flatten(children));
  return /** @type {any} */ (element);
}

/** @param {HTMLElement} element @param {string} name @param {unknown} value */
function setProp(element, name, value) {
  if (name === 'on') {
    for (const [type, act] of Object.entries(/** @type {Record<string, EventListener>} */ (value))) {
      element.addEventListener(type, act);
    }
  } else if (name === 'value' || name === 'checked' || name === 'indeterminate') {
    Object.assign(element, { [name]: value });
  } else {
    setAttribute(element, name, value);
  }
}

/**
 * Set an attribute, or take it away: only if that changes something, since each change costs the browser some work.
 * @param {Element} element @param {string} name @param {unknown} value
 */
export function setAttribute(element, name, value) {
  const isGone = value === null || value === undefined || (value === false && !name.startsWith('aria-'));
  const text = value === true && !name.startsWith('aria-') ? '' : String(value);
  if (isGone) element.removeAttribute(name);
  else if (element.getAttribute(name) !== text) element.setAttribute(name, text);
}

/**
 * Set the text of an element, if it is another: in the node that is there, since a new one costs the browser twice as much.
 * @param {Element} element @param {string} text
 */
export function setText(element, text) {
  const node = element.firstChild;
  if (!(node instanceof Text) || node !== element.lastChild) element.textContent = text;
  else if (node.data !== text) node.data = text;
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function flatten(children) {
  return children.flat(9).filter((child) => child !== null && child !== undefined && child !== false)
    .map((child) => (child instanceof Node ? child : String(child)));
}

/** Put these in the place of all children of an element. @param {Element} element @param {...Child} children */
export function replace(element, ...children) {
  element.replaceChildren(...flatten(children));
}

/** Let the document have a style sheet, which its policy allows. @param {string} text */
export function adoptStyle(text) {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(text);
  document.adoptedStyleSheets.push(sheet);
  return sheet;
}

/** Tell those above of something. @param {EventTarget} target @param {string} type @param {unknown} [detail] */
export function dispatch(target, type, detail) {
  return target.dispatchEvent(new CustomEvent(type, { detail, bubbles: true, cancelable: true }));
}

const ANNOUNCE_MILLISECONDS = 1000; // a reader of the screen would speak of nothing else
/** @type {HTMLElement | undefined} */
let announcer;
let announcement = '';
let announceTimer = 0;

/** Say it to readers of the screen, politely, and only the newest of a second. @param {string} text */
export function announce(text) {
  announcement = text;
  if (announceTimer) return;
  if (!announcer?.isConnected) {
    announcer = h('div', { class: 'unseen', role: 'status', 'aria-live': 'polite' });
    document.body.append(announcer);
  }
  announceTimer = window.setTimeout(() => {
    announceTimer = 0;
    if (announcer) announcer.textContent = announcement;
  }, ANNOUNCE_MILLISECONDS);
}

/** A dialog that is gone when it is closed. @param {string} title @param {...Child} children */
export function showDialog(title, ...children) {
  const heading = h('h2', { id: 'dialog-title' }, title);
  const close = h('button', { type: 'button', class: 'plain', 'aria-label': 'Close', on: { click: () => dialog.close() } }, '✕');
  const dialog = h('dialog', { 'aria-labelledby': 'dialog-title' }, h('header', null, heading, close), ...children);
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}

// ---- Modules that are loaded later ----

const MOST_PAUSE_MILLISECONDS = 8_000;

/**
 * What loads a module when it is first needed, such as `lazy(() => import('./bulk.js'))`. While the service is away, it is
 * asked for again after pauses that grow to eight seconds. It is rejected only if there is something wrong in the module.
 * @template T
 * @param {() => Promise<T>} load
 * @returns {() => Promise<T>}
 */
export function lazy(load) {
  /** @type {Promise<T> | undefined} */
  let loaded;
  return () => (loaded ??= keepLoading(load));
}

/** @template T @param {() => Promise<T>} load @returns {Promise<T>} */
async function keepLoading(load) {
  for (let pause = 1_000; ; pause = Math.min(2 * pause, MOST_PAUSE_MILLISECONDS)) {
    try {
      return await load();
    } catch (error) {
      if (!(error instanceof TypeError)) throw error; // which is what a browser says of a module that it does not get
      await new Promise((resolve) => window.setTimeout(resolve, pause));
    }
  }
}

// ---- States ----

/** @type {Record<JobStatus, {shape: string, word: string}>} */
export const STATES = {
  pending: { shape: '◌', word: 'pending' },
  running: { shape: '◐', word: 'running' },
  completed: { shape: '●', word: 'completed' },
  failed: { shape: '▲', word: 'failed' },
  canceled: { shape: '■', word: 'canceled' },
};

/** The state of a job, as shape, word and color. @param {JobStatus} status */
export function stateMark(status) {
  const mark = h('span', { class: 'state' }, h('span', { class: 'shape', 'aria-hidden': 'true' }), h('span', { class: 'word' }));
  setStateMark(mark, status);
  return mark;
}

/** Let a mark tell another state. @param {HTMLElement} mark @param {JobStatus} status */
export function setStateMark(mark, status) {
  const { shape, word } = STATES[status] ?? { shape: '?', word: status };
  mark.dataset.state = status;
  setText(/** @type {Element} */ (mark.firstElementChild), shape);
  setText(/** @type {Element} */ (mark.lastElementChild), word);
}

// ---- Time ----

let ahead = 0; // milliseconds that the service's clock is ahead of the browser's
let isClockKnown = false;

/** What time it is where the service runs. */
export function serverNow() {
  return new Date(Date.now() + ahead);
}

/** @param {Headers} headers @param {number} askedAt when the request was sent, by the browser's clock */
function learnTime(headers, askedAt) {
  const told = Date.parse(headers.get('date') ?? '');
  if (!Number.isFinite(told)) return;
  // It was told at some moment since the request. The header has whole seconds, and a server may renew it once a second.
  const [least, most] = [told - Date.now(), told + 2000 - askedAt];
  const isPossible = (/** @type {number} */ difference) => least <= difference && difference <= most;
  if (isClockKnown && isPossible(ahead)) return;
  ahead = isPossible(0) ? 0 : (least + most) / 2;
  isClockKnown = true;
}

/** "12 ms", "0.1 s", "41 s", "1:12", "2:03:10", "3 d 4 h"; "–" for nothing. @param {number | null | undefined} seconds */
export function formatDuration(seconds) {
  if (seconds === null || seconds === undefined || Number.isNaN(seconds)) return '–';
  const positive = Math.max(0, seconds);
  if (positive < 0.0995) return `${positive ? Math.max(1, Math.round(positive * 1000)) : 0} ms`;
  if (positive < 9.95) return `${positive.toFixed(1)} s`;
  const whole = Math.round(positive);
  if (whole < 60) return `${whole} s`;
  const [minutes, hours, days] = [Math.floor(whole / 60), Math.floor(whole / 3600), Math.floor(whole / 86400)];
  if (hours < 1) return `${minutes}:${two(whole % 60)}`;
  if (days < 1) return `${hours}:${two(minutes % 60)}:${two(whole % 60)}`;
  return `${days} d ${hours % 24} h`;
}

/** @param {number} number */
function two(number) {
  return String(number).padStart(2, '0');
}

/** @param {Date} since when all was last known to be right */
export function describeLoss(since) {
  const time = [since.getHours(), since.getMinutes(), since.getSeconds()].map(two).join(':');
  return `Not up to date since ${time}`;
}

/** How long ago: "now", "9 s", "4 m", "2 h", "3 d". @param {string | null | undefined} iso */
export function formatAge(iso) {
  if (!iso) return '–';
  const seconds = Math.max(0, (Number(serverNow()) - Date.parse(iso)) / 1000);
  if (seconds < 1) return 'now';
  if (seconds < 60) return `${Math.floor(seconds)} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} m`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

/** The time of day, and the date unless it is today. @param {string | Date | null | undefined} moment */
export function formatTime(moment) {
  if (!moment) return '–';
  const date = new Date(moment);
  if (Number.isNaN(Number(date))) return '–';
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return date.toDateString() === new Date().toDateString() ? time : `${day} ${time}`;
}

/** "987", "1.2k", "104k", "3.1M". The exact number belongs into a title. @param {number} count */
export function formatCount(count) {
  if (count < 1000) return String(count);
  for (const [unit, size] of /** @type {const} */ ([['k', 1e3], ['M', 1e6], ['G', 1e9]])) {
    const inUnits = count / size;
    if (inUnits < 9.95) return `${inUnits.toFixed(1)}${unit}`;
    if (inUnits < 999.5) return `${Math.round(inUnits)}${unit}`;
  }
  return count.toExponential(1);
}

/** 1234567 as "1 234 567". @param {number | bigint} count */
export function formatExact(count) {
  return String(count).replace(/\B(?=(\d{3})+$)/g, '\u202f');
}

// ---- Texts of others ----

// Characters that show nothing, or show others in another order: they could make one name look like another.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufdd0-\ufdef\ufff9-\uffff]|\p{Cs}/gu;
const BLANK = /^[\s\p{Cf}\p{Mn}\u115f\u1160\u2800\u3164\uffa0]*$/u;

/**
 * A text of others as one line in which everything can be seen, at most some characters of it.
 * @param {string} text
 */
export function visible(text, most = 300) {
  const cut = text.length > most ? `${text.slice(0, most).replace(/[\ud800-\udbff]$/, '')}…` : text;
  if (BLANK.test(cut)) return `"${cut.replace(/[^]/gu, escape)}"`;
  return cut.replace(/\s*[\n\r\t]\s*/g, ' ').replace(UNSEEN, escape);
}

/** @param {string} character */
function escape(character) {
  return `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;
}

// ---- Jobs ----

/** How much of a job is done, from 0 to 1; `null` if that is not known. @param {Pick<JobRecord, 'progress'>} job */
export function shareOf({ progress }) {
  const share = progress?.total ? Number(progress.done) / Number(progress.total) : NaN;
  return Number.isFinite(share) ? Math.min(1, Math.max(0, share)) : null;
}

/**
 * How long the last attempt of a job has run, or ran, in seconds. What an event tells of that was so at its time: a job
 * of which nothing comes any more runs on.
 * @param {JobRecord} job @param {Date} [now]
 */
export function secondsRun({ status, started_at, elapsed_seconds }, now = serverNow()) {
  if (status !== 'running' || !started_at) return elapsed_seconds;
  return Math.max(0, (Number(now) - Date.parse(started_at)) / 1000);
}

/**
 * How much longer a running job takes at its pace, by the rule of the service; `null` if there is no pace.
 * @param {JobRecord} job @param {Date} [now]
 */
export function secondsRemaining({ progress, started_at, status }, now = serverNow()) {
  if (status !== 'running' || !progress?.total || !progress.reported_at || !started_at) return null;
  const share = Number(progress.done) / Number(progress.total);
  if (!(share > 0 && share <= 1)) return null;
  const untilReport = Math.max(0, Date.parse(progress.reported_at) - Date.parse(started_at)) / 1000;
  const sinceReport = Math.max(0, Number(now) - Date.parse(progress.reported_at)) / 1000;
  return Math.max(0, (untilReport * (1 - share)) / share - sinceReport);
}

// ---- JSON ----

const MAY_BE_BIG = /\d{16}/;

/**
 * JSON in which whole numbers are exact: those that a number cannot hold are `bigint`.
 * @param {string} text @returns {any}
 */
export function parseJson(text) {
  return MAY_BE_BIG.test(text) ? JSON.parse(text, /** @type {any} */ (keepBig)) : JSON.parse(text);
}

/** @param {string} _key @param {unknown} value @param {{source?: string}} [context] */
function keepBig(_key, value, context) {
  const source = context?.source; // browsers older than 2024 do not tell it
  return typeof value === 'number' && source && !Number.isSafeInteger(value) && /^-?\d+$/.test(source)
    ? BigInt(source)
    : value;
}

/** JSON of what `parseJson` gives. @param {unknown} value @param {number} [indent] @returns {string} */
export function toJson(value, indent) {
  // A number that no text of the user's can be mistaken for: the mark is random.
  const mark = `big${Math.random()}`;
  const text = JSON.stringify(value, (_key, each) => (typeof each === 'bigint' ? `${mark}${each}` : each), indent) ?? 'null';
  return text.replaceAll(new RegExp(`"${mark}(-?\\d+)"`, 'g'), '$1');
}

// ---- Requests ----

/** @typedef {Record<string, unknown> | URLSearchParams | [string, string][] | null} Params */

/** What the service has answered instead of what was asked for; `status` 0 if it has not answered, or another for it. */
export class ApiError extends Error {
  /**
   * @param {number} status @param {string} detail @param {number | null} [retryAfter] seconds
   * @param {{loc: (string | number)[], msg: string}[]} [problems] what is wrong with which parameter
   * @param {boolean} [isKeyWanted] whether a key or token would let in
   */
  constructor(status, detail, retryAfter = null, problems = [], isKeyWanted = false) {
    super(detail);
    this.name = 'ApiError';
    this.problems = problems;
    this.isKeyWanted = isKeyWanted;
    this.status = status;
    this.detail = detail;
    this.retryAfter = retryAfter;
  }
}

const AWAY = 'The service does not answer';

/** What it means that a request failed: it was given up by the page, or there is no answer. @param {unknown} error */
const lossOf = (error) => (/** @type {Error} */ (error).name === 'AbortError' ? error : new ApiError(0, `${AWAY}.`));

/** @param {Response} response @returns {Promise<ApiError>} */
async function errorOf(response) {
  const seconds = Number(response.headers.get('retry-after') ?? NaN);
  const told = await readDetail(response);
  // A proxy says "not found" for a service that is away. Who may come in is its own to say.
  if (told === null && response.status < 500 && ![401, 403].includes(response.status)) {
    return new ApiError(0, `${AWAY} (status ${response.status}).`);
  }
  const problems = Array.isArray(told) ? told : []; // what FastAPI tells of wrong parameters
  const texts = problems.map(({ loc = [], msg }) => `${loc.slice(1).join('.')}: ${msg}`);
  const detail = typeof told === 'string' ? told : texts.join('; ') || response.statusText || `Status ${response.status}`;
  const isKeyWanted = /^bearer\b/i.test(response.headers.get('www-authenticate') ?? '');
  return new ApiError(response.status, detail, Number.isFinite(seconds) ? seconds : null, problems, isKeyWanted);
}

/** What the service says that is wrong; `null` if it is not the service that says it. @param {Response} response @returns {Promise<any>} */
async function readDetail(response) {
  try {
    return JSON.parse(await response.text()).detail ?? null;
  } catch {
    return null;
  }
}

// To the beginning of an answer: what waits for one that never comes would show nothing new for ever.
const ANSWER_MILLISECONDS = 30_000;

/** The routes of the service. Paths are relative to `base`. */
export class Api {
  #getKey;

  /** @param {string | URL} base @param {{getKey?: () => string | null}} [options] */
  constructor(base, { getKey = () => null } = {}) {
    this.base = new URL(base, document.baseURI);
    this.#getKey = getKey;
  }

  /** The whole address of a route. @param {string} path @param {Params} [params] */
  url(path, params) {
    const url = new URL(path, this.base);
    for (const [name, value] of listParams(params)) url.searchParams.append(name, value);
    return url.href;
  }

  /** The headers that let a request in. @returns {Record<string, string>} */
  get headers() {
    const key = this.#getKey();
    if (key === null) return {};
    // A key has no blank in it, so `Bearer ...` is the token of a user.
    return key.startsWith('Bearer ') ? { Authorization: key } : { 'X-API-Key': key };
  }

  /** What identifies the caller to this page, for what may be shared with other pages; `null` without a key. */
  get key() {
    return this.#getKey();
  }

  /**
   * The answer as it is, if it is a good one. What only reads is given up after half a minute without an answer.
   * @param {string} path @param {Params} [params] @param {RequestInit} [options]
   */
  async response(path, params, options = {}) {
    const askedAt = Date.now();
    const late = new AbortController();
    const giveUp = () => options.method || late.abort(new DOMException('There is no answer.', 'TimeoutError'));
    const timer = setTimeout(giveUp, ANSWER_MILLISECONDS);
    let response;
    try {
      const headers = { ...this.headers, .../** @type {Record<string, string>} */ (options.headers ?? {}) };
      const signal = options.signal ? AbortSignal.any([options.signal, late.signal]) : late.signal;
      response = await fetch(this.url(path, params), { cache: 'no-store', ...options, headers, signal });
    } catch (error) {
      throw lossOf(error);
    }
    clearTimeout(timer);
    learnTime(response.headers, askedAt);
    if (response.ok) return response;
    const error = await errorOf(response);
    if (error.status === 401) dispatch(window, 'servicekit:locked', error);
    throw error;
  }

  /** The body as text. @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options] */
  async text(path, params, options) {
    return textOf(await this.response(path, params, options));
  }

  /** @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options] @returns {Promise<any>} */
  async get(path, params, options) {
    return bodyOf(await this.response(path, params, options));
  }

  /**
   * One page of a list, and the parameters of the next one.
   * @param {string} path @param {Params} [params] @param {{signal?: AbortSignal}} [options]
   * @returns {Promise<{items: any[], next: URLSearchParams | null}>}
   */
  async page(path, params, options) {
    const response = await this.response(path, params, options);
    return { items: await bodyOf(response), next: linkNext(response) };
  }

  /** @param {string} path @param {Params} [params] @param {unknown} [body] @returns {Promise<any>} */
  async post(path, params, body) {
    const json = body === undefined ? {} : { body: toJson(body), headers: { 'Content-Type': 'application/json' } };
    return bodyOf(await this.response(path, params, { method: 'POST', ...json }));
  }

  /** @param {string} path @param {Params} [params] @returns {Promise<any>} */
  async delete(path, params) {
    return bodyOf(await this.response(path, params, { method: 'DELETE' }));
  }
}

/** @param {Response} response */
async function textOf(response) {
  try {
    return await response.text();
  } catch (error) {
    throw lossOf(error); // a service that stops breaks off what it says
  }
}

/** @param {Response} response */
async function bodyOf(response) {
  const text = await textOf(response);
  try {
    return text ? parseJson(text) : null;
  } catch {
    throw new ApiError(0, `${AWAY}.`); // it is a page of a proxy
  }
}

/** @param {Params} [params] @returns {[string, string][]} */
function listParams(params) {
  if (!params) return [];
  if (params instanceof URLSearchParams || Array.isArray(params)) return [...params];
  return Object.entries(params).flatMap(([name, value]) => (Array.isArray(value) ? value : [value])
    .filter((each) => each !== null && each !== undefined && each !== '')
    .map((each) => /** @type {[string, string]} */ ([name, String(each)])));
}

/** The parameters of the next page, by the header `Link`. @param {Response} response */
function linkNext(response) {
  const match = /<([^>]*)>;\s*rel="?next"?/.exec(response.headers.get('link') ?? '');
  return match?.[1] ? new URL(match[1], response.url).searchParams : null;
}

// ---- Keys ----

/** @typedef {{key: string, description: string, act: (event: KeyboardEvent) => void}} Shortcut */

/** The keys that do something now. They do nothing while something is typed, or a dialog is open. */
export class Keys {
  /** @type {Shortcut[]} */
  #shortcuts = [];

  /** @param {EventTarget} target */
  constructor(target) {
    target.addEventListener('keydown', (event) => this.#press(/** @type {KeyboardEvent} */ (event)));
  }

  /**
   * Let a key do something until the function that is returned is called. Of several with the same key, the newest acts.
   * @param {string} key as in `KeyboardEvent.key`; `Ctrl k` is that with Control, or with Command on a Mac @param {string} description
   * @param {(event: KeyboardEvent) => void} act
   */
  add(key, description, act) {
    const shortcut = { key, description, act };
    this.#shortcuts.push(shortcut);
    return () => {
      this.#shortcuts = this.#shortcuts.filter((each) => each !== shortcut);
    };
  }

  /** The keys that do something, each once. @returns {Shortcut[]} */
  list() {
    return [...new Map(this.#shortcuts.map((shortcut) => [shortcut.key, shortcut])).values()];
  }

  /** @param {KeyboardEvent} event */
  #press(event) {
    if (event.defaultPrevented || event.altKey || isTyping(event)) return;
    const key = event.ctrlKey || event.metaKey ? `Ctrl ${event.key}` : event.key;
    const shortcut = this.list().find((each) => each.key === key);
    if (!shortcut || document.querySelector('dialog[open]')) return;
    // Enter and space press what has the focus.
    if ((event.key === 'Enter' || event.key === ' ') && isPressable(event.target)) return;
    event.preventDefault();
    shortcut.act(event);
  }
}

/** @param {KeyboardEvent} event */
function isTyping(event) {
  const target = event.composedPath()[0];
  return target instanceof HTMLElement
    && (target.isContentEditable || target.matches('textarea, select, input:not([type=checkbox], [type=radio], [type=button])'));
}

/** @param {EventTarget | null} target */
function isPressable(target) {
  return target instanceof Element && target.closest('a[href], button, summary, input, select, textarea') !== null;
}
