// @ts-check
// What a list of jobs tells besides its rows: what waits, what is marked, where it ends, and why there is nothing.

/** @import { Condition, JobList } from './job-list.js' */

import { adoptStyle, announce, h, lazy, setAttribute, setText } from './kit.js';

const loadEmpty = lazy(() => import('./list-empty.js'));
const QUIET_MILLISECONDS = 10_000; // between two announcements of new jobs

/** @typedef {{pill: HTMLElement, all: HTMLInputElement, table: HTMLElement, foot: HTMLElement, notice: HTMLElement}} Places */

export class Signs {
  #list;
  #places;
  #announcedAt = 0;
  #noticed = '';

  /** @param {JobList} list @param {Places} places */
  constructor(list, places) {
    this.#list = list;
    this.#places = places;
  }

  /** @param {Condition} condition @param {(() => void) | null} goOn Looks further than was looked for matching jobs. */
  show(condition, goOn) {
    this.#showPill();
    this.#showMarks();
    this.#showFoot(condition, goOn);
    this.#showNotice(condition, goOn);
  }

  #showPill() {
    const { waitingCount, isOverflowing } = this.#list.rows;
    this.#places.pill.hidden = waitingCount === 0;
    if (!waitingCount) return;
    setText(this.#places.pill, `↑ ${waitingCount}${isOverflowing ? '+' : ''} new`);
    if (Date.now() - this.#announcedAt < QUIET_MILLISECONDS) return;
    this.#announcedAt = Date.now();
    announce(`${waitingCount} new ${waitingCount === 1 ? 'job waits' : 'jobs wait'} to be shown`);
  }

  #showMarks() {
    const { rows, selection } = this.#list;
    const { all, table } = this.#places;
    const marked = selection?.ids.size ?? 0;
    setAttribute(table, 'aria-rowcount', rows.cursor === null ? rows.ids.length + 1 : -1);
    all.disabled = !selection;
    all.checked = marked > 0 && marked >= rows.ids.length;
    all.indeterminate = marked > 0 && marked < rows.ids.length;
  }

  /** @param {Condition} condition @param {(() => void) | null} goOn */
  #showFoot(condition, goOn) {
    const { foot } = this.#places;
    const isThere = condition === 'rows' && this.#list.limit === null;
    setText(foot, isThere ? this.#footText(goOn !== null) : '');
    if (isThere && goOn) foot.append(' ', goOnButton(goOn));
  }

  /** @param {boolean} hasGivenUp */
  #footText(hasGivenUp) {
    const { ids, cursor, isFull } = this.#list.rows;
    if (isFull) return `These are the newest ${ids.length}. Search for older ones.`;
    if (cursor !== null) return hasGivenUp ? 'Many older jobs do not match.' : 'Reading more…';
    return ids.length === 1 ? 'One job' : `All ${ids.length} jobs`;
  }

  /** Say why there are no rows. @param {Condition} condition @param {(() => void) | null} goOn */
  #showNotice(condition, goOn) {
    const key = condition === 'rows' || condition === 'reading' ? '' : `${condition} ${this.#list.problem} ${this.#list.getAttribute('query')}`;
    if (key === this.#noticed) return;
    this.#noticed = key;
    this.#places.notice.replaceChildren();
    if (condition === 'unfound' && goOn) this.#places.notice.append(h('p', null, 'Nothing matches among the newest jobs.'), goOnButton(goOn));
    else if (key) void this.#describe(condition, key);
  }

  /** @param {Condition} condition @param {string} key */
  async #describe(condition, key) {
    const { describe } = await loadEmpty();
    const node = await describe(this.#list, condition);
    if (this.#noticed === key) this.#places.notice.replaceChildren(node);
  }
}

/** @param {() => void} goOn */
function goOnButton(goOn) {
  return h('button', { type: 'button', on: { click: goOn } }, 'Search on');
}

adoptStyle(`
job-list .foot { padding: 6px 12px; color: var(--quiet); font-size: 12px; text-align: center; }
job-list .lost { margin: 0; padding: 4px 12px; color: var(--warning, var(--canceled)); }
job-list .foot:empty, job-list .notice:empty { display: none; }
job-list .pill { position: absolute; right: 20px; bottom: 12px; z-index: 3; border: 0; border-radius: 14px; padding: 4px 14px; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600; box-shadow: 0 2px 10px #0004; cursor: pointer; }
job-list .pill:hover { background: color-mix(in srgb, var(--accent) 85%, var(--ink)); }
@container (max-width: 640px) { job-list .pill { right: 50%; transform: translateX(50%); min-height: 44px; border-radius: 22px; } }
@media print {
  job-list, job-list .scroller { display: block; overflow: visible; }
  job-list .pill, job-list .copy, job-list .c-check { display: none; }
  job-list thead { position: static; }
  job-list[selectable] { --check: ; }
  job-list .canvas { padding: 0 !important; }
}
`);
