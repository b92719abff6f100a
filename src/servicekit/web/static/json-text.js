// @ts-check
/**
 * JSON, read without loss: whole numbers of any size, numbers as they are written, keys in their order (a JavaScript
 * object puts those that look like numbers first) and also twice.
 */

/**
 * @typedef {{kind: 'object', entries: [string, JsonNode][]}} JsonObject
 * @typedef {{kind: 'array', items: JsonNode[]}} JsonArray
 * @typedef {{kind: 'string', value: string}} JsonString
 * @typedef {{kind: 'number' | 'literal', text: string}} JsonScalar
 * @typedef {JsonObject | JsonArray | JsonString | JsonScalar} JsonNode
 */

// One token: a string, a number, a word, or a mark. Sticky, so that nothing is skipped.
const TOKEN = /\s*("(?:[^"\\]|\\.)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null|[[\]{},:])/y;
// What is deeper is rare, and would use up the stack.
const MOST_LEVELS = 500;

/**
 * The nodes of a JSON text. `SyntaxError` if it is none, or is nested too deeply.
 * @param {string} text
 * @returns {JsonNode}
 */
export function readJson(text) {
  const reader = new Reader(text);
  const node = reader.value(0);
  if (text.slice(reader.position).trim() !== '') throw new SyntaxError('More than one value');
  return node;
}

class Reader {
  /** @param {string} text */
  constructor(text) {
    this.text = text;
    this.position = 0;
  }

  /** @returns {string} */
  token() {
    TOKEN.lastIndex = this.position;
    const match = TOKEN.exec(this.text);
    if (!match?.[1]) throw new SyntaxError(`No JSON at character ${this.position}`);
    this.position = TOKEN.lastIndex;
    return match[1];
  }

  /** @param {string} mark */
  skip(mark) {
    const start = this.position;
    if (this.token() === mark) return true;
    this.position = start;
    return false;
  }

  /** @param {number} level @returns {JsonNode} */
  value(level) {
    if (level > MOST_LEVELS) throw new SyntaxError('Nested too deeply');
    const token = this.token();
    if (token === '{') return { kind: 'object', entries: this.list('}', () => this.entry(level + 1)) };
    if (token === '[') return { kind: 'array', items: this.list(']', () => this.value(level + 1)) };
    if (token.startsWith('"')) return { kind: 'string', value: JSON.parse(token) };
    if (/^[tfn]/.test(token)) return { kind: 'literal', text: token };
    if (/^[-\d]/.test(token)) return { kind: 'number', text: token };
    throw new SyntaxError(`No JSON at character ${this.position - 1}`);
  }

  /** @template T @param {string} end @param {() => T} read @returns {T[]} */
  list(end, read) {
    /** @type {T[]} */
    const items = [];
    if (this.skip(end)) return items;
    do items.push(read());
    while (this.skip(','));
    if (!this.skip(end)) throw new SyntaxError(`No JSON at character ${this.position}`);
    return items;
  }

  /** @param {number} level @returns {[string, JsonNode]} */
  entry(level) {
    const key = JSON.parse(this.token());
    if (typeof key !== 'string' || !this.skip(':')) throw new SyntaxError(`No JSON at character ${this.position}`);
    return [key, this.value(level)];
  }
}

/**
 * The member of an object with this key.
 * @param {JsonNode} node
 * @param {string} key
 * @returns {JsonNode | undefined}
 */
export function memberOf(node, key) {
  return node.kind === 'object' ? node.entries.find(([name]) => name === key)?.[1] : undefined;
}

/**
 * The node as indented JSON.
 * @param {JsonNode} node
 * @param {string} [indent]
 * @returns {string}
 */
export function printJson(node, indent = '') {
  if (node.kind === 'object') {
    const write = (/** @type {[string, JsonNode]} */ [key, value]) =>
      `${JSON.stringify(key)}: ${printJson(value, `${indent}  `)}`;
    return wrap('{', '}', node.entries.map(write), indent);
  }
  if (node.kind === 'array') return wrap('[', ']', node.items.map((item) => printJson(item, `${indent}  `)), indent);
  return node.kind === 'string' ? JSON.stringify(node.value) : node.text;
}

/** @param {string} open @param {string} close @param {string[]} parts @param {string} indent */
function wrap(open, close, parts, indent) {
  if (parts.length === 0) return open + close;
  return `${open}\n${parts.map((part) => `${indent}  ${part}`).join(',\n')}\n${indent}${close}`;
}
