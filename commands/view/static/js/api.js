// Answers of the server, or of the data inside an exported file; and the addresses of the page's views.

import { useEffect, useState } from "./dom.js";

const carried = document.getElementById("data");
export const exported = carried ? JSON.parse(carried.textContent) : null;

// Fetch an answer. Errors carry a text for people.
export async function get(path) {
  if (exported) {
    const found = fromExport(path);
    if (found === undefined) throw new Error("This exported file does not hold that part of the run.");
    return found;
  }
  let response;
  try {
    response = await fetch(`api/${path}`);
  } catch {
    throw new Error("The viewer does not answer. Start it again with `lachesis view`.");
  }
  const answer = await response.json().catch(() => ({ error: `The viewer answered with status ${response.status}.` }));
  if (!response.ok) throw new Error(answer.error);
  return answer;
}

function fromExport(path) {
  const [place, words] = path.split("?");
  if (!place.endsWith("/rows")) return exported[place];
  const all = exported[place];
  if (!all) return undefined;
  const query = new URLSearchParams(words);
  const rows = all.rows.filter((row) => ["step", "group", "environment", "stop", "task", "error"].every(
    (name) => !query.get(name) || String(row[name]) === query.get(name) || (query.get(name) === "*" && row[name])));
  return { ...all, rows, total: rows.length };
}

// The answer to a path, fetched again every `every` milliseconds while the page is visible; 0 for once.
export function useAnswer(path, every = 0) {
  const [state, setState] = useState({ path: null, answer: null, error: null });
  useEffect(() => {
    let gone = false;
    let timer = 0;
    const load = async () => {
      if (!document.hidden || !every) {
        try {
          const answer = await get(path);
          if (!gone) setState({ path, answer, error: null });
        } catch (error) {
          if (!gone) setState((old) => ({ path, answer: old.path === path ? old.answer : null, error: error.message }));
        }
      }
      if (every && !gone && !exported) timer = setTimeout(load, every);
    };
    load();
    return () => { gone = true; clearTimeout(timer); };
  }, [path, every]);
  return state.path === path ? state : { path, answer: null, error: null };
}

// Where the page is: the parts of the path after `#`, and the query.
export function readRoute() {
  const [path, words] = location.hash.replace(/^#\/?/, "").split("?");
  return { parts: path.split("/").filter(Boolean).map(decodeURIComponent), query: new URLSearchParams(words || "") };
}

// The address of a view; empty values of the query are left out.
export function link(parts, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== "" && value !== null && value !== undefined);
  const words = new URLSearchParams(given).toString();
  return `#/${parts.map(encodeURIComponent).join("/")}${words ? `?${words}` : ""}`;
}

export function useRoute() {
  const [route, setRoute] = useState(readRoute());
  useEffect(() => {
    const changed = () => setRoute(readRoute());
    addEventListener("hashchange", changed);
    return () => removeEventListener("hashchange", changed);
  }, []);
  return route;
}
