// @ts-check
/**
 * How the parts of a job look: `<job-status>` and `<job-log>`, in the dashboard and in pages of others. They are set by
 * the script, which every content security policy allows that allows the script.
 */

import { adoptStyle } from './kit.js';

const COMPONENTS = `
job-status [hidden], job-log [hidden] { display: none !important; }
job-status, job-log { display: block; font-variant-numeric: tabular-nums; color: var(--ink); }
job-status p, job-log p, job-log h2 { margin: 0; }
job-status[data-stale] > :not(.job-status-lost) { opacity: .6; }
.job-status-lost, .log-lost { margin: 0; color: var(--warning); }
.job-status-lost:empty { display: none; }
.job-status-head { display: flex; gap: 8px; align-items: baseline; margin-block-end: 4px !important; }
.job-status-name { font-weight: 600; overflow-wrap: anywhere; }
.job-bar { height: 8px; border-radius: 4px; background: var(--line); overflow: hidden; margin-block: 4px; }
.job-bar-done { height: 100%; width: calc(var(--share, 0) * 100%); background: var(--running); border-radius: 4px;
  transition: width 600ms linear; }
[data-status=completed] > .job-bar > .job-bar-done { background: var(--completed); }
[data-status=failed] > .job-bar > .job-bar-done { background: var(--failed); }
[data-status=canceled] > .job-bar > .job-bar-done { background: var(--canceled); }
.job-bar.unknown > .job-bar-done { width: 30%; animation: job-bar 1.6s ease-in-out infinite alternate; }
@keyframes job-bar { from { margin-inline-start: 0 } to { margin-inline-start: 70% } }
.job-status-facts { display: flex; flex-wrap: wrap; gap: 2px 16px; align-items: baseline; }
.job-message { color: var(--quiet); overflow-wrap: anywhere; min-width: 0; max-height: 60px; overflow: auto; }
.job-time { color: var(--quiet); white-space: nowrap; }
.job-status-error { color: var(--failed); overflow-wrap: anywhere; white-space: pre-wrap; max-height: 8em; overflow: auto; }

job-log { display: flex; flex-direction: column; min-height: 0; min-width: 0; }
.log-tools { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: center; padding-block-end: 6px; }
.log-title { font-size: inherit; font-weight: 600; margin-inline-end: auto !important; white-space: nowrap; }
.log-count { color: var(--quiet); font-weight: 400; }
.log-search { display: inline-flex; align-items: center; gap: 4px; }
.log-find { width: 14ch; font: inherit; }
.log-hits { color: var(--quiet); white-space: nowrap; }
.log-hits:empty { display: none; }
.log-button { font: inherit; padding: 3px 8px; }
.log-check { display: inline-flex; gap: 4px; align-items: center; white-space: nowrap; }
.log-note:not(.log-lost) { color: var(--quiet); padding-block-end: 4px; }
.log-note .link-button { font: inherit; background: none; border: 0; padding: 0; color: var(--accent); cursor: pointer;
  text-decoration: underline; min-height: 0; }
.log-frame { position: relative; flex: 1 1 auto; min-height: 160px; display: flex; min-width: 0; }
.log-lines { flex: 1 1 auto; min-width: 0; height: var(--log-height, 320px); overflow: auto; border: 1px solid var(--line);
  border-radius: 6px; background: var(--paper); padding-block: 4px; font: 12px/18px var(--mono); overscroll-behavior: contain; }
.log-chunk { min-width: max-content; }
.log-line { display: grid; grid-template-columns: 12ch 5ch 1fr; column-gap: 10px; padding-inline: 8px; min-height: 18px; }
.log-line time, .log-level { color: var(--quiet); }
.log-text { white-space: pre; unicode-bidi: isolate; }
.log-lines.wrap .log-chunk { min-width: 0; }
.log-lines.wrap .log-text { white-space: pre-wrap; overflow-wrap: anywhere; min-width: 0; }
.log-line.debug .log-text { color: var(--quiet); }
.log-line.warning .log-level { color: var(--warning); font-weight: 700; }
.log-line.error, .log-line.critical { color: var(--failed); }
.log-line.error .log-level, .log-line.critical .log-level { color: inherit; font-weight: 700; }
.log-line.current { background: color-mix(in srgb, var(--accent) 14%, transparent); }
.log-text mark { background: color-mix(in srgb, var(--warning) 40%, transparent); color: inherit; border-radius: 2px; }
.log-remark { color: var(--quiet); padding-inline: 8px; font-style: italic; }
.log-empty { position: absolute; inset: 12px auto auto 12px; color: var(--quiet); pointer-events: none; }
.log-pill { position: absolute; inset-block-end: 14px; inset-inline-start: 50%; translate: -50% 0; border-radius: 14px;
  border: 0; padding: 4px 14px; background: var(--accent); color: var(--on-accent); font: inherit; font-weight: 600;
  cursor: pointer; box-shadow: 0 2px 8px rgb(0 0 0 / .25); }
@media (prefers-reduced-motion: reduce) {
  .job-bar-done { transition: none; }
  .job-bar.unknown > .job-bar-done { animation: none; width: 100%; opacity: .4; }
}
@media (max-width: 640px) {
  .log-line { grid-template-columns: auto auto 1fr; }
  .log-line time { font-size: 11px; }
}
`;

