// The timeline of a run: what the trainer, the engines and the workers did in a few steps, and who waited for whom.

import { exported, link, useAnswer } from "./api.js";
import { html, number, percent } from "./dom.js";
import { Failure } from "./parts.js";

const WIDTH = 1000;
const NAMES = { waiting: "waiting for groups", weight_sync: "publication", busy: "busy", training: "playing groups" };

export function Timeline({ source, query }) {
  const first = query.get("first") ?? "";
  const last = query.get("last") ?? "";
  const words = new URLSearchParams(Object.entries({ first, last }).filter(([, value]) => value)).toString();
  const path = `${source}/timeline${words && !exported ? `?${words}` : ""}`;
  const { answer, error } = useAnswer(path, last ? 0 : 3000);
  if (!answer) return html`<${Failure} error=${error} />`;
  if (!answer.lanes.length) return html`<p>No step has ended yet, or the run was made by a version that kept no events.</p>`;
  return html`
    <${Failure} error=${error} />
    ${exported ? "" : html`<${Range} source=${source} answer=${answer} />`}
    <p>Steps ${answer.first} to ${answer.last}: ${number(answer.end - answer.begin)} s. ${verdict(answer)}</p>
    ${answer.cut ? html`<p role="alert" data-variant="warning">There is more than fits; choose fewer steps.</p>` : ""}
    <${Lanes} answer=${answer} />
    <${Marks} answer=${answer} />
    <${Shares} answer=${answer} />`;
}

function Range({ source, answer }) {
  const shown = answer.last - answer.first + 1;
  const [least, most] = answer.steps;
  const at = (first, last) => link(["run", source, "timeline"], { first: Math.max(least, first), last: Math.min(most, last) });
  const go = (event) => {
    event.preventDefault();
    const [first, last] = ["first", "last"].map((name) => Number(event.target.elements[name].value));
    location.hash = at(Math.min(first, last), Math.max(first, last));
  };
  return html`<form class="filters" onSubmit=${go} key=${`${answer.first} ${answer.last}`}>
    <label>from step <input name="first" type="number" min=${least} max=${most} value=${answer.first} /></label>
    <label>to step <input name="last" type="number" min=${least} max=${most} value=${answer.last} /></label>
    <button>Show</button>
    ${answer.first > least ? html`<a href=${at(answer.first - shown, answer.first - 1)}>earlier</a>` : ""}
    ${answer.last < most ? html`<a href=${at(answer.last + 1, answer.last + shown)}>later</a>` : ""}
    <a href=${link(["run", source, "timeline"])}>the last steps</a>
    <a href=${`api/${source}/trace?first=${answer.first}&last=${answer.last}`} download=${`trace-${answer.first}-${answer.last}.json`}>Chrome trace</a>
  </form>`;
}

function Lanes({ answer }) {
  const seconds = answer.end - answer.begin || 1;
  const x = (at) => (WIDTH * at) / seconds;
  return html`<div class="timeline">${answer.lanes.map((lane) => html`
    <div class="lane" key=${lane.name}><span>${lane.name}</span>
      <svg viewBox=${`0 0 ${WIDTH} 20`} preserveAspectRatio="none" role="img" aria-label=${`${lane.name}: ${spokenLane(lane, seconds)}`}>
        ${stacked(lane.spans).map(([begin, end, name, details, row, rows]) => html`<rect class=${`span-${name}`} x=${x(begin)}
          width=${Math.max(0.5, x(end) - x(begin))} y=${(20 * row) / rows} height=${20 / rows}><title>${titled(name)} ${details}, ${number(end - begin)} s</title></rect>`)}
        ${answer.published.map(([at, version]) => html`<line x1=${x(at)} x2=${x(at)} y1="0" y2="20"><title>weights version ${version}</title></line>`)}
        ${answer.marks.map(([at, text]) => html`<line class="fault" x1=${x(at)} x2=${x(at)} y1="0" y2="20"><title>${text}</title></line>`)}
      </svg></div>`)}
    <div class="lane" aria-hidden="true"><span></span><div class="scale">${[0, 0.25, 0.5, 0.75, 1].map((part) => html`<small>${number(part * seconds)} s</small>`)}</div></div>
  </div>
  <ul class="legend">${legend(answer).map((name) => html`<li key=${name}><svg viewBox="0 0 10 10" aria-hidden="true"><rect class=${`span-${name}`} width="10" height="10" /></svg> ${titled(name)}</li>`)}</ul>`;
}

// Spans that overlap, one below the other: each gets its row and the number of rows of its lane.
function stacked(spans) {
  const ends = [];
  const placed = [...spans].sort((one, other) => one[0] - other[0]).map((span) => {
    let row = ends.findIndex((end) => end <= span[0]);
    if (row < 0) row = ends.length;
    ends[row] = span[1];
    return [span, row];
  });
  return placed.map(([span, row]) => [...span, row, Math.max(1, ends.length)]);
}

function Marks({ answer }) {
  if (!answer.marks.length) return "";
  return html`<section aria-labelledby="marks"><h2 id="marks">What went wrong</h2>
    <ul>${answer.marks.slice(0, 50).map(([at, text]) => html`<li key=${at + text}>after ${number(at)} s: ${text}</li>`)}</ul></section>`;
}

// The seconds of each lane by what it did, as a table: what the picture shows, for everybody.
function Shares({ answer }) {
  const seconds = answer.end - answer.begin || 1;
  const rows = answer.lanes.flatMap((lane) => names(lane).map((name) => [lane.name, name, union(lane.spans.filter((span) => span[2] === name))]));
  return html`<div class="table" tabindex="0" role="group" aria-label="seconds by lane"><table>
    <thead><tr><th scope="col">who</th><th scope="col">what</th><th scope="col">seconds</th><th scope="col">share</th></tr></thead>
    <tbody>${rows.map(([lane, name, time]) => html`<tr key=${lane + name}><th scope="row">${lane}</th><td>${titled(name)}</td><td>${number(time)}</td><td>${percent(time / seconds)}</td></tr>`)}</tbody></table></div>`;
}

// Who waits for whom, in a sentence.
function verdict(answer) {
  const seconds = answer.end - answer.begin || 1;
  const trainer = answer.lanes.find((lane) => lane.name === "trainer");
  const waiting = trainer ? union(trainer.spans.filter((span) => span[2] === "waiting")) / seconds : 0;
  const engines = answer.lanes.filter((lane) => lane.name.startsWith("engine"));
  const busy = engines.map((lane) => union(lane.spans) / seconds);
  const mean = busy.length ? busy.reduce((sum, share) => sum + share, 0) / busy.length : 0;
  return `The trainer waited for groups ${percent(waiting)} of the time${busy.length ? `; the engines had requests ${percent(mean)} of it` : ""}.`;
}

// The seconds that spans cover together, where each moment counts once.
function union(spans) {
  let total = 0;
  let until = -Infinity;
  for (const [begin, end] of [...spans].sort((one, other) => one[0] - other[0])) {
    total += Math.max(0, end - Math.max(begin, until));
    until = Math.max(until, end);
  }
  return total;
}

function names(lane) {
  return [...new Set(lane.spans.map((span) => span[2]))];
}

function legend(answer) {
  return [...new Set(answer.lanes.flatMap(names))];
}

function titled(name) {
  return NAMES[name] ?? name.replaceAll("_", " ");
}

function spokenLane(lane, seconds) {
  return names(lane).map((name) => `${titled(name)} ${percent(union(lane.spans.filter((span) => span[2] === name)) / seconds)}`).join(", ");
}
