// One trajectory: its conversation beside its rewards, then its tokens; and the attempts of a group side by side.

import { exported, link, useAnswer } from "./api.js";
import { Conversation, Text } from "./conversation.js";
import { html, number, useEffect } from "./dom.js";
import { Failure, Success, Title } from "./parts.js";
import { Segments } from "./tokens.js";

export function Trajectory({ kind, source, group, attempt, query }) {
  const { answer, error } = useAnswer(`${source}/trajectories/${group}/${attempt}`);
  const given = Object.fromEntries(query);
  const address = (place, number_) => link([kind, source, "trajectory", String(place), String(number_)], given);
  useEffect(() => {
    const pressed = (event) => {
      if (!answer || event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
      const near = event.key === "k" ? answer.groups[0] : event.key === "j" ? answer.groups[1] : null;
      if (near !== null && !exported) location.hash = address(near, 0);
      const at = answer.siblings.findIndex((row) => row.attempt === answer.attempt);
      const next = event.key === "ArrowRight" || event.key === "l" ? at + 1 : event.key === "ArrowLeft" || event.key === "h" ? at - 1 : -1;
      if (answer.siblings[next]) location.hash = address(group, answer.siblings[next].attempt);
    };
    addEventListener("keydown", pressed);
    return () => removeEventListener("keydown", pressed);
  });
  if (!answer) return html`<${Failure} error=${error} />`;
  const agents = Object.keys(answer.messages);
  const wanted = answer.task.answer;
  const expected = wanted === null || wanted === "" ? "" : (typeof wanted === "string" ? wanted : JSON.stringify(wanted)).slice(0, 200);
  return html`
    <${Title}>Trajectory ${group}/${attempt}<//>
    <p>${kind === "run" ? html`<a href=${link([kind, source, "rows"], { ...given, step: given.step ?? answer.step })}>step ${answer.step}</a>, ` : ""}
      ${answer.environment || "environment"}, task <code>${answer.task.id}</code>, ended by <strong>${answer.stop}</strong>${expected ? html`; the expected answer is <code>${expected}</code>` : ""}</p>
    ${answer.error ? html`<div role="alert" data-variant="error"><${Text} text=${answer.error} /></div>` : ""}
    <nav aria-label="attempts of this group" class="attempts">
      ${answer.siblings.map((row) => html`<a key=${`${row.step} ${row.attempt}`} href=${address(group, row.attempt)} aria-current=${row.attempt === answer.attempt ? "page" : null}
        data-success=${String(row.success)}>attempt ${row.attempt}: ${number(row.total)}</a>`)}
      <a href=${link([kind, source, "group", String(group)], given)}>side by side</a>
      ${exported ? "" : [["earlier", answer.groups[0]], ["later", answer.groups[1]]].map(([which, place]) => (place === null ? "" : html`<a key=${which} href=${address(place, 0)}>${which} group</a>`))}
      ${answer.segments.length ? html`<button class="outline small" onClick=${() => document.getElementById("tokens").scrollIntoView()}>to the tokens</button>` : ""}
      <small>← and → go from attempt to attempt${exported ? "" : ", k and j from group to group"}</small></nav>
    <div class="columns wide">
      <section aria-labelledby="said"><h2 id="said">Conversation</h2>
        ${agents.map((agent) => html`<div key=${agent}>${agents.length > 1 ? html`<h3>${agent}</h3>` : ""}<${Conversation} messages=${answer.messages[agent]} /></div>`)}</section>
      <section aria-labelledby="earned"><h2 id="earned">Rewards</h2>
        ${Object.entries(answer.rewards).map(([agent, reward]) => html`<${Reward} key=${agent} agent=${agent} reward=${reward} several=${Object.keys(answer.rewards).length > 1} />`)}
        <${Rest} answer=${answer} /></section>
    </div>
    ${answer.segments.length ? html`<${Segments} segments=${answer.segments} />` : html`<p><small>No tokens were kept: the model answered behind a URL.</small></p>`}`;
}

function Reward({ agent, reward, several }) {
  return html`<div class="reward">
    <p>${several ? html`<strong>${agent}</strong> ` : ""}<span class="total">${number(reward.total)}</span> <${Success} value=${reward.success} /></p>
    ${reward.gate ? html`<p>The gate <code>${reward.gate}</code> was not passed, so no other reward counts.</p>` : ""}
    <div class="table" tabindex="0" role="group" aria-label="table"><table><thead><tr><th scope="col">reward</th><th scope="col">score</th><th scope="col">weight</th><th scope="col">adds</th><th scope="col">status and reason</th></tr></thead>
      <tbody>${reward.parts.map((part) => html`<tr key=${part.label}><th scope="row">${part.label}</th><td>${number(part.score)}</td><td>${number(part.weight)}</td><td>${number(part.adds)}</td>
        <td class="reason"><span class="badge" data-variant=${part.status === "ok" ? "success" : part.status === "infra_error" ? "danger" : "warning"}>${part.status}</span> ${part.reason}
          ${part.steps.length ? html`<br /><small>by turn: ${part.steps.map(number).join(", ")}</small>` : ""}
          ${Object.keys(part.evidence).length ? html`<details><summary>evidence</summary><pre tabindex="0">${JSON.stringify(part.evidence, null, 1)}</pre></details>` : ""}</td></tr>`)}</tbody></table></div>
    ${reward.skipped.length ? html`<p><small>not judged: ${reward.skipped.join(", ")}</small></p>` : ""}</div>`;
}

function Rest({ answer }) {
  const folded = (title, value) => (Object.keys(value ?? {}).length
    ? html`<details><summary>${title}</summary><pre tabindex="0">${JSON.stringify(value, null, 1)}</pre></details>` : "");
  const { prompt, ...task } = answer.task;
  return html`${folded("task and expected answer", task)}${folded("metrics", answer.metrics)}${folded("timings in seconds", answer.timings)}${folded("artifacts", answer.artifacts)}`;
}

export function Group({ kind, source, group, query }) {
  const { answer, error } = useAnswer(`${source}/groups/${group}`);
  if (!answer) return html`<${Failure} error=${error} />`;
  const first = answer.attempts[0];
  const given = Object.fromEntries(query);
  const shared = Object.fromEntries(Object.entries(first.messages).map(([agent, messages]) => [agent, prompted(messages)]));
  return html`
    <${Title}>Group ${group}<//>
    <p>${first.environment}, task <code>${first.task.id}</code>, ${answer.attempts.length} attempts</p>
    <details open><summary>prompt</summary>${Object.entries(shared).map(([agent, count]) => html`<${Conversation} key=${agent} messages=${first.messages[agent].slice(0, count)} />`)}</details>
    <div class="attempts-grid">${answer.attempts.map((made) => html`<article key=${made.attempt} class="card">
      <h2><a href=${link([kind, source, "trajectory", String(group), String(made.attempt)], given)}>attempt ${made.attempt}</a></h2>
      ${Object.entries(made.rewards).map(([agent, reward]) => html`<p key=${agent}><span class="total">${number(reward.total)}</span> <${Success} value=${reward.success} />
        <small>${reward.parts.map((part) => `${part.label} ${number(part.score)}`).join(", ")}</small></p>`)}
      ${Object.entries(made.messages).map(([agent, messages]) => html`<${Conversation} key=${agent} messages=${messages.slice(prompted(messages))} />`)}
    </article>`)}</div>`;
}

// How many messages come before the first reply.
function prompted(messages) {
  const at = messages.findIndex((message) => message.role === "assistant" && !message.given);
  return at < 0 ? messages.length : at;
}
