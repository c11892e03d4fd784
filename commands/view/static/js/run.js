// A run: its curves with their alerts, its trajectories, and its config.

import { exported, link, useAnswer } from "./api.js";
import { Charts, shownNames, useCurves } from "./curves.js";
import { bytes, html, number, useEffect, useState } from "./dom.js";
import { Failure, State, Tabs, Title } from "./parts.js";
import { Rows } from "./rows.js";
import { Timeline } from "./timeline.js";

export function Run({ source, view, query }) {
  const { answer, error } = useAnswer(source, 3000);
  if (!answer) return html`<${Failure} error=${error} />`;
  const tabs = [["", "Curves"], ["rows", "Trajectories"], ["timeline", "Timeline"], ["config", "Config and summary"]];
  return html`
    <${Failure} error=${error} />
    <${Title}>${answer.name} <${State} state=${answer.state} /><//>
    <${Tabs} tabs=${tabs} view=${view} address=${(name) => link(["run", source, ...(name ? [name] : [])])} />
    ${view === "rows" ? html`<${Rows} kind="run" source=${source} query=${query} steps=${answer.trajectory_steps} live=${answer.state === "running"} />`
    : view === "timeline" ? html`<${Timeline} source=${source} query=${query} />`
    : view === "config" ? html`<${Config} run=${answer} />`
    : html`<${Overview} run=${answer} />`}`;
}

function Overview({ run }) {
  const names = shownNames(run.names);
  const curves = useCurves(run.key, names);
  const [smooth, setSmooth] = useState(1);
  const [warm, setWarm] = useState(run.steps < 1);
  const warmed = curves?.steps[0] < 0;
  const pick = (step) => { location.hash = link(["run", run.key, "rows"], { step }); };
  return html`
    <dl class="facts">
      <div><dt>steps</dt><dd>${number(run.steps)}${run.planned ? ` of ${number(run.planned)}` : ""}</dd></div>
      <div><dt>held-out ${run.metric}, best</dt><dd>${number(run.best)}</dd></div>
      <div><dt>last</dt><dd>${number(run.last)}</dd></div>
      <div><dt>time</dt><dd>${run.summary?.wall_s ? `${number(run.summary.wall_s)} s` : "–"}</dd></div>
      <div><dt>files</dt><dd>${bytes(run.bytes)}</dd></div>
      <div><dt>checkpoints</dt><dd>${run.checkpoints}</dd></div>
    </dl>
    ${run.alert_list.length ? html`<section aria-labelledby="alerts"><h2 id="alerts">Alerts</h2>
      <ul class="alerts">${distinct(run.alert_list).map((alerts) => html`<li role="alert" data-variant="warning" key=${alerts[0].text}>
        ${alerts.slice(0, 20).map((alert) => html`<a href=${link(["run", run.key, "rows"], { step: alert.step })}>step ${alert.step}</a> `)}
        <strong>${alerts[0].name}</strong>: ${alerts[0].text}</li>`)}</ul></section>` : ""}
    ${run.problems.length ? html`<section aria-labelledby="problems"><h2 id="problems">What went wrong in episodes</h2>
      <ul>${run.problems.slice(0, 12).map((one) => html`<li key=${one.text}>${one.traceback
        ? html`<details><summary>${one.text}</summary><pre tabindex="0">${one.traceback}</pre></details>` : one.text}</li>`)}</ul></section>` : ""}
    <div class="bar"><h2>Curves</h2>
      <label>mean of the last <input type="number" min="1" max="500" value=${smooth} onInput=${(event) => setSmooth(Math.max(1, Number(event.target.value) || 1))} /> values</label>
      ${warmed ? html`<label><input type="checkbox" checked=${warm} onChange=${() => setWarm(!warm)} /> with the warm start</label>` : ""}
      <small>Click a curve to see that step's trajectories. Drag to zoom, double-click to zoom out.${run.alert_list.length ? " Dashed lines are alerts." : ""}</small></div>
    ${curves ? html`<${Charts} runs=${[{ name: run.name, curves }]} smooth=${smooth} warm=${warm} onPick=${exported ? null : pick} marks=${run.alert_list} />`
    : names.length ? html`<p class="loading">Loading the curves …</p>` : html`<p>No step has ended yet.</p>`}`;
}

// Alerts that say the same, together.
function distinct(alerts) {
  const texts = [...new Set(alerts.map((alert) => alert.text))];
  return texts.map((text) => alerts.filter((alert) => alert.text === text));
}

function Config({ run }) {
  return html`<div class="columns">
    <section aria-labelledby="config"><h2 id="config">config.toml</h2><pre tabindex="0">${run.config}</pre></section>
    <section aria-labelledby="summary"><h2 id="summary">summary.json</h2>
      ${run.summary ? html`<pre tabindex="0">${JSON.stringify(run.summary, null, 2)}</pre>` : html`<p>It is written when the run ends.</p>`}</section>
  </div>`;
}

// The curves of several runs in the same charts.
export function Comparison({ sources }) {
  const { answer, error } = useAnswer("home");
  const [smooth, setSmooth] = useState(5);
  const [loaded, setLoaded] = useState({});
  const [settings, setSettings] = useState({});
  if (!answer) return html`<${Failure} error=${error} />`;
  const runs = sources.map((key) => answer.sources.find((source) => source.key === key)).filter(Boolean);
  const pages = runs.map((run) => settings[run.key]).filter(Boolean);
  const ready = runs.filter((run) => loaded[run.key]).map((run) => ({ name: run.name, curves: loaded[run.key] }));
  return html`
    <${Title}>Comparison of ${runs.length} runs<//>
    <div class="bar"><label>mean of the last <input type="number" min="1" max="500" value=${smooth} onInput=${(event) => setSmooth(Math.max(1, Number(event.target.value) || 1))} /> values</label></div>
    ${runs.map((run) => html`<${Loader} key=${run.key} source=${run.key} loaded=${(curves) => setLoaded((old) => (old[run.key] === curves ? old : { ...old, [run.key]: curves }))}
      told=${(values) => setSettings((old) => (old[run.key] ? old : { ...old, [run.key]: { name: run.name, values } }))} />`)}
    <${Differences} runs=${pages} />
    ${ready.length ? html`<p><small>Each run has one curve in a chart; the warm start is left out.</small></p>` : ""}
    ${ready.length ? html`<${Charts} runs=${ready} smooth=${smooth} />` : html`<p class="loading">Loading the curves …</p>`}`;
}

// The settings that are not the same in all runs.
function Differences({ runs }) {
  if (runs.length < 2) return "";
  const keys = [...new Set(runs.flatMap((run) => Object.keys(run.values)))].sort();
  const texts = (key) => runs.map((run) => (key in run.values ? JSON.stringify(run.values[key]) : "–"));
  const different = keys.filter((key) => new Set(texts(key)).size > 1);
  return html`<details open=${different.length <= 8}><summary>${number(different.length)} settings differ</summary>
    <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">setting</th>${runs.map((run) => html`<th scope="col">${run.name}</th>`)}</tr></thead>
      <tbody>${different.map((key) => html`<tr key=${key}><th scope="row">${key}</th>${texts(key).map((text) => html`<td class="setting">${text.slice(0, 300)}</td>`)}</tr>`)}</tbody></table></div></details>`;
}

function Loader({ source, loaded, told }) {
  const { answer } = useAnswer(source);
  const curves = useCurves(source, answer ? shownNames(answer.names) : []);
  useEffect(() => { if (curves) loaded(curves); }, [curves]);
  useEffect(() => { if (answer) told(answer.settings); }, [Boolean(answer)]);
  return null;
}
