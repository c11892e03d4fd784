// Small parts that several views share.

import { html } from "./dom.js";

// What is said while there is no answer, or instead of one.
export function Failure({ error }) {
  return error ? html`<h1 class="unseen" tabindex="-1">Not available</h1><p role="alert" data-variant="error">${error}</p>` : html`<p class="loading" role="status"></p>`;
}

export function Tabs({ tabs, view, address }) {
  return html`<nav class="tabs" aria-label="parts of this page">${tabs.map(([name, text]) => html`
    <a key=${name} href=${address(name)} aria-current=${name === view ? "page" : null}>${text}</a>`)}</nav>`;
}

const STATES = { running: "success", stopped: "warning", ended: "secondary" };

// Whether a run is being written, has ended, or was stopped before its end.
export function State({ state }) {
  return html`<span class="badge" data-variant=${STATES[state]}>${state}</span>`;
}

// Success as a word and a colour, so that neither is needed alone.
export function Success({ value }) {
  if (value === null || value === undefined) return html`<span class="badge outline">undefined</span>`;
  return value
    ? html`<span class="badge" data-variant="success">success</span>`
    : html`<span class="badge" data-variant="danger">failure</span>`;
}
