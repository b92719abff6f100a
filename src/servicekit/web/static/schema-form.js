// @ts-check
/**
 * A form from a JSON Schema: a field for each property, a group of fields for a model within. What fields cannot say is
 * written as JSON. The service checks all values again: what it finds wrong is shown at the field (`explain`).
 *
 * @typedef {{[key: string]: any}} Schema
 * @typedef {{loc: (string | number)[], msg: string}} Problem as in the 422 of FastAPI
 * @typedef {{input: HTMLElement & {value?: any}, read: () => unknown, hint?: string}} Control
 * @typedef {{name: string, box: HTMLElement, input: HTMLElement, problem: HTMLElement, read?: () => unknown, parts?: Field[]}} Field
 */

import { h, parseJson, toJson } from './kit.js';

const DEEPEST_GROUP = 5; // a schema can be part of itself
const DEEPEST_REFERENCE = 10;
const LONG_TEXT = 500;

export class SchemaForm {
  /** @param {Schema} schema of an object @param {Record<string, unknown>} [values] that its fields have at first */
  constructor(schema, values = {}) {
    this.fields = makeFields(schema, schema, 'field', values);
    this.element = h('div', { class: 'fields' }, this.fields.map((field) => field.box));
  }

  /** The values by name; `null` if there is something that cannot be sent, which is then said at its field. */
  read() {
    return readFields(this.fields);
  }

  /**
   * Say at each field what is wrong with it, and go to the first one.
   *
   * @param {Problem[]} problems whose `loc` begins with a field's name
   * @returns {string[]} those that belong to no field
   */
  explain(problems) {
    const rest = problems.filter((problem) => !this.#place(problem)).map(({ loc, msg }) => `${loc.join('.')}: ${msg}`);
    /** @type {HTMLElement | null} */ (this.element.querySelector('[aria-invalid=true]'))?.focus();
    return rest;
  }

  /** @param {Problem} problem */
  #place({ loc, msg }) {
    const [field, ...rest] = findField(this.fields, loc);
    if (!field) return false;
    const text = rest.length ? `${rest.join('.')}: ${msg}` : msg;
    showProblem(field, [field.problem.textContent, text].filter(Boolean).join(' '));
    return true;
  }
}

/**
 * A schema without references and without the choice of nothing, which becomes `isNullable`.
 *
 * @param {any} schema @param {Schema} root @returns {Schema}
 */
export function resolve(schema, root) {
  if (typeof schema !== 'object' || schema === null) return {};
  let found = schema;
  for (let depth = 0; found.$ref && depth < DEEPEST_REFERENCE; depth += 1) {
    const { $ref, ...rest } = found;
    found = { ...root.$defs?.[$ref.split('/').pop()], ...rest };
  }
  const choices = found.anyOf ?? found.oneOf;
  if (choices) return resolveChoices(found, choices, root);
  if (found.allOf?.length === 1) return { ...resolve(found.allOf[0], root), ...found, allOf: undefined };
  return found;
}

/** @param {Schema} schema @param {Schema[]} choices @param {Schema} root @returns {Schema} */
function resolveChoices(schema, choices, root) {
  const { anyOf, oneOf, ...rest } = schema;
  const others = choices.map((each) => resolve(each, root)).filter((each) => each.type !== 'null');
  const isNullable = others.length < choices.length;
  return others.length === 1 ? { ...others[0], ...rest, isNullable } : { ...rest, isNullable };
}

/** @param {Schema} schema @param {Schema} root @param {string} prefix of the ids @param {Schema} defaults of the whole, which count more than those of its parts @returns {Field[]} */
function makeFields(schema, root, prefix, defaults = {}) {
  const required = new Set(schema.required ?? []);
  return Object.entries(schema.properties ?? {}).map(([name, part], index) => {
    const preset = Object.hasOwn(defaults, name) ? { default: defaults[name] } : {};
    return makeField(name, { ...resolve(part, root), ...preset }, root, required.has(name), `${prefix}-${index}`);
  });
}

