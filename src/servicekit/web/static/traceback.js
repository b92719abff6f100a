// @ts-check
/**
 * Python's tracebacks, read into parts. What is not understood stays as text, so that nothing is lost.
 */

/**
 * @typedef {{kind: 'frame', file: string, line: number, name: string, code: string[], isOwn: boolean}} Frame
 * @typedef {{kind: 'error', type: string, message: string}} RaisedError
 * @typedef {{kind: 'text', text: string}} PlainText
 * @typedef {Frame | RaisedError | PlainText} Part
 */

const FRAME = /^ {2}File "(.*)", line (\d+)(?:, in (.*))?$/;
const HEADING = 'Traceback (most recent call last):';
// `package.module.Error: text`, at the beginning of a line; the text can have more lines.
const ERROR = /^([A-Za-z_][\w.<>]*)(?:: ([^]*))?$/;
const LINK = /^(?:The above exception was|During handling of the above)/;
const LIBRARY = /[\\/](?:site-packages|dist-packages)[\\/]|[\\/]lib(?:64)?[\\/]python3[^\\/]*[\\/]|^<frozen /;

/**
 * The parts of a traceback, in Python's order: the call that failed is the last frame before its error.
 * @param {string} text
 * @returns {Part[]}
 */
export function parseTraceback(text) {
  // Groups are trees that Python draws with bars: their drawing is the best form of them.
  if (/^ *\+ Exception Group Traceback/m.test(text)) return [{ kind: 'text', text }];
  /** @type {Part[]} */
  const parts = [];
  for (const line of text.replace(/\n$/, '').split('\n')) addLine(parts, line);
  return parts.filter((part) => part.kind !== 'text' || part.text.trim() !== '');
}

/** @param {Part[]} parts @param {string} line */
function addLine(parts, line) {
  const last = parts.at(-1);
  const frame = FRAME.exec(line);
  if (line === HEADING) return;
  if (frame) {
    parts.push(newFrame(frame));
  } else if (last?.kind === 'frame' && (line.startsWith('    ') || line.startsWith('  ['))) {
    // Lines of carets point at a column, which means nothing in another font or a wrapped line.
    if (!/^[\s~^]*$/.test(line)) last.code.push(line.trim());
  } else if (last?.kind === 'error' && !LINK.test(line)) {
    last.message += `\n${line}`;
  } else if (last?.kind === 'text') {
    last.text += `\n${line}`;
  } else {
    parts.push(readError(line));
  }
}

/** @param {RegExpExecArray} match @returns {Frame} */
function newFrame(match) {
  const [, file = '', line, name = ''] = match;
  return { kind: 'frame', file, line: Number(line), name, code: [], isOwn: !LIBRARY.test(file) };
}

/** @param {string} line @returns {Part} */
function readError(line) {
  const [, type = '', message = ''] = (LINK.test(line) ? null : ERROR.exec(line)) ?? [];
  return type ? { kind: 'error', type, message } : { kind: 'text', text: line };
}

/**
 * The frame to look at first: the last one of the application's own before the final error, or else the last of all.
 * @param {Part[]} parts
 * @returns {Frame | undefined}
 */
export function blamedFrame(parts) {
  const start = parts.findLastIndex((part) => part.kind === 'text' && LINK.test(part.text));
  const frames = /** @type {Frame[]} */ (parts.slice(start + 1).filter((part) => part.kind === 'frame'));
  return frames.findLast((frame) => frame.isOwn) ?? frames.at(-1);
}

/**
 * The parts with each run of library frames put together.
 * @param {Part[]} parts
 * @returns {(Part | Frame[])[]}
 */
export function foldLibraries(parts) {
  /** @type {(Part | Frame[])[]} */
  const folded = [];
  for (const part of parts) {
    const last = folded.at(-1);
    if (part.kind !== 'frame' || part.isOwn) folded.push(part);
    else if (Array.isArray(last)) last.push(part);
    else folded.push([part]);
  }
  return folded;
}

/**
 * The names of the packages of library frames, each once.
 * @param {Frame[]} frames
 * @returns {string[]}
 */
export function packagesOf(frames) {
  return [...new Set(frames.map(({ file }) => packageOf(file)))];
}

/** @param {string} file */
function packageOf(file) {
  const inside = /(?:site|dist)-packages[\\/]([^\\/]+)/.exec(file)?.[1];
  return inside?.replace(/\.py$/, '') ?? 'Python';
}

/**
 * An error as the service tells it, `Type: text`, in two.
 * @param {string} error
 * @returns {{type: string, message: string}}
 */
export function splitError(error) {
  const [, type = '', message = error] = /^([A-Za-z_][\w.]*): ([^]+)$/.exec(error) ?? [];
  return { type, message };
}
