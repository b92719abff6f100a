// @ts-check
/**
 * What can be done with a job: only what is valid now, and what the caller may do.
 */

import { h } from './kit.js';
import { isTerminal } from './job-stream.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {{name: string, word: string, key: string, keyMark: string, description: string, isValid: (record: JobRecord) => boolean,
 *            question: (record: JobRecord) => string | null}} Action  `question`: what is asked first, if anything
 */

/** @type {Action[]} */
export const ACTIONS = [
  {
    name: 'cancel',
    word: 'Cancel',
    key: 'c',
    keyMark: 'c',
    description: 'Cancel this job',
    isValid: (record) => !isTerminal(record.status) && record.cancel_requested_at === null,
    question: (record) => {
      if (record.status === 'running') return 'It is running, and is asked to stop. What it has done so far stays.';
      return record.restart_problem ? 'It has not begun, and cannot be submitted again.' : null;
    },
  },
  {
    name: 'retry',
    word: 'Retry',
    key: 'r',
    keyMark: 'r',
    description: 'Retry this job',
    isValid: (record) => isTerminal(record.status) && !record.restart_problem,
    question: () => null,
  },
  {
    name: 'delete',
    word: 'Delete',
    key: 'Backspace',
    keyMark: '⌫',
    description: 'Delete this job',
    isValid: () => true,
    question: (record) =>
      isTerminal(record.status)
        ? 'Its record, log and result go. This cannot be undone.'
        : 'It is asked to stop, and its record and log go. This cannot be undone.',
  },
];

const TASK_TAG = 'task:';

/** The task that a job is a run of, if it is. @param {JobRecord} record */
export function taskOf({ tags }) {
  return tags.find((tag) => tag.startsWith(TASK_TAG))?.slice(TASK_TAG.length) ?? null;
}

/**
 * Ask a question in a dialog. It is answered by a click, Enter or Escape, and by nothing else. The focus is on
 * the answer that changes nothing if the other one cannot be undone.
 * @param {{title: string, text: string, word: string, isFinal: boolean}} question
 * @returns {Promise<boolean>}
 */
export function ask({ title, text, word, isFinal }) {
  const yes = h('button', { type: 'submit', value: 'yes', class: 'danger' }, word);
  const no = h('button', { type: 'submit', value: 'no' }, 'Leave it');
  const form = h('form', { method: 'dialog' }, h('h2', { id: 'question' }, title), h('p', {}, text),
    h('p', { class: 'dialog-buttons' }, no, yes)); // prettier-ignore
  const dialog = /** @type {HTMLDialogElement} */ (h('dialog', { class: 'question', 'aria-labelledby': 'question' }, form));
  document.body.append(dialog);
  dialog.showModal();
  (isFinal ? no : yes).focus();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
  });
}
