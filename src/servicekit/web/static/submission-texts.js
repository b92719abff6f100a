// @ts-check
// How a job is submitted to this service, as text to copy: a command, or lines of Python.

/** @import { Submission } from './types.js' */

import { toJson } from './kit.js';

/** @typedef {(submission: Submission, base: URL, hasKey: boolean) => string} Write `hasKey`: the service demands a key. */

/** @type {{word: string, write: Write}[]} */
export const LANGUAGES = [{ word: 'curl', write: curlOf }, { word: 'Python', write: pythonOf }];

/** @type {Write} */
function curlOf(submission, base, hasKey) {
  const { method, body } = submission;
  const parts = [`curl -X ${method} ${quote(addressOf(submission, base))}`];
  if (hasKey) parts.push('-H "X-API-Key: $API_KEY"');
  if (hasBody(submission)) parts.push(`-H ${quote('Content-Type: application/json')}`, `-d ${quote(toJson(body))}`);
  return parts.join(' \\\n  ');
}

/** @type {Write} */
function pythonOf(submission, base, hasKey) {
  const { method, body } = submission;
  const parts = [toJson(addressOf(submission, base))];
  if (hasBody(submission)) parts.push(`json=${toPython(body)}`);
  if (hasKey) parts.push('headers={"X-API-Key": os.environ["API_KEY"]}');
  const imports = hasKey ? 'import os\n\nimport httpx' : 'import httpx';
  return `${imports}\n\nprint(httpx.${method.toLowerCase()}(${parts.join(', ')}).json()["job_id"])`;
}

/** @param {Submission} submission */
const hasBody = ({ body }) => body !== null && body !== undefined;

/** @param {Submission} submission @param {URL} base */
function addressOf({ path, query }, base) {
  const url = new URL(path, base);
  for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, typeof value === 'string' ? value : toJson(value));
  return url.href;
}

/** One word of a shell. @param {string} text */
function quote(text) {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

/** A value as Python writes it: like JSON, but for three words. @param {unknown} value @returns {string} */
function toPython(value) {
  if (value === null || value === undefined) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (Array.isArray(value)) return `[${value.map(toPython).join(', ')}]`;
  if (typeof value !== 'object') return toJson(value);
  return `{${Object.entries(value).map(([name, each]) => `${toJson(name)}: ${toPython(each)}`).join(', ')}}`;
}
