// An evaluation: means with confidence intervals and its tasks; and two evaluations compared task by task.

import { link, useAnswer } from "./api.js";
import { html, number, percent, useState } from "./dom.js";
import { Failure, Tabs, Title } from "./parts.js";
import { Rows } from "./rows.js";

export function Eval({ source, view, query }) {
  const { answer, error } = useAnswer(source, 5000);
  if (!answer) return html`<${Failure} error=${error} />`;
  return html`
    <${Failure} error=${error} />
    <${Title}>${answer.name}<//>
    <p>${answer.environment} by <strong>${answer.model}</strong></p>
    <${Tabs} tabs=${[["", "Results"], ["rows", "Trajectories"]]} view=${view} address=${(name) => link(["eval", source, ...(name ? [name] : [])])} />
    ${view === "rows" ? html`<${Rows} kind="eval" source=${source} query=${query} />` : html`<${Results} found=${answer} />`}`;
}

function Results({ found }) {
  if (!found.tasks.length) return html`<p>The file has no attempt yet.</p>`;
  return html`
    <div class="columns"><section aria-labelledby="means"><h2 id="means">Means</h2>
      <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">reward</th><th scope="col">mean</th><th scope="col">95% confidence interval</th><th scope="col"><span class="unseen">drawn</span></th></tr></thead>
        <tbody>${found.means.map((mean) => html`<tr key=${mean.label}><th scope="row">${mean.label}</th><td>${number(mean.mean)}</td>
          <td>${mean.low === null ? "needs two tasks" : `${number(mean.low)} to ${number(mean.high)}`}</td><td><${Interval} mean=${mean} /></td></tr>`)}</tbody></table></div>
      <p><small>Attempts at one task count as one observation. ${found.scored} were scored, ${found.unscored} were not because of an infrastructure error.
        Ended by: ${Object.entries(found.stops).map(([stop, count]) => `${stop} ${count}`).join(", ")}.</small></p></section>
    <section aria-labelledby="asked"><h2 id="asked">How it was asked</h2><pre tabindex="0">${JSON.stringify(found.header, null, 1)}</pre></section></div>
    <${Tasks} found=${found} />`;
}

function Interval({ mean }) {
  if (mean.low === null || mean.low < -0.5 || mean.high > 1.5) return "";
  const at = (value) => 4 + 112 * Math.min(1, Math.max(0, value));
  return html`<svg class="interval" width="120" height="14" aria-hidden="true"><line x1="4" x2="116" y1="7" y2="7" /><line class="span" x1=${at(mean.low)} x2=${at(mean.high)} y1="7" y2="7" />
    <circle cx=${at(mean.mean)} cy="7" r="4" /></svg>`;
}

function Tasks({ found }) {
  const [order, setOrder] = useState("worst");
  const share = (task) => task.attempts.reduce((sum, one) => sum + (one.total ?? 0), 0) / task.attempts.length;
  const sorted = [...found.tasks].sort((one, other) => (order === "file" ? one.group - other.group : order === "worst" ? share(one) - share(other) : share(other) - share(one)));
  return html`<section aria-labelledby="tasks"><div class="bar"><h2 id="tasks">Tasks</h2>
    <label>order <select value=${order} onChange=${(event) => setOrder(event.target.value)}>
      <option value="worst">worst first</option><option value="best">best first</option><option value="file">as in the file</option></select></label></div>
    <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">task</th><th scope="col">question</th><th scope="col">mean reward</th><th scope="col">attempts</th><th scope="col">first reply</th></tr></thead>
      <tbody>${sorted.slice(0, 500).map((task) => html`<tr key=${task.group}>
        <td><a href=${link(["eval", found.key, "group", String(task.group)])}><code>${task.task}</code></a></td><td class="asked" title=${task.asked}>${task.asked}</td><td>${number(share(task))}</td>
        <td class="attempts">${task.attempts.map((one) => html`<a key=${one.attempt} data-success=${String(one.success)} title=${one.stop}
          href=${link(["eval", found.key, "trajectory", String(task.group), String(one.attempt)])}>${number(one.total)}</a>`)}</td>
        <td class="long">${task.reply}</td></tr>`)}</tbody></table></div>
    ${sorted.length > 500 ? html`<p><small>The first 500 of ${number(sorted.length)} tasks. The tab Trajectories has all.</small></p>` : ""}</section>`;
}

export function EvalComparison({ one, other }) {
  const { answer, error } = useAnswer(`compare/${one}/${other}`);
  if (!answer) return html`<${Failure} error=${error} />`;
  const found = answer.difference;
  const side = (source, told) => html`<a href=${link(["eval", source.key])}>${told}</a>`;
  const count = answer.tasks.length;
  return html`
    <${Title}>Comparison<//>
    <p>A is ${side(answer.one, answer.one.name)} (${answer.one.model}), B is ${side(answer.other, answer.other.name)} (${answer.other.model}).</p>
    <dl class="facts">
      <div><dt>B minus A, mean reward</dt><dd>${number(found.mean)}</dd></div>
      <div><dt>95% confidence interval</dt><dd>${found.low === null ? "needs two tasks" : `${number(found.low)} to ${number(found.high)}`}</dd></div>
      <div><dt>B won</dt><dd>${answer.won} (${percent(count ? answer.won / count : null)})</dd></div>
      <div><dt>B lost</dt><dd>${answer.lost} (${percent(count ? answer.lost / count : null)})</dd></div>
      <div><dt>tied</dt><dd>${answer.tied}</dd></div></dl>
    <p><small>${number(count)} tasks are in both. ${answer.only_one} are only in A and ${answer.only_other} only in B. The interval is paired: it is that of the tasks' differences.</small></p>
    <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">task</th><th scope="col">question</th><th scope="col">A</th><th scope="col">B</th><th scope="col">B minus A</th></tr></thead>
      <tbody>${answer.tasks.slice(0, 500).map((task) => html`<tr key=${task.task}><td><code>${task.task}</code></td><td class="asked" title=${task.one.asked}>${task.one.asked}</td>
        <td><a href=${link(["eval", answer.one.key, "group", String(task.one.group)])}>${number(task.one.total)}</a></td>
        <td><a href=${link(["eval", answer.other.key, "group", String(task.other.group)])}>${number(task.other.total)}</a></td>
        <td>${task.difference > 0 ? "▲ " : task.difference < 0 ? "▼ " : ""}${number(task.difference)}</td></tr>`)}</tbody></table></div>`;
}
