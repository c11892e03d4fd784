// A list of trajectories with a form that filters it.

import { exported, link, useAnswer } from "./api.js";
import { html, number, percent } from "./dom.js";
import { Failure, Success } from "./parts.js";

const LISTED = 200;

export function Rows({ kind, source, query, steps = [], live = false }) {
  const words = new URLSearchParams(query);
  if (kind === "run" && ![...words.keys()].length && steps.length) words.set("step", String(steps.at(-1)));
  const { answer, error } = useAnswer(`${source}/rows?${words}`, live ? 3000 : 0);
  const change = (name, value) => {
    const asked = location.hash.split("?")[1]; // newer than the words while an earlier change is not drawn yet
    const changed = Object.fromEntries(asked === undefined ? words : new URLSearchParams(asked));
    location.hash = link([kind, source, "rows"], { ...changed, first: "", [name]: value });
  };
  return html`
    <${Form} words=${words} change=${change} steps=${steps} answer=${answer} kind=${kind} />
    <${Failure} error=${error} />
    ${answer ? html`<${Table} kind=${kind} source=${source} answer=${answer} words=${words} change=${change} />` : error ? "" : html`<p class="loading">Loading …</p>`}`;
}

function Form({ words, change, steps, answer, kind }) {
  const field = (name) => words.get(name) ?? "";
  const select = (name, label, options, none = "any") => html`<label>${label}
    <select value=${field(name)} onChange=${(event) => change(name, event.target.value)}>
      <option value="">${none}</option>
      ${options.map(([value, text]) => html`<option value=${value} selected=${field(name) === value}>${text}</option>`)}</select></label>`;
  const input = (name, label, type) => html`<label>${label}
    <input type=${type} step="any" id=${`filter-${name}`} value=${field(name)} onChange=${(event) => change(name, event.target.value)} /></label>`;
  const counted = (counts) => Object.entries(counts ?? {}).map(([value, count]) => [value, `${value.slice(0, 80)} (${count})`]);
  return html`<form class="filters" role="search" onSubmit=${(event) => event.preventDefault()}>
    ${kind === "run" ? html`<div class="field"><label for="filter-step">step</label><span class="steps">
      <button type="button" class="small outline" aria-label="earlier step" onClick=${() => change("step", neighbour(steps, field("step"), -1))}>‹</button>
      <input type="number" id="filter-step" list="steps" value=${field("step")} placeholder="any" onChange=${(event) => change("step", event.target.value)} />
      <button type="button" class="small outline" aria-label="later step" onClick=${() => change("step", neighbour(steps, field("step"), 1))}>›</button></span></div>` : ""}
    ${select("environment", "environment", counted(answer?.environments))}
    ${select("success", "success", [["yes", "success"], ["no", "failure"], ["undefined", "undefined"]])}
    ${select("stop", "ended by", counted(answer?.stops))}
    ${input("least", "reward from", "number")}${input("most", "to", "number")}
    ${exported ? "" : input("text", "text in messages", "search")}
    ${select("error", "error", [["*", "any error"], ...counted(answer?.errors)])}
    ${select("sort", "sort by", [["reward", "reward, lowest first"], ["-reward", "reward, highest first"], ["-turns", "most turns first"]], "place in the file")}
    <button type="reset" class="outline small" onClick=${() => { location.hash = location.hash.split("?")[0] + "?step="; }}>clear</button>
  </form>`;
}

function neighbour(steps, step, way) {
  const at = steps.indexOf(Number(step));
  if (at < 0) return steps.at(way < 0 ? -1 : 0) ?? "";
  return steps[Math.min(steps.length - 1, Math.max(0, at + way))];
}

function Table({ kind, source, answer, words, change }) {
  const labels = [...new Set(answer.rows.flatMap((row) => Object.keys(row.parts)))].slice(0, 8);
  const more = answer.first + answer.rows.length < answer.total;
  const indexing = answer.indexed < answer.known ? ` (${number(answer.indexed)} of ${number(answer.known)} trajectories are counted in the form so far)` : "";
  return html`
    <p role="status">${number(answer.total)} trajectories${answer.complete ? "" : " found so far; narrow the filter to see all"}${indexing}</p>
    ${answer.damages.length ? html`<details><summary>${answer.damages.length} could not be read</summary><ul>${answer.damages.map((line) => html`<li>${line}</li>`)}</ul></details>` : ""}
    ${answer.rows.length ? "" : html`<p>No trajectory passes the filter.</p>`}
    <div class="table" hidden=${!answer.rows.length} tabindex="0" role="group" aria-label="table"><table class="trajectories">
      <thead><tr><th scope="col">trajectory</th><th scope="col">task</th>${kind === "run" ? html`<th scope="col">step</th>` : ""}<th scope="col">reward</th>
        ${labels.map((label) => html`<th scope="col">${label}</th>`)}
        <th scope="col">result</th><th scope="col">ended by</th><th scope="col">turns</th><th scope="col">environment</th><th scope="col">last reply</th></tr>
        ${answer.means ? html`<tr><th scope="row">mean</th><td></td>${kind === "run" ? html`<td></td>` : ""}<th>${number(answer.means.total)}</th>
          ${labels.map((label) => html`<th>${number(answer.means.parts[label])}</th>`)}<th>${percent(answer.means.success)}</th><td></td><th>${number(answer.means.turns)}</th><td></td><td></td></tr>` : ""}</thead>
      <tbody>${answer.rows.map((row) => html`<tr key=${`${row.step} ${row.group} ${row.attempt}`}>
        <td><a href=${link([kind, source, "trajectory", String(row.group), String(row.attempt)], Object.fromEntries(words))}>${row.group}/${row.attempt}</a></td>
        <td class="asked" title=${row.asked}>${row.asked || row.task}</td>
        ${kind === "run" ? html`<td>${row.step}</td>` : ""}
        <td>${number(row.total)}</td>
        ${labels.map((label) => html`<td>${number(row.parts[label])}</td>`)}
        <td><${Success} value=${row.success} /></td><td>${row.stop}</td><td>${row.turns}</td><td>${row.environment}</td>
        <td class="long" title=${row.reply}>${row.error ? html`<strong class="error">${row.error.slice(0, 100)}</strong> ` : ""}${row.reply}</td></tr>`)}
      </tbody></table></div>
    <p class="pages">
      ${answer.first ? html`<button class="outline small" onClick=${() => change("first", String(Math.max(0, answer.first - LISTED)))}>earlier ones</button>` : ""}
      ${more ? html`<button class="outline small" onClick=${() => change("first", String(answer.first + LISTED))}>further ones</button>` : ""}</p>`;
}
