// @ts-check
/**
 * A job as text: the command that reads it, and the report for a ticket or for paper.
 */

import { formatDuration } from './kit.js';
import { jsonText } from './json-view.js';
import { piecesOf } from './timeline.js';

/**
 * @typedef {import('./types.js').JobRecord} JobRecord
 * @typedef {import('./json-text.js').JsonNode} JsonNode
 */

/** @type {Record<string, string>} */
const VARIABLES = { 'X-API-Key': '$SERVICEKIT_API_KEY', Authorization: 'Bearer $TOKEN' };

/**
 * The command that reads the job. A key is never in it: the shell's variable is.
 * @param {string} url
 * @param {Record<string, string>} headers those that let in
 */
export function curlOf(url, headers) {
  const key = Object.keys(headers).map((name) => ` -H "${name}: ${VARIABLES[name]}"`).join('');
  return `curl -s${key} '${url.replaceAll("'", '%27')}'`;
}

/**
 * @param {{record: JobRecord, call: string, url: string, input: JsonNode | undefined, log: string, now: number}} job
 */
export function reportOf({ record, call, url, input, log, now }) {
  const sections = [
    call,
    `${record.status}, job ${record.id}\n${url}`,
    table([
      ['submitted', record.submitted_at],
      ['started', record.started_at],
      ['ended', record.finished_at],
      ['ran', record.elapsed_seconds === null ? null : formatDuration(record.elapsed_seconds)],
      ['queue', record.queue],
      ['process', record.process],
      ['owner', record.owner],
      ['tags', record.tags.join(', ')],
    ]),
    attemptsOf(record, now),
    titled('Input', input && jsonText(input)),
    titled('Error', record.error_traceback ?? record.error),
    titled('Log, the newest lines', log),
  ];
  return `${sections.filter(Boolean).join('\n\n')}\n`;
}

/** @param {[string, string | null][]} rows */
function table(rows) {
  return rows.flatMap(([name, value]) => (value ? [`${name.padEnd(10)} ${value}`] : [])).join('\n');
}

/** @param {JobRecord} record @param {number} now */
function attemptsOf(record, now) {
  const attempts = piecesOf(record, now).filter((piece) => piece.kind === 'attempt');
  if (attempts.length < 2) return '';
  const lines = attempts.map(({ attempt, from, to, error, status }) =>
    `attempt ${attempt}: ${formatDuration((to - from) / 1000)}, ${error ?? status}`); // prettier-ignore
  return titled('Attempts', lines.join('\n'));
}

/** @param {string} title @param {string | null | undefined} text */
const titled = (title, text) => (text ? `${title}\n${'-'.repeat(title.length)}\n${text.trimEnd()}` : '');
