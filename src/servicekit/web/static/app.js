// @ts-check
// The frame of the page: header, ways between the pages, the key dialog, the state of the connection.

/** @import { Page, PageContext, Service } from './types.js' */

import {
  Api, ApiError, Keys, announce, formatTime, h, replace, setAttribute, setText, showDialog,
} from './kit.js';
import { Live } from './live.js';

const KEY = 'servicekit.key';
const SLOW_MILLISECONDS = 2_000; // before the page says that it waits
const AGAIN_MILLISECONDS = 2_000;
const THEME = 'servicekit.theme';
const THEMES = ['auto', 'light', 'dark'];
const JOB_ID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;

/** @type {Record<string, {module: string, title: string}>} */
const ROUTES = {
  '': { module: './job-list.js', title: 'Jobs' },
  queues: { module: './queues-page.js', title: 'Queues' },
  schedules: { module: './schedules-page.js', title: 'Schedules' },
  workers: { module: './workers-page.js', title: 'Workers' },
  tasks: { module: './tasks-page.js', title: 'Tasks' },
};
const ASKED = 'This service wants to know who you are. Enter an API key, or your token.';
const JOB_PAGE = { module: './job-page.js', title: 'Job' };

/** @param {string} id @returns {HTMLElement} */
function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

/** The key that this tab keeps; none where the browser lets pages keep nothing. */
function findKey() {
  try {
    return sessionStorage.getItem(KEY);
  } catch {
    return null;
  }
}

class App {
  #base = new URL('.', location.href);
  #api = new Api(this.#base, { getKey: findKey });
  #keys = new Keys(document);
  #main = find('main');
  #header = find('header');
  /** @type {Service | null} */
  #service = null;
  /** @type {Live | null} */
  #live = null;
  /** @type {Page | null} */
  #page = null;
  /** @type {AbortController | null} */
  #shown = null;
  /** @type {URL | null} */
  #address = null;
  /** @type {Map<string, unknown>} How a page was when it was left, by its address. */
  #views = new Map();
  #isLocked = false;

