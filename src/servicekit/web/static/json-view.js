// @ts-check
/**
 * JSON as a tree that opens on demand: of a value of any size, only what is looked at is in the page.
 */

import { h } from './kit.js';
import { printJson } from './json-text.js';
import { showMarks } from './log-model.js';

/**
 * @typedef {import('./json-text.js').JsonNode} JsonNode
 * @typedef {[string, JsonNode]} Entry
 */

const MOST_AT_ONCE = 100;
const LONG_TEXT = 400;
// So many members are opened by themselves; a person opens the rest.
const FEW = 12;

/**
 * The value as a tree. The members of the outermost object or array are open.
 * @param {JsonNode} node
 * @returns {HTMLElement}
 */
export function jsonView(node) {
  const entries = entriesOf(node);
  if (!entries) return h('div', { class: 'json' }, leaf(node));
  return h('div', { class: 'json' }, entries.length ? list(entries) : h('span', { class: 'json-quiet' }, emptyOf(node)));
}

/** The whole value as text, to be copied. @param {JsonNode} node */
export const jsonText = (node) => (node.kind === 'string' ? node.value : printJson(node));

/** @param {JsonNode} node @returns {Entry[] | null} */
function entriesOf(node) {
  if (node.kind === 'object') return node.entries;
  return node.kind === 'array' ? node.items.map((item, index) => [String(index), item]) : null;
}

/** @param {Entry[]} entries */
function list(entries) {
  const items = h('ul', {});
  append(items, entries, 0);
  return items;
}

/** @param {HTMLElement} items @param {Entry[]} entries @param {number} start */
function append(items, entries, start) {
  const end = start + MOST_AT_ONCE;
  items.append(...entries.slice(start, end).map(item));
  if (end >= entries.length) return;
  const left = entries.length - end;
  const more = h('li', {},
    h('button', { type: 'button', class: 'json-more', on: { click: () => {
      more.remove();
      append(items, entries, end);
    } } }, `${Math.min(left, MOST_AT_ONCE)} more of ${left.toLocaleString('en')}`)); // prettier-ignore
  items.append(more);
}

/** @param {Entry} entry */
function item([key, node]) {
  const entries = entriesOf(node);
  const name = h('span', { class: 'json-key' }, shorten(key));
  if (!entries || entries.length === 0) return h('li', {}, name, entries ? quiet(emptyOf(node)) : leaf(node));
  const details = h('details', {}, h('summary', {}, name, quiet(sizeOf(node, entries.length))));
  details.addEventListener('toggle', () => details.childElementCount === 1 && details.append(list(entries)));
  if (entries.length <= FEW && entries.every(([, value]) => entriesOf(value) === null)) {
    /** @type {HTMLDetailsElement} */ (details).open = true;
  }
  return h('li', {}, details);
}

/** @param {string} text */
const quiet = (text) => h('span', { class: 'json-quiet' }, text);

/** @param {JsonNode} node */
const emptyOf = (node) => (node.kind === 'array' ? '[]' : '{}');

/** @param {JsonNode} node @param {number} count */
const sizeOf = (node, count) => (node.kind === 'array' ? `[${count}]` : `{${count}}`);

/** @param {string} text */
const shorten = (text) => showMarks(text.length > LONG_TEXT ? `${text.slice(0, LONG_TEXT)}…` : text);

/** @param {JsonNode} node */
function leaf(node) {
  if (node.kind !== 'string') return h('span', { class: `json-${node.kind}` }, 'text' in node ? node.text : '');
  const quoted = showMarks(JSON.stringify(node.value));
  if (quoted.length <= LONG_TEXT) return h('span', { class: 'json-string' }, quoted);
  return longText(node.value, quoted);
}

/** @param {string} value @param {string} quoted */
function longText(value, quoted) {
  const text = h('span', { class: 'json-string' }, `${quoted.slice(0, LONG_TEXT)}…`);
  const all = h('button', { type: 'button', class: 'json-more', on: { click: () => {
    text.textContent = quoted;
    all.remove();
  } } }, `all ${value.length.toLocaleString('en')} characters`); // prettier-ignore
  return h('span', {}, text, ' ', all);
}
