// @ts-check
// One stream of all jobs for all pages of a browser.
//
//     service ── stream ──▶ the page that holds the lock ── BroadcastChannel ──▶ the other pages
//                                   └──▶ its listeners                             └──▶ their listeners
//
// A browser opens six connections to a host, in all its tabs together: with a stream for each page, the seventh would
// show nothing. So the page that gets a lock reads the stream and passes everything on. When it closes, or is hidden,
// another one gets the lock, and goes on after the last position that it has seen. Each message tells from which
// position to which it leads. A page that has missed one knows it, and reads its lists again.
//
// The stream is read by `fetch` and not by `EventSource`: that can send a key as a header, so that none stands in an
// address; and it sees why a stream was refused, and that nothing comes any more.
//
// Locks exist only where the page came by HTTPS or from this machine. Elsewhere each page has a stream of its own.

/** @import { JobRecord, LiveEvent, LiveState, Service } from './types.js' */
/** @import { Api } from './kit.js' */

import { ApiError, parseJson } from './kit.js';

const FRAME_MILLISECONDS = 50; // what comes more often than the service is asked to send would be waited for twice
const GATHER_MILLISECONDS = 4; // what the service sends at once can come in several pieces
const POLL_SECONDS = 0.1; // the service sends no more often: so many changes of the screen there are in a second
const SILENCE_MILLISECONDS = 75_000; // the service sends a comment every 30 s: after two, the connection is dead
const PROBE_MILLISECONDS = 5_000; // nobody looks longer at a list that stands still before doubting it
const SETTLE_MILLISECONDS = 200; // a proxy can answer for a service that is away, with a stream that ends at once
const FIRST_WAIT_SECONDS = 1;
const LONGEST_WAIT_SECONDS = 8; // a service that is back is seen soon
const FORGET_MILLISECONDS = 60_000; // to read everything again costs less than all changes of a longer absence
const MOST_VERSIONS = 5_000; // of jobs whose newest version is known: more than any page shows
const BUSY_MILLISECONDS = 8; // half a frame: what has gathered while a page stood still must not hold it any longer

/** @typedef {{id: string, data: string, event: string}} ServerSentEvent */
/** @typedef {{state: LiveState, since: Date | null, retryInSeconds: number | null, position: string | null}} StateMessage */
/** @typedef {{from: string | null, to: string | null, records: JobRecord[], deleted: string[], isReset: boolean}} Batch */

/**
 * Read a stream of events until it ends. It resolves when the service ends it, and rejects with an `ApiError` if it was
 * refused or got lost. For the stream of one job too: `lastEventId` continues where another one ended.
 *
 * While the service cannot read its jobs, the stream stays open and says nothing, as if nothing happened. So whenever no
 * event has come for `probeMilliseconds`, `probe` reads what the stream is about: one at a time. If the service cannot
 * answer that, the stream counts as lost, unless an event has come meanwhile.
 * @param {Api} api @param {string} path
 * @param {{params?: Record<string, unknown>, lastEventId?: string | null, signal?: AbortSignal,
 *   onOpen?: () => void, onEvent: (event: ServerSentEvent) => void,
 *   probe: (options: {signal: AbortSignal}) => Promise<unknown>, probeMilliseconds: number}} options
 * @returns {Promise<number>} the status: 204 says that there will be no more
 */
