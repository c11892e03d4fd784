// A conversation as chat: tools, images, and reasoning folded away.

import { html } from "./dom.js";

const THINKING = /^([\s\S]*?)<\/think>/;

export function Conversation({ messages }) {
  return html`<ol class="chat">${messages.map((message, place) => html`<${Message} key=${place} message=${message} />`)}</ol>`;
}

function Message({ message }) {
  const policy = message.role === "assistant" && !message.given;
  const note = message.untrained ? "not trained" : message.given ? "an example, not sampled" : message.role === "tool" ? [message.name, message.error ? "failed" : ""].filter(Boolean).join(", ") : "";
  return html`<li class=${`message ${message.role}`} data-policy=${policy}>
    <header><strong>${message.role}</strong> <small>${note}</small></header>
    ${policy ? html`<${Reply} text=${message.content} />` : html`<${Text} text=${message.content} />`}
    ${(message.images ?? []).map((url) => html`<${Picture} url=${url} />`)}
    ${(message.tool_calls ?? []).map((call) => html`<${Call} call=${call} />`)}
  </li>`;
}

// Long texts are folded, so that a page of them stays readable.
export function Text({ text }) {
  if (text.length < 6000) return html`<div class="text">${text}</div>`;
  return html`<div class="text">${text.slice(0, 3000)}</div>
    <details><summary>${(text.length - 3000).toLocaleString("en")} more characters</summary><div class="text">${text.slice(3000)}</div></details>`;
}

function Reply({ text }) {
  const found = THINKING.exec(text);
  if (!found) return html`<${Text} text=${text || "(empty)"} />`;
  const thought = found[1].replace(/^\s*<think>/, "").trim();
  return html`<details class="thinking"><summary>reasoning, ${thought.length.toLocaleString("en")} characters</summary><${Text} text=${thought} /></details>
    <${Text} text=${text.slice(found[0].length).trim() || "(nothing after the reasoning)"} />`;
}

// Pictures inside the trajectory are shown; others would be loaded from elsewhere, and only their address is shown.
function Picture({ url }) {
  return /^data:image\/(png|jpeg|gif|webp);/.test(url) ? html`<img src=${url} alt="image of this message" />` : html`<p><small>image: ${url.slice(0, 200)}</small></p>`;
}

function Call({ call }) {
  const asked = call.function ?? call;
  const given = typeof asked.arguments === "string" ? asked.arguments : JSON.stringify(asked.arguments, null, 1);
  return html`<div class="call"><strong>calls ${asked.name}</strong><pre tabindex="0">${given}</pre></div>`;
}
