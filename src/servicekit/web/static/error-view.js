// @ts-check
/**
 * Why a job failed: the error large, the application's own lines first, those of libraries folded.
 */

import { h } from './kit.js';
import { showMarks } from './log-model.js';
import { blamedFrame, foldLibraries, packagesOf, parseTraceback, splitError } from './traceback.js';

/**
 * @typedef {import('./traceback.js').Frame} Frame
 * @typedef {import('./traceback.js').Part} Part
 */

/**
 * The error in large letters, with the place in the application's own code where it happened.
 * @param {string} error
 * @param {string | null} traceback
 * @returns {HTMLElement}
 */
export function errorHero(error, traceback) {
  const { type, message } = splitError(error);
  const blamed = traceback ? blamedFrame(parseTraceback(traceback)) : undefined;
  return h('div', { class: 'error-hero' },
    type ? h('p', { class: 'error-type' }, type) : null,
    h('p', { class: 'error-message', dir: 'auto' }, showMarks(message)),
    blamed ? blame(blamed) : null); // prettier-ignore
}

/** @param {Frame} frame */
function blame(frame) {
  return h('p', { class: 'error-place' },
    h('span', { class: 'frame-place', title: frame.file }, placeOf(frame)), ' ',
    frame.code.length ? h('code', {}, frame.code[0]) : null); // prettier-ignore
}

/** @param {Frame} frame */
function placeOf(frame) {
  const where = `${shortPath(frame.file)}:${frame.line}`;
  return frame.name ? `${where} in ${frame.name}` : where;
}

/** The last parts of a path, which tell files apart. @param {string} file */
function shortPath(file) {
  const parts = file.split(/[\\/]/);
  const inside = parts.findIndex((part) => part === 'site-packages' || part === 'dist-packages');
  return (inside >= 0 ? parts.slice(inside + 1) : parts.slice(-3)).join('/');
}

/**
 * A traceback in Python's order, the failing call last. Runs of library frames are folded.
 * @param {string} traceback
 * @returns {HTMLElement}
 */
export function tracebackView(traceback) {
  return h('div', { class: 'traceback' }, ...foldLibraries(parseTraceback(traceback)).map(drawPart));
}

/** @param {Part | Frame[]} part */
function drawPart(part) {
  if (Array.isArray(part)) return drawFolded(part);
  if (part.kind === 'frame') return drawFrame(part);
  if (part.kind === 'text') return h('pre', { class: 'traceback-text' }, showMarks(part.text));
  const end = part.message ? `: ${part.message}` : '';
  return h('p', { class: 'traceback-error', dir: 'auto' }, h('strong', {}, part.type), showMarks(end));
}

/** @param {Frame[]} frames */
function drawFolded(frames) {
  const count = frames.length === 1 ? '1 call' : `${frames.length} calls`;
  return h('details', { class: 'frames-folded' },
    h('summary', {}, `${count} in ${packagesOf(frames).join(', ')}`),
    ...frames.map(drawFrame)); // prettier-ignore
}

/** @param {Frame} frame */
function drawFrame(frame) {
  return h('div', { class: frame.isOwn ? 'frame own' : 'frame' },
    h('p', { class: 'frame-place', title: frame.file }, placeOf(frame)),
    frame.code.length ? h('pre', {}, frame.code.join('\n')) : null); // prettier-ignore
}