export async function readStream(api, path, options) {
  const { params, lastEventId, signal, onOpen, onEvent, probe, probeMilliseconds } = options;
  const ending = new AbortController();
  const either = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal;
  let timer = window.setTimeout(() => ending.abort(), SILENCE_MILLISECONDS);
  let [probing, isProbing, events, isOpen] = [0, false, 0, false];
  const probeLater = () => {
    window.clearTimeout(probing);
    if (!isProbing) probing = window.setTimeout(probeNow, probeMilliseconds);
  };
  const probeNow = async () => {
    const before = events;
    isProbing = true;
    try {
      await probe({ signal: either });
    } catch (error) {
      // An event that has come since tells that the service can read its jobs again.
      const isSilent = events === before;
      if (isSilent && error instanceof ApiError && (error.status === 0 || error.status >= 500)) ending.abort();
    }
    isProbing = false;
    if (!either.aborted) probeLater();
  };
  const stillThere = () => {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => ending.abort(), SILENCE_MILLISECONDS);
    if (isOpen) return;
    // The first bytes come when the service has begun to watch: what is read from now on is as new as the stream.
    isOpen = true;
    onOpen?.();
    probeLater();
  };
  const take = (/** @type {ServerSentEvent} */ event) => {
    events += 1;
    probeLater();
    onEvent(event);
  };
  try {
    const headers = { Accept: 'text/event-stream', ...(lastEventId ? { 'Last-Event-ID': lastEventId } : {}) };
    const response = await api.response(path, params, { headers, signal: either });
    if (response.status === 204 || !response.body) return response.status;
    await readEvents(response.body, take, stillThere);
    return response.status;
  } catch (error) {
    if (signal?.aborted || error instanceof ApiError) throw error;
    throw new ApiError(0, 'The connection was lost.');
  } finally {
    window.clearTimeout(timer);
    window.clearTimeout(probing);
    ending.abort(); // also a probe that is under way
  }
}

/** @param {ReadableStream<Uint8Array>} body @param {(event: ServerSentEvent) => void} onEvent @param {() => void} onBytes */
async function readEvents(body, onEvent, onBytes) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let [rest, busy] = ['', 0];
  for (;;) {
    const askedAt = performance.now();
    const { done, value } = await reader.read();
    if (done) return;
    const cameAt = performance.now();
    if (cameAt - askedAt > 1) busy = 0; // it was waited for, and so others had their turn
    onBytes();
    const blocks = (rest + decoder.decode(value, { stream: true })).split('\n\n');
    rest = blocks.pop() ?? '';
    for (const block of blocks) {
      const event = parseEvent(block);
      if (event) onEvent(event);
    }
    busy += performance.now() - cameAt;
    if (busy < BUSY_MILLISECONDS) continue;
    await new Promise((resolve) => setTimeout(resolve));
    busy = 0;
  }
}

/** One event of a stream of servicekit's, whose lines end with LF. @param {string} block @returns {ServerSentEvent | null} */
function parseEvent(block) {
  const event = { id: '', data: '', event: 'message' };
  for (const line of block.split('\n')) {
    const [, field, value] = /^(id|data|event): ?([^]*)$/.exec(line) ?? [];
    if (field === 'data') event.data += event.data ? `\n${value}` : value;
    else if (field) event[/** @type {'id' | 'event'} */ (field)] = value ?? '';
  }
  return event.data ? event : null;
}

/** How long to wait before a stream is asked for again. @param {number} failures since it was there, at least 1 */
export function secondsToRetry(failures) {
  const longest = Math.min(FIRST_WAIT_SECONDS * 2 ** (failures - 1), LONGEST_WAIT_SECONDS);
  // All pages lose a service that is started again, and must not come back in the same moment.
  return longest * (0.5 + Math.random() / 2);
}

/** The changes of all jobs that the caller sees, as they happen. */
export class Live {
  /** @type {LiveState} */
  state = 'connecting';
  /** When the data was known to be right, by the browser's clock. @type {Date | null} */
  since = null;

  /** @type {Set<(event: LiveEvent) => void>} */
  #listeners = new Set();
  #isStarted = false;
  #isPaused = false;
  /** @type {AbortController | null} what ends when this page needs no stream */
  #wish = null;
  /** @type {AbortController | null} what ends the wait before the next attempt */
  #wait = null;
  /** @type {BroadcastChannel | null} */
  #channel = null;
  /** Whether other pages were heard on it. */
  #hasOthers = false;
  #isLeader = false;
  #wasReset = false; // since this page began to read, or came back to it
  /** @type {string | null} the position of the last event that was seen */
  #position = null;
  #frame;
  #versions = new Versions();
  #api;
  #service;

