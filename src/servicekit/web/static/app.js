// @ts-check
// The frame of the page: header, ways between the pages, the key dialog, the state of the connection.

/** @import { Page, PageContext, Service } from './types.js' */

import { Api, ApiError, Keys, dispatch, formatTime, h, replace, setAttribute, setText, showDialog } from './kit.js';
import { Live } from './live.js';

const KEY = 'servicekit.key';
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

/** @param {string} id @returns {HTMLElement} */
function find(id) {
  const element = document.getElementById(id);
  if (!element) throw new Error(`The page has no #${id}.`);
  return element;
}

class App {
  #base = new URL('.', location.href);
  #api = new Api(this.#base, { getKey: () => sessionStorage.getItem(KEY) });
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
  #isAsking = false;

  async start() {
    applyTheme(localStorage.getItem(THEME) ?? 'auto');
    window.addEventListener('servicekit:locked', (event) => this.#askForKey(/** @type {CustomEvent} */ (event).detail));
    window.addEventListener('popstate', () => this.#show());
    document.addEventListener('click', (event) => this.#follow(event));
    this.#keys.add('?', 'This list of keys', () => this.#showHelp());
    await this.#open();
  }

  async #open() {
    try {
      const service = /** @type {Service} */ (await this.#api.get('$service'));
      const live = new Live(this.#api, service);
      [this.#service, this.#live] = [service, live];
      this.#showHeader(service, live);
      await this.#show();
      live.start(); // after what is shown first, which it must not delay
    } catch (error) {
      this.#showProblem(error);
    }
  }

  // ---- Pages ----

  async #show() {
    const before = this.#address;
    if (before?.href === location.href) return;
    const url = new URL(location.href);
    this.#address = url;
    const isSamePlace = before?.pathname === url.pathname;
    if (isSamePlace && before?.search === url.search) return;
    if (isSamePlace && this.#page?.update) this.#page.update(url);
    else await this.#showAnew(url);
  }

  /** @param {URL} url */
  async #showAnew(url) {
    this.#page?.close();
    this.#shown?.abort();
    const shown = new AbortController();
    [this.#page, this.#shown] = [null, shown];
    const name = url.pathname.slice(this.#base.pathname.length);
    const route = ROUTES[name] ?? { module: './job-page.js', title: 'Job' };
    this.#markPlace(JOB_ID.test(name) ? '' : name);
    this.#setTitle(route.title);
    replace(find('search'));
    replace(this.#main);
    try {
      const module = await import(route.module);
      if (shown.signal.aborted) return;
      const page = await module.show(this.#makeContext(shown.signal));
      if (shown.signal.aborted) page.close();
      else this.#page = page;
    } catch (error) {
      if (!shown.signal.aborted) this.#showProblem(error);
    }
  }

  /** @param {AbortSignal} signal @returns {PageContext} */
  #makeContext(signal) {
    if (this.#service === null || this.#live === null) throw new Error('The service is not known yet.');
    return {
      root: this.#main,
      search: find('search'),
      api: this.#api,
      service: this.#service,
      live: this.#live,
      url: new URL(location.href),
      navigate: (url, options) => this.#navigate(url, options),
      setTitle: (title, status) => this.#setTitle(title, status),
      keys: this.#keys,
      signal,
    };
  }

  /**
   * Go to an address of the dashboard. With `replace`, the page stays and only its address changes.
   * @param {string} address @param {{replace?: boolean}} [options]
   */
  #navigate(address, { replace: isReplaced = false } = {}) {
    const url = new URL(address, location.href);
    if (isReplaced) {
      history.replaceState(null, '', url);
      this.#address = url;
      return;
    }
    history.pushState(null, '', url);
    this.#main.scrollTo(0, 0);
    this.#show();
  }

  /** Links to other pages of the dashboard are followed here. @param {MouseEvent} event */
  #follow(event) {
    const link = /** @type {Element} */ (event.target).closest?.('a[href]');
    if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || link.target || link.hasAttribute('download')) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || !this.#isOurs(url.pathname) || (url.hash && url.pathname === location.pathname)) return;
    event.preventDefault();
    this.#navigate(url.href);
  }

  /** @param {string} path */
  #isOurs(path) {
    const name = path.startsWith(this.#base.pathname) ? path.slice(this.#base.pathname.length) : null;
    return name !== null && (name in ROUTES || JOB_ID.test(name));
  }

  /** @param {string} title @param {string} [status] */
  #setTitle(title, status) {
    document.title = [status, title, this.#service?.title].filter(Boolean).join(' · ');
  }

  /** @param {unknown} error */
  #showProblem(error) {
    if (error instanceof ApiError && error.status === 401) return; // the dialog says it
    const isOld = error instanceof TypeError && /import/i.test(error.message);
    const text = isOld
      ? 'This part of the page is not there: the service may have been updated.'
      : error instanceof Error ? error.message : String(error);
    const again = h('button', { type: 'button', on: { click: () => location.reload() } }, 'Load the page again');
    replace(this.#main, h('div', { class: 'message', role: 'alert' }, h('h1', null, 'Nothing to show'), h('p', null, text), again));
  }

  // ---- The header ----

  /** @param {Service} service @param {Live} live */
  #showHeader(service, live) {
    const { paths, access } = service;
    const links = [['', 'Jobs']];
    if (access.everything) links.push(['queues', 'Queues'], ['schedules', 'Schedules'], ['workers', 'Workers']);
    if (paths.tasks && access.everything) links.push(['tasks', 'Tasks']);
    replace(
      this.#header,
      h('a', { class: 'brand', href: this.#base.pathname }, h('span', { 'aria-hidden': 'true' }, '▚'), service.title),
      h('nav', { 'aria-label': 'Pages' }, links.map(([name, word]) => h('a', { href: `${this.#base.pathname}${name}`, 'data-page': name }, word))),
      h('div', { id: 'search' }),
      connection(live),
      h('button', { type: 'button', class: 'plain', id: 'theme', on: { click: switchTheme } }),
      h('button', { type: 'button', class: 'plain', 'aria-label': 'Keys', title: 'Keys (?)', on: { click: () => this.#showHelp() } }, '?'),
    );
    applyTheme(localStorage.getItem(THEME) ?? 'auto');
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

  /** @param {string} detail */
  #askForKey(detail) {
    if (this.#isAsking) return;
    this.#isAsking = true;
    const input = h('input', { type: 'password', name: 'key', autocomplete: 'off', required: true, 'aria-label': 'API key' });
    const dialog = showDialog(
      'Who are you?',
      h('p', null, detail),
      h('form', { method: 'dialog', on: { submit: () => {
        sessionStorage.setItem(KEY, input.value);
        location.reload();
      } } }, input, h('button', { class: 'main' }, 'Enter')),
      h('p', { class: 'quiet' }, 'The key is kept until this tab is closed, and sent to this service alone.'),
    );
    dialog.addEventListener('close', () => {
      this.#isAsking = false;
    });
  }
}

// ---- The state of the connection ----

/** @param {Live} live */
function connection(live) {
  const word = h('span', { class: 'word' });
  const pause = h('button', { type: 'button', class: 'plain', on: { click: () => (live.state === 'paused' ? live.resume() : live.pause()) } });
  const place = h('div', { class: 'connection', role: 'group', 'aria-label': 'Connection' }, h('span', { class: 'dot', 'aria-hidden': 'true' }), word, pause);
  let until = 0;
  const show = () => {
    const seconds = Math.max(0, Math.ceil((until - Date.now()) / 1000));
    const data = live.since ? ` · data from ${formatTime(live.since)}` : '';
    const words = {
      connecting: 'connecting',
      live: 'live',
      reconnecting: seconds ? `reconnecting in ${seconds} s${data}` : `reconnecting${data}`,
      offline: `offline${data}`,
      paused: `paused${data}`,
    };
    setText(word, words[live.state]);
    setAttribute(place, 'data-live', live.state);
    setAttribute(document.documentElement, 'data-live', live.state);
    const isPaused = live.state === 'paused';
    setText(pause, isPaused ? '▶' : '⏸');
    setAttribute(pause, 'aria-label', isPaused ? 'Go on' : 'Pause');
    setAttribute(pause, 'title', isPaused ? 'Go on' : 'Pause: nothing changes on the screen');
  };
  let timer = 0;
  live.subscribe((event) => {
    if (event.type !== 'state') return;
    until = Date.now() + (event.retryInSeconds ?? 0) * 1000;
    window.clearInterval(timer);
    if (event.state === 'reconnecting') timer = window.setInterval(show, 1000);
    show();
  });
  show();
  return place;
}

// ---- Themes and dialogs ----

/** @param {string} theme */
function applyTheme(theme) {
  setAttribute(document.documentElement, 'data-theme', theme === 'auto' ? null : theme);
  const button = document.getElementById('theme');
  if (!button) return;
  const label = `Theme: ${theme}`;
  setText(button, { auto: '◑', light: '○', dark: '●' }[theme] ?? '◑');
  setAttribute(button, 'aria-label', label);
  setAttribute(button, 'title', label);
}

function switchTheme() {
  const present = localStorage.getItem(THEME) ?? 'auto';
  const next = THEMES[(THEMES.indexOf(present) + 1) % THEMES.length] ?? 'auto';
  localStorage.setItem(THEME, next);
  applyTheme(next);
  dispatch(window, 'servicekit:theme', next);
}

new App().start();
