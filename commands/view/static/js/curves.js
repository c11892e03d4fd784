// The curves of one run or of several: which metrics share a chart, and the rows as they come.

import { get, exported } from "./api.js";
import { Chart } from "./chart.js";
import { html, useEffect, useRef, useState } from "./dom.js";

const TIMES = ["generation", "scoring", "update", "weight_sync", "evaluation", "warm_start"].map((name) => `time/${name}`);

// Charts in order, each with the metrics that it takes. Where runs are compared, each run has one curve in a chart: that
// of the metric `first`. A chart that is `rare` is left out while all its values are 0. The values of a `sparse` one are
// never averaged. With `absent`, a metric that a row lacks has this value if the row has another metric of the chart.
const CHARTS = [
  { title: "Held-out result", match: /^heldout\/(accuracy|reward)$/, sparse: true },
  { title: "Reward", match: /^reward\/(total|.+)$/, except: /^reward\/std$/ },
  { title: "Reward by environment", match: /^[^/]+\/reward\/total$/, byEnvironment: true },
  { title: "Held-out result by environment", match: /^heldout\/[^/]+\/(accuracy|reward)$/, sparse: true },
  { title: "Groups without variance", match: /^groups\/zero_variance$/, unit: "share of groups" },
  { title: "Groups that failed", match: /^groups\/failed$/, unit: "groups per step", rare: true },
  { title: "Reply length", match: /^tokens\/reply(_most)?$/, unit: "tokens" },
  { title: "Why episodes ended", match: /^stop\//, unit: "share of attempts", first: "stop/length", absent: 0 },
  { title: "Entropy", match: /^entropy$/, unit: "nats per token" },
  { title: "KL divergence", match: /^(reference_kl|mismatch_kl)$/, unit: "nats per token" },
  { title: "Clipped tokens", match: /^(clip_fraction|importance_masked)$/, unit: "share", rare: true },
  { title: "Loss", match: /^(loss|warm_start\/loss)$/ },
  { title: "Gradient norm", match: /^grad_norm$/ },
  { title: "Learning rate", match: /^lr$/ },
  { title: "Staleness", match: /^staleness$/, unit: "versions", rare: true },
  { title: "Speed", match: /^rate\/.*tokens_per_s$/, unit: "tokens per second" },
  { title: "Who waits", match: /^rate\/(trainer_waiting|engines_idle|workers_idle|publishing)$/, unit: "share of the step", absent: 0 },
  { title: "Age of tokens", match: /^staleness\/age_[1-9]/, unit: "share of the sampled tokens, by versions behind", absent: 0, rare: true },
  { title: "Age of groups", match: /^time\/group_(median|p90|most)$/, unit: "seconds from admission to the step" },
  { title: "Where the time goes", times: true, unit: "seconds per step, stacked" },
  { title: "Episodes", match: /^episode\//, first: "episode/turns" },
];

// The metrics that the charts show, of those that a run has.
export function shownNames(names) {
  const charts = chartsOf(names);
  return names.filter((name) => TIMES.includes(name) || charts.some((chart) => takes(chart, name)));
}

// The charts for a run's metrics: one more for the rewards of each environment, if there are several.
function chartsOf(names) {
  const environments = names.map((name) => /^([^/]+)\/reward\/total$/.exec(name)?.[1]).filter((name) => name && name !== "heldout");
  const own = environments.length < 2 ? [] : environments.slice(0, 12).map((name) => (
    { title: `Rewards of ${name}`, begins: `${name}/reward/`, except: /\/std$/, alone: true }));
  return CHARTS.flatMap((chart) => (chart.byEnvironment ? [chart, ...own] : [chart]));
}

function takes(chart, name) {
  const fits = chart.begins ? name.startsWith(chart.begins) : chart.match?.test(name);
  return Boolean(fits) && !chart.except?.test(name);
}

// The columns of a run, kept up to date while the run is alive.
export function useCurves(key, names) {
  const [state, setState] = useState(null);
  const kept = useRef(null);
  const wanted = names.join(",");
  useEffect(() => {
    let gone = false;
    let timer = 0;
    kept.current = null;
    const load = async () => {
      let alive = true;
      try {
        const since = kept.current?.rows ?? 0;
        const path = exported ? `${key}/curves` : `${key}/curves?names=${encodeURIComponent(wanted)}&since=${since}`;
        const answer = await get(path);
        alive = answer.alive;
        if (gone) return;
        if (kept.current && answer.generation !== kept.current.generation) {
          kept.current = null;
          timer = setTimeout(load, 0);
          return;
        }
        kept.current = append(kept.current, answer);
        setState(kept.current);
      } catch { /* the page's own state says that the viewer does not answer */ }
      if (!exported) timer = setTimeout(load, alive ? 2000 : 10000);
    };
    if (wanted) load();
    return () => { gone = true; clearTimeout(timer); };
  }, [key, wanted]);
  return state;
}

function append(before, answer) {
  if (!before) return answer;
  if (answer.rows === before.rows) return { ...answer, steps: before.steps, columns: before.columns };
  const columns = {};
  for (const [name, values] of Object.entries(answer.columns)) {
    columns[name] = (before.columns[name] ?? before.steps.map(() => null)).concat(values);
  }
  return { ...answer, steps: before.steps.concat(answer.steps), columns };
}

// Charts of one or several runs. Runs: [{name, curves}], where `curves` is what `useCurves` gave.
// Steps below 0 are the supervised warm start; without `warm` they are left out.
export function Charts({ runs, smooth, warm, onPick, marks = [] }) {
  const several = runs.length > 1;
  const names = [...new Set(runs.flatMap((run) => Object.keys(run.curves.columns)))].sort();
  const charts = chartsOf(names).map((chart) => {
    const lines = runs.flatMap((run) => linesOf(chart, run, several, smooth)).map((line) => known(line, warm));
    if (chart.rare && !lines.some((line) => line.values.some(Boolean))) return "";
    return html`<${Chart} key=${chart.title} title=${chart.title} curves=${lines} marks=${marks} onPick=${onPick}
      unit=${chart.unit} stacked=${Boolean(chart.times) && !several} />`;
  });
  return html`<div class="charts">${charts}</div>`;
}

function linesOf(chart, run, several, smooth) {
  const { steps, columns } = run.curves;
  const prefix = several ? `${run.name}: ` : "";
  if (several && (chart.times || chart.alone)) return [];
  if (chart.times) return times(steps, columns);
  const names = Object.keys(columns).filter((name) => takes(chart, name)).sort(totalFirst);
  const chosen = several ? [names.includes(chart.first) ? chart.first : names[0]].filter(Boolean) : names.slice(0, 12);
  return chosen.map((name) => {
    const values = chart.absent === undefined ? columns[name] : filled(columns, name, names, chart.absent);
    const label = prefix + (chart.begins ? name.slice(chart.begins.length) : name);
    const wide = !several && names.length > 1 && /(total|accuracy)$/.test(name); // it often lies under others
    return { label, steps, wide, values: smooth > 1 && !chart.sparse ? smoothed(values, smooth) : values };
  });
}

function filled(columns, name, names, absent) {
  return columns[name].map((value, row) => value ?? (names.some((other) => columns[other][row] !== null) ? absent : null));
}

// The part of a line that has values, so that a chart begins and ends where they do.
function known(line, warm) {
  const rows = line.steps.map((_, row) => row).filter((row) => line.values[row] !== null && (warm || line.steps[row] >= 0));
  return { ...line, steps: rows.map((row) => line.steps[row]), values: rows.map((row) => line.values[row]) };
}

function totalFirst(one, other) {
  return (one.endsWith("total") ? 0 : 1) - (other.endsWith("total") ? 0 : 1) || one.localeCompare(other);
}

// The metrics count seconds from the start of the run; the chart shows those of each step.
function times(steps, columns) {
  const rows = steps.map((_, row) => row).filter((row) => steps[row] >= 1);
  return TIMES.filter((name) => columns[name]).map((name) => {
    let before = steps.reduce((last, step, row) => (step < 1 ? columns[name][row] ?? last : last), 0);
    const values = rows.map((row) => {
      const value = columns[name][row];
      if (value === null) return 0;
      const spent = Math.max(0, value - before);
      before = value;
      return spent;
    });
    return { label: name.slice(5).replace("_", " "), steps: rows.map((row) => steps[row]), values };
  }).filter((line) => line.values.some((value) => value > 0));
}

// The mean of the last `width` known values.
function smoothed(values, width) {
  const last = [];
  return values.map((value) => {
    if (value === null) return null;
    last.push(value);
    if (last.length > width) last.shift();
    return last.reduce((sum, one) => sum + one, 0) / last.length;
  });
}
