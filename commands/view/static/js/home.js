// The list of runs and evaluations.

import { link, useAnswer } from "./api.js";
import { ago, bytes, html, number, useState } from "./dom.js";
import { Failure, State, Title } from "./parts.js";

export function Home() {
  const { answer, error } = useAnswer("home", 3000);
  const [chosen, setChosen] = useState([]);
  const [text, setText] = useState("");
  if (!answer) return html`<${Failure} error=${error} />`;
  const toggle = (key) => setChosen(chosen.includes(key) ? chosen.filter((one) => one !== key) : [...chosen, key]);
  const listed = answer.sources.filter((source) => source.path.toLowerCase().includes(text.toLowerCase()));
  const runs = listed.filter((source) => source.kind === "run").sort((one, other) => other.changed - one.changed);
  const evals = listed.filter((source) => source.kind === "eval").sort((one, other) => other.changed - one.changed);
  const rows = listed.filter((source) => source.kind === "rows").sort((one, other) => other.changed - one.changed);
  return html`
    <${Failure} error=${error} />
    <${Title}>Runs and evaluations<//>
    ${answer.sources.length > 10 ? html`<div class="bar"><label>name or folder <input type="search" value=${text} onInput=${(event) => setText(event.target.value)} /></label></div>` : ""}
    ${runs.length ? html`<${Runs} runs=${runs} chosen=${chosen} toggle=${toggle} />` : ""}
    ${evals.length ? html`<${Evals} evals=${evals} chosen=${chosen} toggle=${toggle} />` : ""}
    ${rows.length ? html`<${TrainingRowsList} rows=${rows} />` : ""}
    ${listed.length ? "" : html`<p>${text ? "No name contains this text." : "There is nothing here yet. This list is read again every three seconds."}</p>`}`;
}

function Runs({ runs, chosen, toggle }) {
  const compared = runs.filter((run) => chosen.includes(run.key)).map((run) => run.key);
  return html`<section aria-labelledby="runs">
    <h2 id="runs">Runs</h2>
    <div class="table" tabindex="0" role="group" aria-label="table"><table>
      <thead><tr><th scope="col"><span class="unseen">compare</span></th><th scope="col">run</th><th scope="col">state</th><th scope="col">steps</th>
        <th scope="col">held-out, best</th><th scope="col">last</th><th scope="col">alerts</th><th scope="col">written</th><th scope="col">size</th></tr></thead>
      <tbody>${runs.map((run) => html`<tr key=${run.key}>
        <td><input type="checkbox" aria-label=${`compare ${run.name}`} checked=${chosen.includes(run.key)} onChange=${() => toggle(run.key)} /></td>
        <td><a href=${link(["run", run.key])} title=${run.path}>${run.name}</a></td>
        ${run.error ? html`<td colspan="7" class="error">${run.error}</td>` : html`<td><${State} state=${run.state} /></td>
        <td>${number(run.steps)}${run.planned ? ` of ${number(run.planned)}` : ""}</td>
        <td>${number(run.best)} <small>${run.best === null ? "" : run.metric}</small></td><td>${number(run.last)}</td>
        <td>${run.alerts ? html`<span class="badge" data-variant="warning">${run.alerts}</span>` : "none"}</td>
        <td>${ago(run.changed)}</td><td>${bytes(run.bytes)}</td>`}</tr>`)}
      </tbody></table></div>
    <p>${compared.length > 1
    ? html`<a class="button" href=${link(["curves", ...compared])}>Compare ${compared.length} runs</a>`
    : html`<small>Choose two or more to compare their curves.</small>`}</p>
  </section>`;
}

function TrainingRowsList({ rows }) {
  return html`<section aria-labelledby="training-rows">
    <h2 id="training-rows">Training rows</h2>
    <div class="table" tabindex="0" role="group" aria-label="table"><table>
      <thead><tr><th scope="col">rows</th><th scope="col">kind</th><th scope="col">number</th><th scope="col">written</th><th scope="col">size</th></tr></thead>
      <tbody>${rows.map((one) => html`<tr key=${one.key}>
        <td><a href=${link(["rows", one.key])} title=${one.path}>${one.name}</a></td>
        ${one.error ? html`<td colspan="4" class="error">${one.error}</td>` : html`<td>${one.rows_are}</td><td>${number(one.rows)}</td><td>${ago(one.changed)}</td><td>${bytes(one.bytes)}</td>`}</tr>`)}
      </tbody></table></div></section>`;
}

function Evals({ evals, chosen, toggle }) {
  const compared = evals.filter((one) => chosen.includes(one.key)).map((one) => one.key);
  return html`<section aria-labelledby="evals">
    <h2 id="evals">Evaluations</h2>
    <div class="table" tabindex="0" role="group" aria-label="table"><table>
      <thead><tr><th scope="col"><span class="unseen">compare</span></th><th scope="col">file</th><th scope="col">environment</th><th scope="col">model</th>
        <th scope="col">written</th><th scope="col">size</th></tr></thead>
      <tbody>${evals.map((one) => html`<tr key=${one.key}>
        <td><input type="checkbox" aria-label=${`compare ${one.name}`} checked=${chosen.includes(one.key)} onChange=${() => toggle(one.key)} /></td>
        <td><a href=${link(["eval", one.key])} title=${one.path}>${one.name}</a></td>
        ${one.error ? html`<td colspan="4" class="error">${one.error}</td>` : html`<td>${one.environment}</td><td class="long">${one.model}</td><td>${ago(one.changed)}</td><td>${bytes(one.bytes)}</td>`}</tr>`)}
      </tbody></table></div>
    <p>${compared.length === 2
    ? html`<a class="button" href=${link(["compare", ...compared])}>Compare the two task by task</a>`
    : html`<small>Choose two to compare them task by task.</small>`}</p>
  </section>`;
}
