// The tokens of a segment, coloured by a number that each of them has.

import { html, number, useState } from "./dom.js";

const COLOURINGS = {
  training: "what is trained",
  sampler: "logprob when sampled",
  advantages: "advantage",
  entropies: "entropy",
  difference: "trainer against sampler",
  versions: "weights version",
};

let lastColouring = "training"; // so that the next attempt has the same colours

export function Segments({ segments }) {
  const [wanted, setWanted] = useState(lastColouring);
  const offered = Object.keys(COLOURINGS).filter((name) => name === "training" || segments.some((segment) => values(segment, name).some((value) => value !== null)));
  const colouring = offered.includes(wanted) ? wanted : "training";
  return html`<section aria-labelledby="tokens">
    <div class="bar"><h2 id="tokens">Tokens</h2>
      <label>colour by <select value=${colouring} onChange=${(event) => { lastColouring = event.target.value; setWanted(lastColouring); }}>
        ${offered.map((name) => html`<option value=${name} selected=${name === colouring}>${COLOURINGS[name]}</option>`)}</select></label></div>
    ${segments.map((segment, place) => html`<${Segment} key=${place} segment=${segment} place=${place} colouring=${colouring} />`)}
  </section>`;
}

function Segment({ segment, place, colouring }) {
  const [table, setTable] = useState(false);
  const sampled = segment.sampled.filter(Boolean).length;
  const trained = segment.trained.filter(Boolean).length;
  const branch = segment.branch ? `; it begins like segment ${segment.branch.segment}, for ${segment.branch.token} tokens` : "";
  const [from, setFrom] = useState(folded(segment));
  const shown = values(segment, colouring);
  const most = Math.max(1e-6, ...shown.map((value) => Math.abs(value ?? 0)));
  return html`<article class="segment" data-depth=${segment.branch ? 1 : 0}>
    <h3>Segment ${place} of ${segment.agent}</h3>
    <p><small>${number(segment.ids.length)} tokens, ${sampled} sampled, ${trained} trained${segment.trainable ? "" : "; not trainable"}${branch}</small></p>
    ${from ? html`<p><button class="outline small" onClick=${() => setFrom(0)}>show the ${number(from)} tokens before</button></p>` : ""}
    <p class="tokens" tabindex="0" aria-label=${`tokens of segment ${place}`}>${segment.ids.map((id, at) => at >= from && html`<${Token} key=${at} segment=${segment} at=${at} value=${shown[at]} most=${most} colouring=${colouring} />`)}</p>
    <${Legend} colouring=${colouring} most=${most} shown=${shown} />
    <details onToggle=${(event) => setTable(event.target.open)}><summary>as a table</summary>${table ? html`<${TokenTable} segment=${segment} />` : ""}</details>
  </article>`;
}

// How many tokens at the beginning are not shown at first: most of a long prompt, or of what a branch shares.
function folded(segment) {
  const sampled = segment.sampled.indexOf(true);
  const from = Math.max(segment.branch?.token ?? 0, sampled) - 50;
  return from > 200 ? from : 0;
}

function values(segment, name) {
  if (name === "difference") {
    return segment.ids.map((_, at) => (segment.trainer?.[at] == null || segment.sampler[at] == null ? null : segment.trainer[at] - segment.sampler[at]));
  }
  return segment[name] ?? segment.ids.map(() => null);
}

function Token({ segment, at, value, most, colouring }) {
  const text = segment.texts ? segment.texts[at] : `${segment.ids[at]} `;
  const kind = segment.trained[at] ? "trained" : segment.sampled[at] ? "sampled" : "context";
  return html`<span class=${`token ${kind}`} style=${{ backgroundColor: background(value, most, colouring) }} title=${described(segment, at)}>${visible(text)}</span>`;
}

// Line ends and tabs are shown as signs, with the line end kept.
function visible(text) {
  return text.replace(/\n/g, "⏎\n").replace(/\t/g, "⇥");
}

function background(value, most, colouring) {
  if (value === null || value === undefined || colouring === "training") return "";
  if (colouring === "versions") return `hsl(${(value * 67) % 360} 70% 50% / 0.3)`;
  const strength = Math.min(1, Math.abs(value) / most) * 0.6;
  const positive = colouring === "sampler" || colouring === "entropies" ? false : value > 0;
  return positive ? `rgb(46 139 87 / ${strength})` : `rgb(217 115 26 / ${strength})`;
}

function Legend({ colouring, most, shown }) {
  const versions = [...new Set(shown.filter((value) => value !== null))];
  const text = {
    training: "Underlined tokens were trained, dotted ones sampled and not trained, grey ones are context.",
    sampler: `The stronger the colour, the less likely the token was; the strongest is a logprob of ${number(-most)}.`,
    advantages: `Green tokens were made more likely, orange ones less likely; the strongest has an advantage of ±${number(most)}.`,
    entropies: `The stronger the colour, the less sure the trainer's policy was of the token; the strongest has ${number(most)} nats.`,
    difference: `Green: the trainer gives the token a higher logprob than the sampler did, orange: a lower one; at most ${number(most)}.`,
    versions: `Each colour is a version of the weights: ${versions.join(", ")}.`,
  }[colouring];
  return html`<p><small>${text}</small></p>`;
}

function described(segment, at) {
  const parts = [`place ${at}`, `id ${segment.ids[at]}`];
  const add = (label, value) => { if (value !== null && value !== undefined) parts.push(`${label} ${number(value)}`); };
  add("sampler's logprob", segment.sampler?.[at]);
  add("trainer's logprob", segment.trainer?.[at]);
  add("entropy", segment.entropies?.[at]);
  add("advantage", segment.advantages?.[at]);
  add("version", segment.versions[at]);
  if (segment.forced?.[at]) parts.push("forced");
  parts.push(segment.trained[at] ? "trained" : segment.sampled[at] ? "sampled, not trained" : "context");
  return parts.join(", ");
}

function TokenTable({ segment }) {
  return html`<div class="table" tabindex="0" role="group" aria-label="table"><table>
    <thead><tr>${["place", "id", "text", "kind", "sampler", "trainer", "entropy", "advantage", "version"].map((name) => html`<th scope="col">${name}</th>`)}</tr></thead>
    <tbody>${segment.ids.map((id, at) => html`<tr key=${at}><td>${at}</td><td>${id}</td><td><code>${segment.texts ? JSON.stringify(segment.texts[at]) : ""}</code></td>
      <td>${segment.forced?.[at] ? "forced, " : ""}${segment.trained[at] ? "trained" : segment.sampled[at] ? "sampled" : "context"}</td>
      <td>${number(segment.sampler?.[at])}</td><td>${number(segment.trainer?.[at])}</td><td>${number(segment.entropies?.[at])}</td><td>${number(segment.advantages?.[at])}</td><td>${number(segment.versions[at])}</td></tr>`)}
    </tbody></table></div>`;
}
