// @ts-check
/**
 * The search of the list: `status:failed name:train "out of memory"`.
 *
 * One text is read once and used three times: as parameters of the list's route, as a test of each record that the
 * stream brings, and as the filter of bulk actions. So all three are always about the same jobs.
 *
 * A job must match all qualifiers; several statuses allow each of them. Words stand for one text, as they are written:
 * the job's name or its error contains it.
 */

/** @import {JobRecord} from './types.js' */

import { serverNow } from './kit.js';

/**
 * @typedef {object} Term
 * @property {string} field One of the qualifiers.
 * @property {string} value What stands behind its colon, without quotes.
 */

/**
 * @typedef {object} Query
 * @property {Term[]} terms
 * @property {string} words The text that stands outside of qualifiers.
 * @property {string[]} problems Sentences. A query with problems is not to be used: it could mean more jobs than were asked for.
 */

/**
 * @typedef {object} Qualifier
 * @property {string} parameter Its name in requests.
 * @property {string} help What a person reads beside it.
 * @property {(value: string) => string | null} [problem] What is wrong with a value.
 * @property {(value: string) => string} [toParameter]
 * @property {(record: JobRecord, value: string) => boolean} matches
 */

export const STATUSES = ['pending', 'running', 'completed', 'failed', 'canceled'];

const MAX_CHARACTERS = 200; // the service takes no longer ones
const SECONDS = /** @type {Record<string, number>} */ ({ s: 1, m: 60, h: 3_600, d: 86_400 });
const AGO = /^(\d{1,6})([smhd])$/;
const ULID = /^[0-7][0-9A-HJKMNP-TV-Z]{25}$/i;

/** @type {Record<string, Qualifier>} */
export const QUALIFIERS = {
  status: {
    parameter: 'status_filter',
    help: STATUSES.join(', '),
    problem: (value) => (STATUSES.includes(value) ? null : `There is no status “${value}”. Use ${STATUSES.join(', ')}.`),
    matches: (record, value) => record.status === value,
  },
  name: { parameter: 'name', help: 'the whole name of the job', matches: (record, value) => record.name === value },
  queue: { parameter: 'queue', help: 'the queue in which it waits', matches: (record, value) => record.queue === value },
  tag: { parameter: 'tag', help: 'a tag of the job', matches: (record, value) => record.tags.includes(value) },
  owner: { parameter: 'owner', help: 'whose job it is', matches: (record, value) => record.owner === value },
  error: { parameter: 'error', help: 'a part of its error', matches: (record, value) => contains(record.error, value) },
  parent: {
    parameter: 'parent',
    help: 'the id of the job that has submitted it',
    problem: (value) => (ULID.test(value) ? null : `parent: needs the id of a job, and “${value}” is none.`),
    matches: (record, value) => record.parent === value.toUpperCase(),
  },
  after: {
    parameter: 'submitted_after',
    help: 'submitted since 15m, 1h, 7d, or since a time',
    problem: timeProblem,
    toParameter: (value) => new Date(timeOf(value)).toISOString(),
    matches: (record, value) => Date.parse(record.submitted_at) >= timeOf(value),
  },
  before: {
    parameter: 'submitted_before',
    help: 'submitted before a time',
    problem: timeProblem,
    toParameter: (value) => new Date(timeOf(value)).toISOString(),
    matches: (record, value) => Date.parse(record.submitted_at) < timeOf(value),
  },
};

/** @param {string} field @returns {Qualifier} */
export function qualifierOf(field) {
  const qualifier = QUALIFIERS[field];
  if (!qualifier) throw new Error(`There is no qualifier ${field}.`);
  return qualifier;
}

/** @type {Query} */
export const EVERYTHING = { terms: [], words: '', problems: [] };

/**
 * @param {string} text
 * @returns {Query}
 */
export function parseQuery(text) {
  const terms = /** @type {Term[]} */ ([]);
  const words = /** @type {string[]} */ ([]);
  const problems = /** @type {string[]} */ ([]);
  for (const token of tokensOf(text)) {
    if (token.field === null) words.push(token.value);
    else if (!Object.hasOwn(QUALIFIERS, token.field)) problems.push(unknown(token.field));
    else if (token.field === 'status' && !token.isQuoted) terms.push(...statusesOf(token.value));
    else terms.push({ field: token.field, value: token.value });
  }
  const query = { terms, words: words.join(' '), problems };
  problems.push(...problemsOf(query));
  return query;
}

/**
 * The parameters of a request for the jobs that match.
 *
 * @param {Query} query
 * @returns {[string, string][]}
 */
export function toParams(query) {
  /** @type {[string, string][]} */
  const params = query.terms.map(({ field, value }) => {
    const { parameter, toParameter } = qualifierOf(field);
    return [parameter, toParameter ? toParameter(value) : value];
  });
  if (query.words) params.push(['search', query.words]);
  return params;
}

/**
 * Whether a record fulfils all conditions, by the rules of the service.
 *
 * @param {Query} query
 * @param {JobRecord} record
 */
export function matches(query, record) {
  const statuses = query.terms.filter((term) => term.field === 'status');
  return (
    (!statuses.length || statuses.some((term) => term.value === record.status)) &&
    query.terms.every((term) => term.field === 'status' || qualifierOf(term.field).matches(record, term.value)) &&
    (!query.words || contains(record.name, query.words) || contains(record.error, query.words))
  );
}

/** @param {Query} query Whether it is about all jobs. */
export function isEverything(query) {
  return !query.terms.length && !query.words;
}

/** @param {Query} query Whether time alone changes which jobs match, as with `after:15m`. */
export function isRelative(query) {
  return query.terms.some(({ field, value }) => qualifierOf(field).problem === timeProblem && AGO.test(value));
}