/** @param {string} name @param {Schema} schema @param {Schema} root @param {boolean} isRequired @param {string} id @returns {Field} */
function makeField(name, schema, root, isRequired, id) {
  if (isGroup(schema, isRequired, id)) return makeGroup(name, schema, root, id);
  const items = schema.type === 'array' ? resolve(schema.items, root) : null;
  const control = makeControl(schema, items, isRequired);
  const { input } = control;
  input.id = id;
  const hint = h('span', { id: `${id}-hint`, class: 'quiet' }, [schema.description, control.hint].filter(Boolean).join(' '));
  const problem = h('span', { id: `${id}-problem`, class: 'bad' });
  input.setAttribute('aria-describedby', `${hint.id} ${problem.id}`);
  const label = h('label', { for: id }, name, isRequired ? ' *' : null);
  return { name, box: h('div', { class: 'field' }, label, input, hint, problem), input, problem, read: control.read };
}

/** @param {string} name @param {Schema} schema @param {Schema} root @param {string} id @returns {Field} */
function makeGroup(name, schema, root, id) {
  const parts = makeFields(schema, root, id, schema.default ?? {});
  const hint = schema.description ? h('span', { class: 'quiet' }, schema.description) : null;
  const problem = h('span', { class: 'bad' });
  const box = h('fieldset', { class: 'field' }, h('legend', {}, name), hint, parts.map((part) => part.box), problem);
  return { name, box, input: box, parts, problem };
}

/** A part that may be left out, or whose names are not known, is JSON: a group of fields cannot say so. @param {Schema} schema @param {boolean} isRequired @param {string} id */
function isGroup(schema, isRequired, id) {
  const hasNames = schema.type === 'object' && schema.properties && !schema.isNullable && !schema.additionalProperties;
  return hasNames && (isRequired || schema.default) && id.split('-').length <= DEEPEST_GROUP;
}

/** @param {Schema} schema @param {Schema | null} items @param {boolean} isRequired @returns {Control} */
function makeControl(schema, items, isRequired) {
  const values = schema.enum ?? ('const' in schema ? [schema.const] : null);
  if (values) return makeSelect(values, schema, isRequired);
  if (schema.type === 'boolean') return makeSwitch(schema, isRequired);
  if (schema.type === 'integer' || schema.type === 'number') return makeNumber(schema, isRequired);
  if (schema.type === 'string') return makeText(schema, isRequired);
  if (items && isScalar(items)) return makeList(schema, items, isRequired);
  return makeJson(schema, isRequired);
}

/** @param {Schema} schema */
const isScalar = (schema) => ['string', 'integer', 'number', 'boolean'].includes(schema.type) || schema.enum;

// Each control reads its value: `undefined` leaves the parameter out.

/** @param {unknown[]} values @param {Schema} schema @param {boolean} isRequired @returns {Control} */
function makeSelect(values, schema, isRequired) {
  const options = values.map((value, index) =>
    h('option', { value: String(index), selected: 'default' in schema && schema.default === value }, asText(value)));
  if (!isRequired && !values.includes(schema.default)) options.unshift(h('option', { value: '', selected: true }, '—'));
  const input = /** @type {HTMLSelectElement} */ (h('select', { required: isRequired }, options));
  return { input, read: () => (input.value === '' ? undefined : values[Number(input.value)]) };
}

/** @param {Schema} schema @param {boolean} isRequired @returns {Control} */
function makeSwitch(schema, isRequired) {
  if (schema.isNullable || (!('default' in schema) && !isRequired)) return makeSelect([true, false], schema, isRequired);
  const input = /** @type {HTMLInputElement} */ (h('input', { type: 'checkbox', checked: schema.default === true }));
  return { input, read: () => input.checked };
}

/** @param {Schema} schema @param {boolean} isRequired @returns {Control} */
function makeNumber(schema, isRequired) {
  const step = schema.type === 'integer' ? '1' : 'any';
  const input = /** @type {HTMLInputElement} */ (h('input', { type: 'number', required: isRequired, step }));
  if (schema.minimum !== undefined) input.min = String(schema.minimum);
  if (schema.maximum !== undefined) input.max = String(schema.maximum);
  if (['number', 'bigint'].includes(typeof schema.default)) input.value = String(schema.default);
  // As JSON it keeps all digits of a large integer. A browser gives no text that is no number.
  return { input, read: () => (input.value === '' ? undefined : readNumber(input.value)) };
}

