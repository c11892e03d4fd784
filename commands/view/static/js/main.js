// The page: its head, and the view that the address names.

import { link, useRoute } from "./api.js";
import { html, render, useEffect, useRef, useState } from "./dom.js";
import { Eval, EvalComparison } from "./eval.js";
import { Home } from "./home.js";
import { Comparison, Run } from "./run.js";
import { TrainingRows } from "./training_rows.js";
import { Group, Trajectory } from "./trajectory.js";

function View({ parts, query }) {
  const [kind, source, view, group, attempt] = parts;
  if (kind === "curves") return html`<${Comparison} sources=${parts.slice(1)} />`;
  if (kind === "compare") return html`<${EvalComparison} one=${source} other=${view} />`;
  if (kind === "rows") return html`<${TrainingRows} source=${source} query=${query} />`;
  if (kind !== "run" && kind !== "eval") return html`<${Home} />`;
  if (view === "trajectory") return html`<${Trajectory} kind=${kind} source=${source} group=${group} attempt=${attempt} query=${query} />`;
  if (view === "group") return html`<${Group} kind=${kind} source=${source} group=${group} query=${query} />`;
  return kind === "run" ? html`<${Run} source=${source} view=${view ?? ""} query=${query} />` : html`<${Eval} source=${source} view=${view ?? ""} query=${query} />`;
}

function Page() {
  const { parts, query } = useRoute();
  const main = useRef(null);
  useEffect(() => { document.title = ["Lachesis", ...parts.slice(1).map(named)].join(" · "); });
  const [kind, source, view] = parts;
  return html`
    <a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); main.current.focus(); }}>Skip to the content</a>
    <header class="top"><nav aria-label="where you are">
      <a href=${link([])}><strong>Lachesis</strong></a>
      ${source && (kind === "run" || kind === "eval" || kind === "rows") ? html` <span aria-hidden="true">›</span> <a href=${link([kind, source])}>${named(source)}</a>` : ""}
      ${view === "trajectory" || view === "group" ? html` <span aria-hidden="true">›</span> <a href=${link([kind, source, "rows"], Object.fromEntries(query))}>trajectories</a>` : ""}
    </nav><${Theme} /></header>
    <main id="main" tabindex="-1" ref=${main}><${View} parts=${parts} query=${query} /></main>`;
}

// The readable part of a source's key.
function named(key) {
  return key.replace(/-[0-9a-f]{6}$/, "");
}

const THEMES = { auto: "light dark", light: "light", dark: "dark" };

function Theme() {
  const [theme, setTheme] = useState(remembered());
  useEffect(() => {
    document.documentElement.style.colorScheme = THEMES[theme];
    try { localStorage.setItem("theme", theme); } catch { /* a file may have no storage */ }
    dispatchEvent(new Event("themechange"));
  }, [theme]);
  return html`<label class="theme">theme <select value=${theme} onChange=${(event) => setTheme(event.target.value)}>
    ${Object.keys(THEMES).map((name) => html`<option value=${name} selected=${name === theme}>${name}</option>`)}</select></label>`;
}

function remembered() {
  try { return localStorage.getItem("theme") in THEMES ? localStorage.getItem("theme") : "auto"; } catch { return "auto"; }
}

const page = document.getElementById("page");
page.replaceChildren();
render(html`<${Page} />`, page);
