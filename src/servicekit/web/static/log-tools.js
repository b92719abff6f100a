// @ts-check
/**
 * The row of controls over a log, and its messages.
 */

import { h } from './kit.js';
import { LEVELS } from './log-model.js';

/**
 * @typedef {object} LogActs
 * @property {() => void} filter
 * @property {() => void} find
 * @property {(event: KeyboardEvent) => void} findKey
 * @property {(by: number) => void} step
 * @property {(isOn: boolean) => void} follow
 * @property {(isOn: boolean) => void} wrap
 * @property {() => void} copy
 * @property {() => void} download
 */

export class LogTools {
  /** @param {LogActs} acts */
  constructor(acts) {
    this.count = h('span', { class: 'log-count' });
    const levels = LEVELS.slice(1).map((level) => h('option', { value: level }, `${level}+`));
    this.level = h('select', { 'aria-label': 'Least level', on: { change: acts.filter } }, h('option', { value: '' }, 'all levels'), levels);
    this.search = h('input', {
      type: 'search', class: 'log-find', placeholder: 'find', 'aria-label': 'Find in the log',
      on: { input: acts.find, keydown: acts.findKey },
    }); // prettier-ignore
    this.hits = h('span', { class: 'log-hits', role: 'status' });
    this.previous = button('↑', 'Previous match', () => acts.step(-1));
    this.next = button('↓', 'Next match', () => acts.step(1));
    this.isFollowing = checkbox(true, acts.follow);
    const wraps = checkbox(false, acts.wrap);
    this.element = h('div', { class: 'log-tools' },
      h('h2', { class: 'log-title' }, 'Log ', this.count), this.level,
      h('span', { class: 'log-search' }, this.search, this.hits, this.previous, this.next),
      h('label', { class: 'log-check' }, this.isFollowing, 'follow'),
      h('label', { class: 'log-check' }, wraps, 'wrap'),
      button('copy', 'Copy the lines', acts.copy),
      button('download', 'Download the whole log', acts.download)); // prettier-ignore
  }
}

/** @param {string} text @param {string} label @param {() => void} act */
function button(text, label, act) {
  return h('button', { type: 'button', class: 'log-button', 'aria-label': label, title: label, on: { click: act } }, text);
}

/** @param {boolean} isOn @param {(isOn: boolean) => void} act */
function checkbox(isOn, act) {
  const box = h('input', { type: 'checkbox', checked: isOn });
  box.addEventListener('change', () => act(box.checked));
  return box;
}