  async start() {
    applyTheme();
    window.addEventListener('servicekit:locked', (event) => this.#lock(/** @type {CustomEvent} */ (event).detail));
    window.addEventListener('popstate', () => this.#show({ isReturn: true }));
    document.addEventListener('click', (event) => this.#follow(event));
    this.#keys.add('?', 'These keys', () => this.#showHelp());
    try {
      const service = await this.#meet();
      const live = new Live(this.#api, service);
      [this.#service, this.#live] = [service, live];
      this.#showHeader(service, live);
      this.#watch(live);
      await this.#show();
      live.start(); // after what is shown first, which it must not delay
    } catch (error) {
      this.#showProblem(error);
    }
  }

  /** What the service is. It is asked again while it is away: a page on a wall must come back by itself. @returns {Promise<Service>} */
  async #meet() {
    const slow = window.setTimeout(() => this.#showProblem(new Error('Waiting for the service …')), SLOW_MILLISECONDS);
    for (;;) {
      const service = await this.#api.get('$service').catch((error) => {
        if (error instanceof ApiError && error.status >= 400 && error.status < 429) throw error;
      }).finally(() => window.clearTimeout(slow));
      if (service?.paths?.jobs) return service;
      this.#showProblem(new Error('The service does not answer as it should. It is asked again every few seconds.'));
      await new Promise((resolve) => window.setTimeout(resolve, AGAIN_MILLISECONDS));
    }
  }

  /** A service that was away can be another one since, and the caller's rights others. @param {Live} live */
  #watch(live) {
    let wasLost = false;
    live.subscribe((event) => {
      if (event.type !== 'state') return;
      if (wasLost && event.state === 'live') void this.#meetAgain();
      wasLost = event.state === 'reconnecting' || event.state === 'offline' || (wasLost && event.state === 'connecting');
    });
  }

  async #meetAgain() {
    const service = await this.#api.get('$service').catch(() => null);
    const isSame = JSON.stringify(service) === JSON.stringify(this.#service);
    if (service === null || isSame || document.getElementById('reload')) return;
    const text = 'The service, or what you may do, has changed.';
    const reload = () => location.reload();
    find('theme').before(h('button', { id: 'reload', type: 'button', class: 'main', title: text, on: { click: reload } }, 'Load again'));
    announce(text);
  }

  // ---- Pages ----

  /** Show what the address says. @param {{isReturn?: boolean}} [how] whether it was there before, as it was left then */
  async #show({ isReturn = false } = {}) {
    if (this.#isLocked) return; // the page says so until it is loaded again
    const before = this.#address;
    const url = new URL(location.href);
    if (before && this.#page?.view) this.#views.set(before.pathname + before.search, this.#page.view());
    this.#address = url;
    const isSamePlace = before?.pathname === url.pathname;
    if (isSamePlace && before?.search === url.search) return;
    // A question is about what was shown when it was asked.
    for (const dialog of document.querySelectorAll('dialog')) dialog.close();
    if (isSamePlace && this.#page?.update) this.#page.update(url);
    else await this.#showAnew(url, isReturn ? this.#views.get(url.pathname + url.search) : null);
  }

  /** @param {URL} url @param {unknown} view */
  async #showAnew(url, view) {
    this.#page?.close();
    this.#shown?.abort();
    const shown = new AbortController();
    [this.#page, this.#shown] = [null, shown];
    const name = this.#nameOf(url) ?? '';
    const { module: file, title } = ROUTES[name] ?? JOB_PAGE;
    this.#markPlace(name in ROUTES ? name : '');
    this.#setTitle(title);
    replace(find('search'));
    replace(this.#main);
    try {
      const module = await import(file);
      if (shown.signal.aborted) return;
      const page = await module.show(this.#makeContext(shown.signal, view));
      if (shown.signal.aborted) page.close();
      else this.#page = page;
    } catch (error) {
      if (!shown.signal.aborted) this.#showProblem(error);
    }
  }

  /** @param {AbortSignal} signal @param {unknown} view @returns {PageContext} */
  #makeContext(signal, view) {
    if (this.#service === null || this.#live === null) throw new Error('The service is not known yet.');
    return {
      root: this.#main,
      search: find('search'),
      api: this.#api,
      service: this.#service,
      live: this.#live,
      url: new URL(location.href),
      view,
      navigate: (url, options) => void (signal.aborted || this.#navigate(url, options)),
      setTitle: (title, status) => void (signal.aborted || this.#setTitle(title, status)),
      keys: { add: (key, description, act) => this.#addKey(signal, key, description, act) },
      signal,
    };
  }

  /**
   * A key of a page ends with it. An answer that comes later must not bring it back.
   * @param {AbortSignal} signal @param {Parameters<Keys['add']>} key
   */
  #addKey(signal, ...key) {
    if (signal.aborted) return () => {};
    const remove = this.#keys.add(...key);
    const forget = () => {
      signal.removeEventListener('abort', forget); // a page that stays for days adds and removes keys all the time
      remove();
    };
    signal.addEventListener('abort', forget);
    return forget;
  }

  /**
   * Go to an address of the dashboard. With `replace`, the page stays and only its address changes.
   * @param {string} address @param {{replace?: boolean}} [options]
   */
  #navigate(address, { replace: isReplaced = false } = {}) {
    const url = new URL(address, location.href);
    if (isReplaced) {
      history.replaceState(history.state, '', url);
      this.#address = url;
      return;
    }
    const isList = location.pathname === this.#base.pathname;
    const back = isList ? 1 : history.state?.back ? history.state.back + 1 : null; // how far the list is
    history.pushState({ back }, '', url);
    const isOtherPlace = url.pathname !== this.#address?.pathname;
    this.#show();
    if (!isOtherPlace) return;
    this.#main.scrollTo(0, 0);
    this.#main.focus({ preventScroll: true });
    announce(document.title);
  }

  /** Links to other pages of the dashboard are followed here. @param {MouseEvent} event */
  #follow(event) {
    const link = event.target instanceof Element ? event.target.closest('a') : null;
    if (!link?.href || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    const isInThisPage = url.hash !== '' && url.pathname + url.search === location.pathname + location.search;
    if (this.#service === null || isInThisPage || this.#nameOf(url) === null) return;
    event.preventDefault();
    this.#navigate(url.href);
  }

  /** The part of an address that says which page it is; `null` for an address that is none of the dashboard's. @param {URL} url */
  #nameOf(url) {
    if (url.origin !== location.origin || !url.pathname.startsWith(this.#base.pathname)) return null;
    const name = url.pathname.slice(this.#base.pathname.length);
    return name in ROUTES || JOB_ID.test(name) ? name : null;
  }

  /** @param {string} title @param {string} [status] */
  #setTitle(title, status) {
    document.title = [status, title, this.#service?.title].filter(Boolean).join(' · ');
  }

  /** @param {unknown} error */
  #showProblem(error) {
    if (error instanceof ApiError && error.status === 401) return; // `#lock` says it
    // What it imports is not there, or is of another version.
    const isOld = (error instanceof TypeError || error instanceof SyntaxError) && /import|module/i.test(error.message);
    const text = isOld
      ? 'This part of the page is not there: the service may have been updated.'
      : error instanceof Error ? error.message : String(error);
    this.#showMessage('Nothing to show', text);
  }

  /** @param {string} title @param {string} text @param {HTMLElement} [button] */
  #showMessage(title, text, button) {
    const again = h('button', { type: 'button', on: { click: () => location.reload() } }, 'Load the page again');
    const message = h('div', { class: 'message', role: 'alert' }, h('h1', null, title), h('p', null, text));
    message.append(h('div', { class: 'buttons' }, button, again));
    replace(this.#main, message);
  }

  // ---- The header ----

  /** @param {Service} service @param {Live} live */
  #showHeader(service, live) {
    const { paths, access } = service;
    const links = [['', 'Jobs']];
    if (access.everything) links.push(['queues', 'Queues'], ['schedules', 'Schedules'], ['workers', 'Workers']);
    if (paths.tasks) links.push(['tasks', 'Tasks']);
    const home = this.#base.pathname;
    replace(
      this.#header,
      h('a', { class: 'brand', href: home, title: service.title }, h('span', { 'aria-hidden': 'true' }, '▚'), h('b', null, service.title)),
      h('nav', { 'aria-label': 'Pages' }, links.map(([name, word]) => h('a', { href: `${home}${name}`, 'data-page': name }, word))),
      h('div', { id: 'search' }),
      connection(live),
      h('div', { class: 'tools' },
        this.#makeLeaveButton(),
        h('button', { type: 'button', class: 'plain', id: 'theme', on: { click: switchTheme } }),
        h('button', { type: 'button', class: 'plain', 'aria-label': 'Keys', title: 'Keys (?)', on: { click: () => this.#showHelp() } }, '?')),
    );
    applyTheme();
  }

  #makeLeaveButton() {
    if (this.#api.key === null) return null;
    const leave = () => {
      sessionStorage.removeItem(KEY);
      location.reload();
    };
    return h('button', { type: 'button', class: 'plain', title: 'This tab forgets the key', on: { click: leave } }, 'Sign out');
  }

  /** @param {string} name */
  #markPlace(name) {
    for (const link of this.#header.querySelectorAll('nav a')) {
      setAttribute(link, 'aria-current', link.getAttribute('data-page') === name ? 'page' : null);
    }
  }

  #showHelp() {
    const rows = this.#keys.list().map(({ key, description }) => h('div', null, h('dt', null, h('kbd', null, key)), h('dd', null, description)));
    showDialog('Keys', h('dl', { class: 'keys' }, rows));
  }

  // ---- No access ----

  /** The service has answered 401: once for all, until the page is loaded again. @param {ApiError} error */
  #lock(error) {
    if (this.#isLocked) return;
    this.#isLocked = true;
    this.#live?.pause();
    this.#page?.close();
    this.#shown?.abort();
    [this.#page, this.#shown] = [null, null];
    if (!error.isKeyWanted) {
      this.#showMessage('No access', error.detail);
      return;
    }
    const enter = h('button', { type: 'button', class: 'main', on: { click: () => this.#askForKey() } }, 'Enter a key');
    this.#showMessage('No access', ASKED, enter);
    this.#askForKey();
  }

  #askForKey() {
    const problem = h('p', { id: 'key-problem', role: 'alert' }, ASKED);
    const input = h('input', {
      type: 'password', autocomplete: 'off', required: true, 'aria-label': 'API key', 'aria-describedby': 'key-problem',
    });
    const submit = async (/** @type {SubmitEvent} */ event) => {
      event.preventDefault();
      setText(problem, 'One moment …');
      const wrong = await this.#tryKey(input.value.trim());
      if (wrong) setText(problem, wrong);
      else location.reload();
    };
    showDialog(
      'Who are you?',
      problem,
      h('form', { on: { submit } }, input, h('button', { class: 'main' }, 'Enter')),
      h('p', { class: 'quiet' }, 'The key is kept until this tab is closed, and sent to this service alone.'),
    );
    input.focus();
  }

  /** Keep the key if it lets in: as an API key, or as the token of a user. What is wrong, if it does not. @param {string} key */
  async #tryKey(key) {
    if (!/^[\x21-\x7e]+$/.test(key)) return 'A key has neither blanks nor letters beyond ASCII.';
    let problem = '';
    for (const each of [key, `Bearer ${key}`]) {
      try {
        await new Api(this.#base, { getKey: () => each }).get('$service');
        sessionStorage.setItem(KEY, each);
        return '';
      } catch (error) {
        problem ||= error instanceof Error ? error.message : String(error);
      }
    }
    return problem;
  }
}

// ---- The state of the connection ----

/** @param {Live} live */
function connection(live) {
  const [word, data] = [h('span'), h('span', { class: 'data' })];
  const toggle = () => (live.state === 'paused' ? live.resume() : live.pause());
  const pause = h('button', { type: 'button', on: { click: toggle } });
  const dot = h('span', { class: 'dot', 'aria-hidden': 'true' });
  const place = h('div', { class: 'connection', role: 'group', 'aria-label': 'Connection' }, dot, h('span', { class: 'word' }, word, data), pause);
  let [until, timer, wasLost] = [0, 0, false];
  const show = () => {
    const seconds = Math.ceil((until - Date.now()) / 1000);
    const isCurrent = live.state === 'live' || live.state === 'connecting';
    setText(word, live.state === 'reconnecting' && seconds > 0 ? `reconnecting in ${seconds} s` : live.state);
    setText(data, !isCurrent && live.since ? `data from ${formatTime(live.since)}` : '');
    for (const element of [place, document.documentElement]) setAttribute(element, 'data-live', live.state);
    const isPaused = live.state === 'paused';
    setAttribute(pause, 'class', `plain sign ${isPaused ? 'play' : 'pause'}`);
    setAttribute(pause, 'aria-label', isPaused ? 'Go on' : 'Pause');
    setAttribute(pause, 'title', isPaused ? 'Go on' : 'Pause: nothing changes on the screen');
  };
  live.subscribe((event) => {
    if (event.type !== 'state') return;
    until = Date.now() + (event.retryInSeconds ?? 0) * 1000;
    window.clearInterval(timer);
    if (event.state === 'reconnecting') timer = window.setInterval(show, 1000);
    const isLost = event.state === 'reconnecting' || event.state === 'offline';
    if (isLost && !wasLost) announce('The connection is lost.');
    if (event.state === 'live' && wasLost) announce('Connected again.');
    wasLost = isLost || (wasLost && event.state !== 'live');
    show();
  });
  show();
  return place;
}

// ---- Themes ----

/** What was chosen; "auto" where the browser keeps nothing. */
function findTheme() {
  try {
    return localStorage.getItem(THEME) ?? 'auto';
  } catch {
    return 'auto';
  }
}

function applyTheme(theme = findTheme()) {
  setAttribute(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
  const button = document.getElementById('theme');
  if (!button) return;
  setText(button, { auto: '◑', light: '○', dark: '●' }[theme] ?? '◑');
  setAttribute(button, 'aria-label', `Theme: ${theme}`);
  setAttribute(button, 'title', `Theme: ${theme}`);
}

function switchTheme() {
  const next = THEMES[(THEMES.indexOf(findTheme()) + 1) % THEMES.length] ?? 'auto';
  try {
    localStorage.setItem(THEME, next);
  } catch {
    // It is chosen for this page alone.
  }
  applyTheme(next);
}

new App().start();