/**
 * The text of a query: what `parseQuery` reads.
 *
 * @param {Pick<Query, 'terms' | 'words'>} query
 */
export function formatQuery({ terms, words }) {
  return [...terms.map(({ field, value }) => formatTerm(field, value)), ...(words ? [formatWords(words)] : [])].join(' ');
}

/**
 * @param {string} field
 * @param {string} value
 */
export function formatTerm(field, value) {
  return `${field}:${/^(?!\/\/)[^\s"]+$/.test(value) ? value : quote(value)}`;
}

/**
 * The text with this value as the only one of its field.
 * @param {string} text @param {string} field @param {string | null} value `null` takes the field out.
 */
function withTerm(text, field, value) {
  const { terms, words } = parseQuery(text);
  const others = terms.filter((term) => term.field !== field);
  return formatQuery({ terms: value === null ? others : [...others, { field, value }], words });
}

/**
 * The same; without the field if the text has just that value already.
 * @param {string} text @param {string} field @param {string | null} value
 */
export function toggleTerm(text, field, value) {
  const had = parseQuery(text).terms.filter((term) => term.field === field);
  const isSame = had.length === 1 && had[0]?.value === value;
  return withTerm(text, field, isSame ? null : value);
}

/** @param {string} text Whether it is the id of a job. */
export function isJobId(text) {
  return ULID.test(text);
}

/**
 * The token in which the caret stands, for suggestions.
 *
 * @param {string} text
 * @param {number} caret
 * @returns {{field: string | null, value: string, start: number, end: number}}
 */
export function tokenAt(text, caret) {
  for (const token of tokensOf(text)) if (token.start <= caret && caret <= token.end) return token;
  return { field: null, value: '', start: caret, end: caret };
}

/**
 * @typedef {object} Token
 * @property {string | null} field
 * @property {string} value
 * @property {boolean} isQuoted
 * @property {number} start
 * @property {number} end
 */

/**
 * @param {string} text
 * @returns {Generator<Token>}
 */
function* tokensOf(text) {
  // A qualifier's name is of small letters, so that `ValueError: no` is text; and so is an address.
  const token = /(?:([a-z_]+):(?!\/\/))?(?:"((?:\\[^]|[^"\\])*)(?:"|$)|(\S*))/y;
  let position = 0;
  while (position < text.length) {
    position += /** @type {RegExpExecArray} */ (/^\s*/.exec(text.slice(position)))[0].length;
    token.lastIndex = position;
    const match = token.exec(text);
    if (!match || !match[0]) break;
    const [all, field, quoted, plain = ''] = match;
    const isQuoted = quoted !== undefined;
    const value = isQuoted ? quoted.replace(/\\([^])/g, '$1') : plain;
    yield { field: field ?? null, value, isQuoted, start: position, end: position + all.length };
    position += all.length;
  }
}

/** @param {string} value `failed,canceled` are two statuses. */
function statusesOf(value) {
  const values = value.split(',').filter((each, index, all) => each || all.length === 1);
  return values.map((each) => ({ field: 'status', value: each }));
}

/** The address of the list with a search. @param {string} query */
export function addressOf(query) {
  return query ? `./?q=${encodeURIComponent(query)}` : './';
}

/** @param {string} field */
function unknown(field) {
  const names = Object.keys(QUALIFIERS).join(', ');
  return `Jobs cannot be found by “${field}:”. Use ${names}; a text with a colon goes into quotes.`;
}

/** @param {Query} query */
function problemsOf({ terms, words }) {
  const problems = terms.map(({ field, value }) => {
    const { help, problem } = qualifierOf(field);
    if (!value) return `${field}: needs a value: ${help}.`;
    if (isTooLong(value)) return `${field}: takes at most ${MAX_CHARACTERS} characters.`;
    return problem?.(value) ?? null;
  });
  const fields = terms.map((term) => term.field);
  const repeated = fields.filter((field, index) => field !== 'status' && fields.indexOf(field) !== index);
  for (const field of new Set(repeated)) problems.push(`${field}: can be given only once.`);
  if (isTooLong(words)) problems.push(`Words to search for have at most ${MAX_CHARACTERS} characters.`);
  return /** @type {string[]} */ (problems.filter((problem) => problem !== null));
}

/** @param {string} text Counted as the service does, by code points. */
function isTooLong(text) {
  return text.length > MAX_CHARACTERS && [...text].length > MAX_CHARACTERS;
}

/**
 * Only ASCII letters match in either case, as in the service.
 *
 * @param {string | null} text
 * @param {string} part
 */
function contains(text, part) {
  return text !== null && lower(text).includes(lower(part));
}

/** @param {string} text */
function lower(text) {
  return text.replace(/[A-Z]+/g, (letters) => letters.toLowerCase());
}

/** @param {string} value */
function timeProblem(value) {
  return Number.isNaN(timeOf(value)) ? `“${value}” is no time: write 15m, 1h, 7d, or 2026-01-31T12:00:00Z.` : null;
}

/** @param {string} value */
function timeOf(value) {
  const [, count, unit = ''] = AGO.exec(value) ?? [];
  if (count) return Number(serverNow()) - Number(count) * (SECONDS[unit] ?? 1) * 1_000;
  return /^\d{4}-\d\d-\d\d(T[\d:.]+(Z|[+-]\d\d:\d\d))?$/.test(value) ? Date.parse(value) : NaN;
}

/** @param {string} words Quoted if they would be read as something else. */
function formatWords(words) {
  const read = [...tokensOf(words)];
  const isPlain = read.every((token) => token.field === null && !token.isQuoted);
  return isPlain && read.map((token) => token.value).join(' ') === words ? words : quote(words);
}

/** @param {string} value */
function quote(value) {
  return `"${value.replace(/["\\]/g, '\\$&')}"`;
}