  /** @param {Api} api @param {Service} service */
  constructor(api, service) {
    this.#api = api;
    this.#service = service;
    this.#frame = new Frame((batch) => this.#deliver(batch));
  }

  /**
   * Begin. Listeners are told `reset` as soon as the stream has begun.
   * @returns {() => void} what ends it
   */
  start() {
    const ended = new AbortController();
    document.addEventListener('visibilitychange', () => this.#update(), ended);
    window.addEventListener('offline', () => this.#lose(), ended);
    window.addEventListener('online', () => this.#retryNow(), ended);
    // A page that a browser keeps for the button "back" must hold no lock.
    window.addEventListener('pagehide', () => this.#leave(), ended);
    window.addEventListener('pageshow', () => this.#update(), ended);
    this.#isStarted = true;
    this.#update();
    return () => {
      ended.abort();
      this.#isStarted = false;
      this.#leave();
    };
  }

  /** @param {(event: LiveEvent) => void} listener */
  subscribe(listener) {
    this.#listeners.add(listener);
    return () => {
      this.#listeners.delete(listener);
    };
  }

  /** Let nothing change on the screen. */
  pause() {
    this.#isPaused = true;
    this.#update();
    this.#setState('paused');
  }

  /** Go on, with what has changed meanwhile. */
  resume() {
    this.#isPaused = false;
    this.#update();
  }

  #update() {
    const isWanted = this.#isStarted && !this.#isPaused && document.visibilityState === 'visible';
    if (isWanted && !this.#wish) this.#join();
    else if (!isWanted) this.#leave();
  }

  #leave() {
    this.#wish?.abort();
    this.#wish = null;
    this.#channel?.close();
    this.#channel = null;
    this.#hasOthers = false;
    this.#isLeader = false;
    this.#frame.flush();
    this.#wasReset = false; // the service may be started again meanwhile, and have forgotten all jobs
  }

  async #join() {
    const wish = new AbortController();
    this.#wish = wish;
    this.#tellState('connecting', null);
    const name = await this.#findName();
    if (wish.signal.aborted) return;
    if (name === null) {
      await this.#lead(wish.signal);
      return;
    }
    this.#listenTo(name);
    try {
      await navigator.locks.request(name, { signal: wish.signal }, () => this.#lead(wish.signal));
    } catch (error) {
      if (!wish.signal.aborted) throw error;
    }
  }

  /** The name of what pages share that see the same; `null` where nothing can be shared. */
  async #findName() {
    if (!navigator.locks || !window.BroadcastChannel || !window.crypto?.subtle) return null;
    const { owner, everything } = this.#service.access;
    const told = JSON.stringify([this.#api.url(this.#service.paths.jobs), this.#api.key, owner, everything]);
    const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(told));
    return `servicekit ${[...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, '0')).join('')}`;
  }

  // ---- The page that leads ----

  /** @param {AbortSignal} signal */
  async #lead(signal) {
    this.#isLeader = true;
    for (let failures = 0; !signal.aborted;) {
      const wasLive = await this.#read(signal, failures > 0);
      if (signal.aborted) return;
      failures = wasLive ? 1 : failures + 1;
      await this.#waitToRetry(failures, signal);
    }
  }

  /** Read the stream until it ends. Whether it has begun. @param {AbortSignal} signal @param {boolean} wasLost */
  async #read(signal, wasLost) {
    let [hasBegun, timer] = [false, 0];
    const begin = () => {
      if (!hasBegun) this.#begin(wasLost);
      hasBegun = true;
    };
    const attempt = new AbortController();
    this.#wait = attempt;
    if (Date.now() - Number(this.since) > FORGET_MILLISECONDS) this.#position = null;
    try {
      await readStream(this.#api, `${this.#service.paths.jobs}/$stream`, {
        params: { poll_interval: POLL_SECONDS },
        lastEventId: this.#position,
        signal: AbortSignal.any([signal, attempt.signal]),
        onOpen: () => {
          timer = window.setTimeout(begin, SETTLE_MILLISECONDS);
        },
        onEvent: (event) => {
          begin();
          this.#take(event);
        },
        probe: async (options) => {
          await this.#api.get(this.#service.paths.jobs, { limit: 1 }, options);
          this.since = new Date();
        },
        probeMilliseconds: PROBE_MILLISECONDS,
      });
    } catch {
      // Whatever it was, the next attempt tells. For 401, the page has been told already, and asks for a key.
    }
    window.clearTimeout(timer);
    this.#frame.flush();
    return hasBegun;
  }

  /** @param {boolean} wasLost */
  #begin(wasLost) {
    this.#setState('live');
    // Without a position, the stream tells of the newest jobs alone. And a service that was away may have forgotten
    // the position, or all jobs: if it has none any more, nothing tells of that.
    if (wasLost || !this.#wasReset || this.#position === null) this.#frame.reset();
  }

  /** @param {ServerSentEvent} event */
  #take(event) {
    const record = /** @type {JobRecord | {id: string, status: 'deleted'}} */ (parseJson(event.data));
    // The service has forgotten the position, and begins with the jobs as they are: all but the last have no position.
    if (event.id === '0') this.#frame.reset();
    this.#frame.add(record, event.id === '0' ? null : event.id);
  }

