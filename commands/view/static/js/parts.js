// Small parts that several views share.

import { html, useLayoutEffect, useRef } from "./dom.js";

let navigated = false;
addEventListener("hashchange", () => { navigated = true; });

// The heading of a view. It takes the focus when somebody comes to the view by a link or a key, so that a screen reader
// begins there.
export function Title({ children }) {
  const place = useRef(null);
  useLayoutEffect(() => { if (navigated) place.current.focus({ preventScroll: true }); }, [location.hash]);
  return html`<h1 tabindex="-1" ref=${place}>${children}</h1>`;
}

// What is said while there is no answer, or instead of one.
export function Failure({ error }) {
  return error ? html`<p role="alert" data-variant="error">${error}</p>` : html`<p class="loading" role="status"></p>`;
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
