// Training rows: what was left out and why, and the rows as conversations or tokens.

import { exported, link, useAnswer } from "./api.js";
import { Conversation } from "./conversation.js";
import { html, number } from "./dom.js";
import { Failure, Title } from "./parts.js";
import { Segments } from "./tokens.js";

export function TrainingRows({ source, query }) {
  const first = Number(query.get("first")) || 0;
  const { answer, error } = useAnswer(source, 5000);
  if (!answer) return html`<${Failure} error=${error} />`;
  const left = Object.entries(answer.manifest.left_out ?? {});
  return html`
    <${Failure} error=${error} />
    <${Title}>${answer.name}<//>
    <dl class="facts">
      <div><dt>rows</dt><dd>${number(answer.rows)}</dd></div>
      <div><dt>kind</dt><dd>${answer.rows_are || "–"}</dd></div>
      <div><dt>tasks</dt><dd>${number(answer.manifest.tasks)}</dd></div>
      ${answer.manifest.tokens ? html`<div><dt>trained tokens</dt><dd>${number(answer.manifest.trained_tokens)} of ${number(answer.manifest.tokens)}</dd></div>` : ""}
    </dl>
    ${left.length ? html`<details open><summary>${number(left.reduce((sum, [, count]) => sum + count, 0))} conversations were left out</summary>
      <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">reason</th><th scope="col">conversations</th></tr></thead>
        <tbody>${left.map(([reason, count]) => html`<tr key=${reason}><th scope="row">${reason}</th><td>${number(count)}</td></tr>`)}</tbody></table></div></details>` : ""}
    ${Object.keys(answer.manifest).length ? html`<details><summary>manifest</summary><pre tabindex="0">${JSON.stringify(answer.manifest, null, 1)}</pre></details>` : ""}
    <${Sample} key=${first} source=${source} first=${first} />`;
}

function Sample({ source, first }) {
  const { answer, error } = useAnswer(`${source}/sample${first && !exported ? `?first=${first}` : ""}`);
  if (!answer) return html`<${Failure} error=${error} />`;
  const page = (place, text) => html`<a href=${link(["rows", source], { first: place || "" })}>${text}</a>`;
  const pages = html`<p class="pages">${answer.first ? page(Math.max(0, answer.first - answer.rows.length), "earlier rows") : ""} ${answer.more && !exported ? page(answer.first + answer.rows.length, "further rows") : ""}</p>`;
  return html`${answer.rows.map((row) => html`<${Row} key=${row.number} row=${row} />`)}${pages}`;
}

function Row({ row }) {
  const columns = Object.entries(row.conversations);
  const folded = (title, value) => (value && Object.keys(value).length
    ? html`<details><summary>${title}</summary><pre tabindex="0">${JSON.stringify(value, null, 1)}</pre></details>` : "");
  return html`<article class="card" aria-labelledby=${`row-${row.number}`}>
    <h2 id=${`row-${row.number}`}>Row ${number(row.number)} <small>${earned(row.metadata)}</small></h2>
    ${columns.filter(([name]) => name === "prompt" || name === "messages").map(([name, said]) => html`<${Conversation} key=${name} messages=${said} />`)}
    <div class="columns">${columns.filter(([name]) => name !== "prompt" && name !== "messages").map(([name, said]) => html`<section key=${name} aria-label=${name}><h3>${name}</h3><${Conversation} messages=${said} /></section>`)}</div>
    ${row.segments.length ? html`<${Segments} segments=${row.segments} />` : ""}
    ${folded("metadata", row.metadata)}${folded("tools", row.tools)}${folded("further columns", row.others)}</article>`;
}

// Where a row comes from, in a few words.
function earned(metadata) {
  if (!metadata) return "";
  if (Array.isArray(metadata)) return `${metadata.length} rows packed`;
  if (metadata.chosen) return `reward ${number(metadata.chosen.reward)} against ${number(metadata.rejected?.reward)}`;
  return `${metadata.environment ?? ""}, reward ${number(metadata.reward)}`;
}