/** @param {string} text */
const readNumber = (text) => (/^-?[1-9]\d{15,}$/.test(text) ? parseJson(text) : Number(text));

/** @param {Schema} schema @param {boolean} isRequired @returns {Control} */
function makeText(schema, isRequired) {
  const isSecret = schema.writeOnly || schema.format === 'password';
  const isLong = !isSecret && (schema.maxLength > LONG_TEXT || String(schema.default ?? '').includes('\n'));
  const input = /** @type {HTMLInputElement | HTMLTextAreaElement} */ (isLong ? h('textarea', { rows: 4 }) : h('input', { type: 'text' }));
  if (isSecret) Object.assign(input, { type: 'password', autocomplete: 'new-password' });
  if (schema.format === 'date') Object.assign(input, { type: 'date' });
  input.required = isRequired && !(schema.minLength === undefined && isLong);
  if (schema.maxLength !== undefined) input.maxLength = schema.maxLength;
  const preset = typeof schema.default === 'string' && !isSecret ? schema.default : '';
  input.value = preset;
  // Who clears a default wants the empty text. A field that was empty from the start is left out.
  return { input, read: () => (input.value === '' && preset === '' && !isRequired ? undefined : input.value) };
}

/** @param {Schema} schema @param {Schema} items @param {boolean} isRequired @returns {Control} */
function makeList(schema, items, isRequired) {
  const input = /** @type {HTMLTextAreaElement} */ (h('textarea', { rows: 3, required: isRequired && schema.minItems > 0 }));
  const preset = Array.isArray(schema.default) ? schema.default : [];
  input.value = preset.map(asText).join('\n');
  const isText = items.type === 'string' || items.enum?.every((/** @type {unknown} */ each) => typeof each === 'string');
  const read = () => {
    const lines = input.value.split('\n').filter((line) => line !== '');
    return lines.length === 0 && preset.length === 0 && !isRequired ? undefined : lines.map(isText ? String : readItem);
  };
  return { input, read, hint: 'One on each line.' };
}

/** @param {string} text */
function readItem(text) {
  try {
    return parseJson(text);
  } catch {
    return text; // the service says what is wrong with it
  }
}

/** @param {Schema} schema @param {boolean} isRequired @returns {Control} */
function makeJson(schema, isRequired) {
  const input = /** @type {HTMLTextAreaElement} */ (h('textarea', { rows: 5, required: isRequired, spellcheck: 'false' }));
  if ('default' in schema && schema.default !== null) input.value = toJson(schema.default, 2);
  return { input, read: () => (input.value.trim() === '' ? undefined : parseJson(input.value)), hint: 'As JSON.' };
}

/** @param {unknown} value */
const asText = (value) => (typeof value === 'string' ? value : toJson(value));

/** @param {Field[]} fields @returns {Record<string, unknown> | null} */
function readFields(fields) {
  /** @type {[string, unknown][]} */
  const values = [];
  let isRight = true;
  for (const field of fields) {
    showProblem(field, '');
    const value = readField(field);
    if (value === null) isRight = false;
    else if (value.value !== undefined) values.push([field.name, value.value]);
  }
  return isRight ? Object.fromEntries(values) : null;
}

/** @param {Field} field @returns {{value: unknown} | null} */
function readField(field) {
  try {
    if (!field.parts) return { value: field.read?.() };
    const value = readFields(field.parts);
    return value && { value };
  } catch (error) {
    showProblem(field, `This is no JSON: ${/** @type {Error} */ (error).message}`);
    return null;
  }
}

/** @param {Field} field @param {string} text */
function showProblem(field, text) {
  field.problem.textContent = text;
  field.input.setAttribute('aria-invalid', String(text !== ''));
}

/** The innermost field for a place, and what is left of the place. @param {Field[]} fields @param {(string | number)[]} place @returns {[Field?, ...(string | number)[]]} */
function findField(fields, [name, ...rest]) {
  const field = fields.find((each) => each.name === name);
  if (!field) return [];
  const inner = findField(field.parts ?? [], rest);
  return inner.length ? inner : [field, ...rest];
}