const PAGE = `
.job-page { display: flex; flex-direction: column; gap: 12px; padding: 12px 16px 16px; min-width: 0; min-height: 100%;
  container: job / inline-size; }
.job-page p, .job-page h1, .job-page h2 { margin: 0; }
:root:not([data-live=reconnecting], [data-live=offline]) .job-page.stale > :not(.job-header) { opacity: .65; }
.job-page.deleted > :not(.job-notice, .job-back) { opacity: .65; }
.job-header { display: flex; flex-wrap: wrap; gap: 8px 16px; align-items: flex-start; }
.job-title { flex: 1 1 320px; min-width: 0; display: flex; gap: 4px 16px; align-items: baseline; }
.job-mark { flex: none; font-weight: 600; }
.job-call { font: 600 18px/24px var(--mono);
  overflow-wrap: anywhere; max-height: 84px; overflow: auto; } /* half a line more than three: who sees it scrolls */
.job-actions { display: flex; gap: 8px; align-items: center; }
.job-actions kbd { color: inherit; opacity: .65; font: 11px/1 ui-monospace, monospace; margin-inline-start: 2px; }
.job-copy { position: relative; }
.job-copy > summary { list-style: none; cursor: pointer; }
.job-copy > summary::-webkit-details-marker { display: none; }
.job-copy-list { position: absolute; inset-inline-end: 0; inset-block-start: calc(100% + 4px); z-index: 5; display: grid;
  min-width: 180px; padding: 4px; background: var(--paper); border: 1px solid var(--line); border-radius: 8px;
  box-shadow: 0 6px 24px rgb(0 0 0 / .18); }
.job-copy-list button { border: 0; background: none; text-align: start; }
.job-copy-list button:hover { background: var(--ground); }
.job-meta { display: flex; flex-wrap: wrap; gap: 4px 16px; color: var(--ink); }
.job-fact { display: inline-flex; gap: 4px; align-items: baseline; min-width: 0; overflow-wrap: anywhere; }
.job-fact-word { flex: none; color: var(--quiet); }
.job-id code { font-size: 12px; }
.job-tags { display: inline-flex; flex-wrap: wrap; gap: 2px 6px; }
.icon-button { border: 0; background: none; padding: 0 4px; color: var(--quiet); font-size: 12px; }
.icon-button:hover { color: var(--ink); }
.job-notice { padding: 8px 12px; border-radius: 6px; border: 1px solid var(--line); border-inline-start: 4px solid var(--warning);
  background: var(--paper); }
.job-waiting { overflow-wrap: anywhere; }
.job-waiting a { text-decoration: underline; }
.job-problem { padding: 8px 12px; border-radius: 6px; border: 1px solid var(--failed); color: var(--failed);
  overflow-wrap: anywhere; }
.job-page job-status .job-status-head, .job-page job-status .job-status-error { display: none; }
.job-page:is([data-status=completed], [data-status=pending]) job-status,
.job-page:not([data-status=running]) job-status:not(:has(.job-amount)) { display: none; }
.job-amount { font-size: 16px; }

.action-delete { border-color: transparent; background: none; color: var(--quiet); }
.action-cancel { color: var(--failed); }

.job-hero { border: 1px solid color-mix(in srgb, var(--failed) 45%, var(--line)); border-inline-start: 4px solid var(--failed);
  border-radius: 8px; background: color-mix(in srgb, var(--failed) 6%, var(--paper)); padding: 12px 16px; min-width: 0; }
.error-type { color: var(--failed); font-weight: 700; overflow-wrap: anywhere; }
.error-message { font-size: 18px; line-height: 24px; font-weight: 600; white-space: pre-wrap; overflow-wrap: anywhere;
  max-height: 168px; overflow: auto; }
.error-place { color: var(--quiet); margin-block-start: 6px !important; overflow-wrap: anywhere; }
.error-place code { color: var(--ink); }
.error-same:not(:empty) { margin-block-start: 6px; }

.job-past { display: flex; flex-wrap: wrap; gap: 8px 32px; align-items: flex-end; }
.job-past > :empty { display: none; }
.job-timeline { flex: 1 1 420px; min-width: 0; }
.timeline-bar { display: flex; height: 6px; border-radius: 3px; overflow: hidden; gap: 1px; background: var(--line); }
.piece { flex: var(--share) 1 3px; min-width: 3px; background: var(--line); }
.piece.wait { background: repeating-linear-gradient(90deg, var(--quiet) 0 2px, var(--ground) 2px 5px); }
.piece.running { background: color-mix(in srgb, var(--running) 55%, var(--paper)); border-inline-end: 2px solid var(--running); }
.piece.coming { background: none; min-width: 0; }
.piece.completed { background: var(--completed); }
.piece.failed { background: var(--failed); }
.piece.canceled, .piece.released { background: var(--canceled); }
.timeline-ends { display: flex; flex-wrap: wrap; gap: 2px 20px; color: var(--quiet); margin-block-start: 4px !important; }
.timeline-ends time { color: var(--ink); }
.timeline-steps { list-style: none; margin: 6px 0 0; padding: 0; display: grid; gap: 2px; max-height: 122px; overflow: auto; }
.timeline-steps li { display: grid; grid-template-columns: 10ch 8ch minmax(0, 1fr) auto; gap: 12px; }
.step-name { font-weight: 600; }
.step-time { color: var(--quiet); text-align: end; }
.step-end { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.timeline-steps .failed .step-end { color: var(--failed); }
.step-process { color: var(--quiet); }

.job-history { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: flex-end; }
.history-bars { display: flex; align-items: flex-end; gap: 2px; height: 28px; }
.history-bar { width: 6px; height: max(3px, calc(var(--share) * 28px)); background: var(--completed); opacity: .55; cursor: pointer;
  border-radius: 1px 1px 0 0; }
.history-bar:hover { opacity: 1; }
.history-bar.failed { background: var(--failed); }
.history-bar.canceled { background: var(--canceled); }
.history-bar.running { background: var(--running); }
.history-bar.this { opacity: 1; outline: 2px solid var(--accent); outline-offset: 1px; }
.history-words { color: var(--quiet); }
.history-failed { color: var(--failed); }

.job-columns { display: grid; grid-template-columns: minmax(0, 3fr) minmax(0, 2fr); gap: 16px; --log-height: auto; flex: 1 0 320px; }
.job-columns > * { height: 0; min-height: 100%; }
.job-columns .log-frame { min-height: 0; }
.job-page[data-status=completed] .job-columns { grid-template-columns: minmax(0, 2fr) minmax(0, 3fr); }
.job-page[data-status=completed] .job-columns > :first-child { order: 1; }
.job-panes { display: flex; flex-direction: column; min-width: 0; }
.tabs { display: flex; flex-wrap: wrap; gap: 2px 4px; padding-block-end: 6px; min-height: 26px; align-items: center; }
.tabs a { padding: 3px 10px; border-radius: 6px; color: var(--quiet); text-decoration: none; }
.tabs a[hidden] { display: none; }
.tabs a:hover { color: var(--ink); }
.tabs a[aria-selected=true] { background: color-mix(in srgb, var(--accent) 14%, transparent); color: var(--ink); font-weight: 600; }
.pane { position: relative; border: 1px solid var(--line); border-radius: 6px; background: var(--paper); padding: 10px 12px;
  overflow: auto; flex: 1 1 0; min-height: 0; min-width: 0; }
.pane h3 { font-size: inherit; margin: 12px 0 4px; }
.pane-remark { color: var(--quiet); }
.pane-copy { position: sticky; float: inline-end; inset-block-start: 0; padding: 0 8px; color: var(--quiet); font-size: 12px; }
.pane-text, .traceback pre { font: 12px/18px var(--mono);
  white-space: pre-wrap; overflow-wrap: anywhere; margin: 0; }
.pane-artifact { padding-block-end: 8px; overflow-wrap: anywhere; }
.events { border-collapse: collapse; width: 100%; }
.events th { text-align: start; font-weight: 400; color: var(--quiet); }
.events th, .events td { padding: 3px 12px 3px 0; vertical-align: top; }
.events td { white-space: nowrap; }
.events .event-text { white-space: pre-wrap; overflow-wrap: anywhere; width: 100%; }
.events .event-version { color: var(--quiet); text-align: end; padding-inline-end: 0; }
.past-error { overflow-wrap: anywhere; white-space: pre-wrap; padding-block: 2px; }

.json { font: 12px/20px var(--mono); overflow-wrap: anywhere; }
.json ul { list-style: none; margin: 0; padding: 0; }
.json ul ul { padding-inline-start: 18px; border-inline-start: 1px solid var(--line); margin-inline-start: 4px; }
.json-key { color: var(--quiet); margin-inline-end: 10px; unicode-bidi: isolate; }
.json-string { color: var(--ink); white-space: pre-wrap; unicode-bidi: isolate; }
.json-number, .json-literal { color: var(--accent); }
.json-quiet { color: var(--quiet); }
.json summary { cursor: pointer; }
.json-more { font: inherit; min-height: 0; padding: 0 8px; }

.frame { padding-block: 3px; color: var(--quiet); }
.frame .frame-place { font-size: 12px; overflow-wrap: anywhere; }
.frame pre { padding-inline-start: 16px; }
.frame.own { color: var(--ink); }
.frame.own .frame-place { font-weight: 600; }
.frames-folded > summary { color: var(--quiet); cursor: pointer; padding-block: 3px; }
.traceback-error { color: var(--failed); white-space: pre-wrap; overflow-wrap: anywhere; padding-block: 4px; }
.traceback-text { color: var(--quiet); }

.question { padding: 20px; }
.question h2 { margin: 0 0 8px; font-size: 16px; overflow-wrap: anywhere; max-height: 120px; overflow: auto; }
.question p { margin: 0; }
.dialog-buttons { display: flex; justify-content: flex-end; gap: 8px; margin-block-start: 16px !important; }
.question form { display: block; }
.question .danger { background: var(--failed); color: var(--paper); border-color: transparent; font-weight: 600; }
.job-paper { display: none; }

@container job (max-width: 870px) {
  .job-columns, .job-page[data-status=completed] .job-columns { grid-template-columns: minmax(0, 1fr); }
  .job-columns { flex: none; }
  .job-columns > * { height: auto; min-height: 0; }
  .job-columns > job-log { height: 380px; }
  .job-page:is([data-status=completed], [data-status=failed]) .job-columns > :first-child { order: 1; }
  .pane { flex: none; min-height: 120px; max-height: 480px; }
}
@media (max-width: 640px) {
  .job-page { padding: 8px 12px 16px; }
  .job-actions { flex-wrap: wrap; }
  .job-actions kbd { display: none; }
  .job-page :is(button, .button, select, .tabs a, input[type=search]):not(.icon-button, .json-more) { min-height: 44px; }
  .job-page .icon-button { min-height: 44px; min-width: 44px; }
  .job-fact { align-items: center; }
  .job-copy > summary { display: flex; align-items: center; }
  .log-check { min-height: 44px; }
  .tabs a { display: inline-flex; align-items: center; }
  .log-title { flex-basis: 100%; }
  .timeline-steps li { grid-template-columns: 10ch 7ch minmax(0, 1fr); }
  .step-process { display: none; }
  .history-bars { gap: 1px; }
  .history-bar { width: 5px; }
}
@media print {
  :is(html, body, main):has(.job-page) { display: block; height: auto; overflow: visible; }
  body > :not(main), .job-page > :not(.job-paper) { display: none !important; }
  .job-paper { display: block; font: 10pt/1.4 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; color: #000; background: #fff; }
}
`;

/** @type {CSSStyleSheet | null} */
let components = null;
/** @type {CSSStyleSheet | null} */
let page = null;

/** Let the components look as they should, wherever they are. */
export function adoptStyles() {
  components ??= adoptStyle(COMPONENTS);
}

/** The same for the whole page of a job. */
export function adoptPageStyles() {
  adoptStyles();
  page ??= adoptStyle(PAGE);
}
