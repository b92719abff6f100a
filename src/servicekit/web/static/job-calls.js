// @ts-check
// How jobs were called, for those that can be seen.

/** @import { Source } from './job-list.js' */

import { ApiError } from './kit.js';

const MOST_CALLS = 100; // that one request may ask for
const KEPT_CALLS = 2_000;
const PAUSE_MILLISECONDS = 200; // between two requests: new rows can come all the time
const LONG_PAUSE_MILLISECONDS = 2_000; // when the service could not answer

/** How jobs were called, `train(model='xgb')`: asked once for each job, and for all in sight together. */
export class Calls {
  /** @type {Map<string, string | undefined>} */
  #known = new Map();
  #isAsking = false;
  #isThere = true;

  /** @param {string} id */
  get(id) {
    return this.#known.get(id);
  }

  /** @param {Pick<Source, 'api' | 'jobs'>} source @param {string[]} ids @param {() => void} changed Called when more is known, or can be asked. */
  async ask({ api, jobs }, ids, changed) {
    const unknown = ids.filter((id) => !this.#known.has(id)).slice(0, MOST_CALLS);
    if (!unknown.length || this.#isAsking || !this.#isThere) return;
    this.#isAsking = true;
    let milliseconds = PAUSE_MILLISECONDS;
    try {
      const calls = await api.get(`${jobs}/$calls`, { id: unknown });
      for (const id of unknown) this.#known.set(id, calls[id]);
      if (this.#known.size > KEPT_CALLS) this.#known = new Map([...this.#known].filter(([id]) => ids.includes(id)));
      changed();
    } catch (error) {
      this.#isThere = !(error instanceof ApiError && error.status >= 400 && error.status < 500);
      milliseconds = LONG_PAUSE_MILLISECONDS;
    }
    await new Promise((resolve) => setTimeout(resolve, milliseconds));
    this.#isAsking = false;
    changed();
  }
}