  /** @param {number} failures @param {AbortSignal} signal */
  async #waitToRetry(failures, signal) {
    const seconds = secondsToRetry(failures);
    this.#wait = new AbortController();
    this.#setState(navigator.onLine === false ? 'offline' : 'reconnecting', seconds);
    await sleep(seconds * 1000, AbortSignal.any([signal, this.#wait.signal]));
  }

  #lose() {
    if (!this.#wish) return; // a page that is paused stays so
    if (this.#isLeader) this.#wait?.abort();
    this.#setState('offline');
  }

  #retryNow() {
    if (this.#isLeader) this.#wait?.abort();
  }

  // ---- All pages ----

  /** @param {string} name */
  #listenTo(name) {
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.#channel.postMessage({ kind: 'hello' });
  }

  /** @param {{kind: 'hello'} | {kind: 'state', state: StateMessage} | {kind: 'batch', batch: Batch}} message */
  #hear(message) {
    this.#hasOthers = true;
    if (message.kind === 'hello') {
      if (this.#isLeader) this.#passState(null);
    } else if (message.kind === 'state') {
      if (!this.#isLeader) this.#hearState(message.state);
    } else if (!this.#isLeader) {
      this.#apply(message.batch);
    }
  }

  /** @param {StateMessage} message */
  #hearState({ state, since, retryInSeconds, position }) {
    this.since = since;
    const isBehind = position !== null && position !== this.#position;
    if (state === 'live' && (isBehind || !this.#wasReset)) {
      this.#position = position;
      this.#emit({ type: 'reset' });
    }
    this.#tellState(state, retryInSeconds);
  }

  /** @param {number | null} retryInSeconds */
  #passState(retryInSeconds) {
    this.#frame.flush(); // what is told of a position must have been told
    const state = { state: this.state, since: this.since, retryInSeconds, position: this.#position };
    this.#channel?.postMessage({ kind: 'state', state });
  }

  /** What this page has read: for itself and for the others. @param {Omit<Batch, 'from'>} batch */
  #deliver(batch) {
    const whole = { ...batch, from: this.#position, to: batch.to ?? this.#position };
    if (this.#hasOthers) this.#channel?.postMessage({ kind: 'batch', batch: whole }); // it is cloned also for nobody
    this.#apply(whole);
  }

  /** @param {Batch} batch */
  #apply(batch) {
    const isGap = batch.from !== this.#position && this.#position !== batch.to;
    this.#position = batch.to;
    this.since = new Date();
    const changes = this.#versions.select(batch);
    if (batch.isReset || isGap) this.#emit({ type: 'reset' });
    if (changes.records.size || changes.deleted.size) this.#emit({ type: 'changes', ...changes });
  }

  /** @param {LiveState} state @param {number | null} [retryInSeconds] */
  #setState(state, retryInSeconds = null) {
    this.#tellState(state, retryInSeconds);
    if (this.#isLeader) this.#passState(retryInSeconds);
  }

  /** @param {LiveState} state @param {number | null} retryInSeconds */
  #tellState(state, retryInSeconds) {
    this.state = state;
    if (state === 'live') this.since = new Date();
    this.#emit({ type: 'state', state, since: this.since, retryInSeconds });
  }

  /** @param {LiveEvent} event */
  #emit(event) {
    this.#wasReset ||= event.type === 'reset';
    for (const listener of [...this.#listeners]) {
      try {
        listener(event);
      } catch (error) {
        reportError(error); // one listener must not keep the others from hearing
      }
    }
  }
}

/** Gathers what comes at once, so that a listener is called once for it. The first change does not wait. */
class Frame {
  /** @type {Map<string, JobRecord | {id: string, status: 'deleted'}>} */
  #changes = new Map();
  /** @type {string | null} */
  #position = null;
  #isReset = false;
  #timer = 0;
  #lastAt = -Infinity;
  #deliver;

  /** @param {(batch: Omit<Batch, 'from'>) => void} deliver */
  constructor(deliver) {
    this.#deliver = deliver;
  }

  reset() {
    this.#isReset = true;
    this.#schedule();
  }

  /** @param {JobRecord | {id: string, status: 'deleted'}} record @param {string | null} position */
  add(record, position) {
    this.#changes.set(record.id, record);
    if (position !== null) this.#position = position;
    this.#schedule();
  }

  flush() {
    window.clearTimeout(this.#timer);
    this.#timer = 0;
    if (!this.#changes.size && !this.#isReset) return;
    this.#lastAt = performance.now();
    const all = [...this.#changes.values()];
    const batch = {
      to: this.#position,
      records: /** @type {JobRecord[]} */ (all.filter((each) => each.status !== 'deleted')),
      deleted: all.filter((each) => each.status === 'deleted').map((each) => each.id),
      isReset: this.#isReset,
    };
    [this.#changes, this.#position, this.#isReset] = [new Map(), null, false];
    this.#deliver(batch);
  }

  #schedule() {
    const due = Math.max(GATHER_MILLISECONDS, this.#lastAt + FRAME_MILLISECONDS - performance.now());
    this.#timer ||= window.setTimeout(() => this.flush(), due);
  }
}

/** The newest version of each job that was seen, so that none is shown that is older. */
class Versions {
  /** @type {Map<string, number>} */
  #newest = new Map();

  /** What is newer than what was seen. @param {Batch} batch */
  select({ records, deleted }) {
    const fresh = new Map();
    for (const record of records) {
      if (record.version <= (this.#newest.get(record.id) ?? -1)) continue;
      this.#set(record.id, record.version);
      fresh.set(record.id, record);
    }
    for (const id of deleted) this.#set(id, Infinity); // ids are not used again
    return { records: fresh, deleted: new Set(deleted) };
  }

  /** @param {string} id @param {number} version */
  #set(id, version) {
    this.#newest.delete(id);
    this.#newest.set(id, version);
    if (this.#newest.size < 2 * MOST_VERSIONS) return;
    // Many at once: the way to the first key leads over the places of all that were deleted before.
    for (const oldest of [...this.#newest.keys()].slice(0, MOST_VERSIONS)) this.#newest.delete(oldest);
  }
}

/** @param {number} milliseconds @param {AbortSignal} signal @returns {Promise<void>} */
function sleep(milliseconds, signal) {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const timer = window.setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => {
      window.clearTimeout(timer);
      resolve();
    }, { once: true });
    return undefined;
  });
}
