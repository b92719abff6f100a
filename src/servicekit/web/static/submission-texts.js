// @ts-check
// How a job is submitted to this service, as text to copy: a command, or lines of Python.

/** @import { Submission } from './types.js' */

import { toJson } from './kit.js';

/** @typedef {(submission: Submission, base: URL, headers: Record<string, string>) => string} Write `headers`: those that let in. */

/** What stands for the key of the caller, which is never told. @type {Record<string, {shell: string, python: string}>} */
const SECRETS = {
  'X-API-Key': { shell: '$API_KEY', python: 'os.environ["API_KEY"]' },
  Authorization: { shell: 'Bearer $TOKEN', python: '"Bearer " + os.environ["TOKEN"]' },
};

/** @type {{word: string, write: Write}[]} */
export const LANGUAGES = [{ word: 'curl', write: curlOf }, { word: 'Python', write: pythonOf }];

/** @type {Write} */
function curlOf(submission, base, headers) {
  const { method, body } = submission;
  const parts = [`curl -X ${method} ${quote(addressOf(submission, base))}`];
  for (const name of Object.keys(headers)) parts.push(`-H "${name}: ${SECRETS[name]?.shell}"`);
  if (hasBody(submission)) parts.push(`-H ${quote('Content-Type: application/json')}`, `-d ${quote(toJson(body))}`);
  return parts.join(' \\\n  ');
}

/** @type {Write} */
function pythonOf(submission, base, headers) {
  const { method, body } = submission;
  const parts = [toJson(addressOf(submission, base))];
  if (hasBody(submission)) parts.push(`json=${toPython(body)}`);
  const names = Object.keys(headers);
  for (const name of names) parts.push(`headers={"${name}": ${SECRETS[name]?.python}}`);
  const imports = names.length ? 'import os\n\nimport httpx' : 'import httpx';
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
