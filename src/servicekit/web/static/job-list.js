// @ts-check
// The list of jobs.

/** @import { JobRecord, Page, PageContext } from './types.js' */

import { formatAge, h, replace, stateMark } from './kit.js';

/** @param {PageContext} context @returns {Promise<Page>} */
export async function show({ root, api, service, live, signal }) {
  const body = h('tbody');
  replace(root, h('div', { class: 'page' }, h('h1', null, 'Jobs'), h('table', null, h('thead', null, h('tr', null, h('th', null, 'State'), h('th', null, 'Job'), h('th', null, 'Age'))), body)));
  const read = async () => {
    const { items } = await api.page(service.paths.jobs, { limit: 50 }, { signal });
    replace(body, items.map(row));
  };
  await read();
  const unsubscribe = live.subscribe((event) => {
    if (event.type !== 'state') read();
  });
  return { close: unsubscribe };
}

/** @param {JobRecord} record */
function row(record) {
  return h('tr', { 'data-id': record.id }, h('td', null, stateMark(record.status)), h('td', null, h('a', { href: record.id }, record.name)), h('td', null, formatAge(record.submitted_at)));
}
