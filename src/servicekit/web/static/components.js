// @ts-check
/**
 * What the dashboard is made of, for pages of others:
 *
 *     <script type="module" src="/jobs/assets/components.js"></script>
 *     <job-status src="/api/v1/jobs" job-id="01JQRS7XK5N8Z3VQ2M4T6W8Y0A"></job-status>
 *     <job-log src="/api/v1/jobs" job-id="01JQRS7XK5N8Z3VQ2M4T6W8Y0A"></job-log>
 *     <job-list src="/api/v1/jobs" query="status:failed" limit="20" href="/jobs/"></job-list>
 *
 * They have no shadow: the page's own styles reach them. Their colors are custom properties of the page's root, such as
 * `--accent`, and follow its `color-scheme`.
 */

import { JobList } from './job-list.js';
import { JobLog } from './job-log.js';
import { JobStatus } from './job-status.js';
import { adoptStyle } from './kit.js';

// In `:where`, so that whatever the page itself says about its root counts more. The colors come with the list.
adoptStyle(`
:where(:root) {
  --warning: light-dark(#8a5300, #f0b45c); --radius: 6px;
  --mono: ui-monospace, "SF Mono", "Cascadia Mono", "DejaVu Sans Mono", monospace;
}
:where(job-status, job-log, job-list) { font: 13px/20px system-ui, sans-serif; }
:where(job-status, job-log, job-list) :where(button, input, select) { font: inherit; color: var(--ink); background: var(--paper);
  border: 1px solid var(--line); border-radius: var(--radius); padding: 3px 8px; }
:where(job-list) :where(table) { border-collapse: collapse; width: 100%; }
:where(job-list) :where(th) { text-align: start; font-weight: 500; color: var(--quiet); padding: 4px 8px; }
:where(job-status, job-log, job-list) :where(.state) { display: inline-flex; gap: 6px; white-space: nowrap; }
:where(job-status, job-log, job-list) :where([data-state=pending]) { color: var(--pending); }
:where(job-status, job-log, job-list) :where([data-state=running]) { color: var(--running); }
:where(job-status, job-log, job-list) :where([data-state=completed]) { color: var(--completed); }
:where(job-status, job-log, job-list) :where([data-state=failed]) { color: var(--failed); }
:where(job-status, job-log, job-list) :where([data-state=canceled]) { color: var(--canceled); }
:where(.unseen) { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
`);

if (!customElements.get('job-status')) customElements.define('job-status', JobStatus);
if (!customElements.get('job-log')) customElements.define('job-log', JobLog);

export { JobList, JobLog, JobStatus };
