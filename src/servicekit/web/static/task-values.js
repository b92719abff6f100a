// @ts-check
/**
 * The values of an earlier run of a task, for a form. A record is made to be read: what it does not show whole, such as
 * secrets and long texts, is not taken over, since nobody would see that it is another value.
 */

import { resolve } from './schema-form.js';

/** @typedef {import('./types.js').JobRecord} JobRecord */
/** @typedef {import('./schema-form.js').Schema} Schema */

// A secret; what is deep or comes late; the rest of a list; the middle of a text. Who means these texts types them again.
const PARTIAL = /\*\*\*|^\.\.\.$|^\([\d,]+ more\)$|\.\.\. \([\d,]+ characters in all\) \.\.\./;

/**
 * What the form of a task can take from one of its jobs, and the names of the parameters that it cannot.
 * @param {JobRecord} record @param {Schema} schema of the parameters
 */
export function valuesOf(record, schema) {
  const given = givenOf(record);
  const names = Object.keys(schema.properties ?? {}).filter((name) => Object.hasOwn(given, name));
  const fitting = names.filter((name) => fits(given[name], schema.properties[name], schema));
  return { values: Object.fromEntries(fitting.map((name) => [name, given[name]])), left: names.filter((name) => !fitting.includes(name)) };
}

/** @param {JobRecord} record @returns {Record<string, any>} */
function givenOf({ arguments: told }) {
  const call = /** @type {any} */ (told?.call);
  return (call?.snapshot?.task_type === 'shell' ? call.snapshot.parameters : told) ?? {};
}

/** Whether a field for this schema shows the value as it was. @param {any} value @param {any} schema @param {Schema} root @returns {boolean} */
function fits(value, schema, root) {
  const part = resolve(schema, root);
  if (value === null) return (part.default ?? null) === null; // the empty field means the default
  if (part.enum || 'const' in part) return (part.enum ?? [part.const]).includes(value);
  if (part.type === 'boolean') return typeof value === 'boolean';
  if (part.type === 'integer' || part.type === 'number') return typeof value === 'number' || typeof value === 'bigint';
  if (part.type === 'string') return typeof value === 'string' && !part.writeOnly && isWhole(value);
  if (part.type === 'array') return Array.isArray(value) && value.every((each) => fits(each, part.items ?? {}, root));
  if (part.properties && typeof value !== 'object') return false;
  return isWhole(value) && Object.entries(part.properties ?? {}).every(([name, each]) => !Object.hasOwn(value, name) || fits(value[name], each, root));
}

/** @param {unknown} value @returns {boolean} */
function isWhole(value) {
  if (typeof value === 'string') return !PARTIAL.test(value);
  return typeof value !== 'object' || value === null || Object.entries(value).every(([name, each]) => isWhole(name) && isWhole(each));
}
