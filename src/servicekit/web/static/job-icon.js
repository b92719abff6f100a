// @ts-check
/**
 * The icon in the tab: a ring that shows how far a running job is, or the shape of its state.
 */

/** @typedef {import('./types.js').JobStatus} JobStatus */

// In the middle of light and dark, since nobody says what the tab's color is.
/** @type {Record<JobStatus, string>} */
const COLORS = { pending: '#8a94a6', running: '#3b82f6', completed: '#2f9e5f', failed: '#dc4a41', canceled: '#b98a2c' };
const ROUND = 2 * Math.PI * 12;
const NONE = 'data:,';

/** @type {Record<JobStatus, (share: number | null) => string>} */
const SHAPES = {
  pending: () => '<circle cx="16" cy="16" r="12" fill="none" stroke-width="5" stroke-dasharray="5 4.4"/>',
  running: (share) =>
    `<circle cx="16" cy="16" r="12" fill="none" stroke-width="6" opacity=".3"/>
     <circle cx="16" cy="16" r="12" fill="none" stroke-width="6" transform="rotate(-90 16 16)"
       stroke-dasharray="${(share ?? 0.25) * ROUND} ${ROUND}"/>`,
  completed: () => '<circle cx="16" cy="16" r="12" stroke="none"/>',
  failed: () => '<path d="M16 4 30 28H2Z" stroke="none"/>',
  canceled: () => '<path d="M5 5H27V27H5Z" stroke="none"/>',
};

/**
 * Show the state of a job in the tab; without one, nothing.
 * @param {JobStatus | null} status
 * @param {number | null} [share] how much is done, from 0 to 1
 */
export function setIcon(status, share = null) {
  const link = document.querySelector('link[rel=icon]');
  const address = status ? drawIcon(status, share === null ? null : Math.round(share * 50) / 50) : NONE;
  if (link instanceof HTMLLinkElement && link.getAttribute('href') !== address) link.setAttribute('href', address);
}

/** @param {JobStatus} status @param {number | null} share */
function drawIcon(status, share) {
  const color = COLORS[status];
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32" fill="${color}" stroke="${color}">${SHAPES[status](share)}</svg>`;
  return `data:image/svg+xml,${encodeURIComponent(svg)}`;
}
