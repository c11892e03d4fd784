// A chart of curves over steps, with alerts marked on it; drawn by uPlot.

import { html, number, useEffect, useRef, useState } from "./dom.js";

const COLOURS = ["#1f6fb4", "#d9731a", "#2e8b57", "#a0439c", "#b8860b", "#c0392b", "#3f8f9f", "#7a6b5d"];

export function colour(place) {
  return COLOURS[place % COLOURS.length];
}

// Curves: [{label, steps, values}]. Marks: [{step, text}]. `onPick(step)` is called for a click on the chart.
export function Chart({ title, curves, marks = [], onPick, stacked = false, unit = "" }) {
  const place = useRef(null);
  const zoom = useRef(null);
  const [theme, setTheme] = useState(0);
  useEffect(() => {
    const redraw = () => setTheme((count) => count + 1);
    addEventListener("themechange", redraw);
    return () => removeEventListener("themechange", redraw);
  }, []);
  const shown = curves.filter((curve) => curve.values.some((value) => value !== null));
  const points = shown.reduce((sum, curve) => sum + curve.values.length, 0);
  const drawn = `${theme} ${points} ${shown.map((curve) => curve.label)} ${shown.map((curve) => curve.values.at(-1))}`;
  useEffect(() => {
    if (!place.current || !shown.length) return undefined;
    const plot = draw(place.current, stacked ? stack(shown) : shown, marks, onPick, stacked);
    if (zoom.current) plot.setScale("x", zoom.current);
    const target = place.current;
    const watch = new ResizeObserver(() => plot.setSize(size(target)));
    watch.observe(target);
    return () => { zoom.current = zoomed(plot); watch.disconnect(); plot.destroy(); };
  }, [drawn]);
  if (!shown.length) return null;
  return html`<figure class="chart">
    <figcaption><h3>${title}</h3>${unit ? html`<small>${unit}</small>` : ""}</figcaption>
    <div ref=${place} role="img" aria-label=${spoken(title, shown)}></div>
  </figure>`;
}

// The charts of a page share one cursor: what is under it in one chart, all of them name.
const SHARED = { key: "steps", scales: ["x", null] };

// Distances between the marks of the horizontal axis: 1, 2, 5, 10 and so on, because there are no halves of steps.
const WHOLE = Array.from({ length: 24 }, (_, place) => [1, 2, 5][place % 3] * 10 ** Math.floor(place / 3));

function draw(target, curves, marks, onPick, filled) {
  const axis = { stroke: themed(target, "--muted-foreground"), grid: { stroke: themed(target, "--border"), width: 0.5 }, ticks: { show: false } };
  const series = curves.map((curve, position) => {
    const stroke = colour(curve.colour ?? position);
    const known = curve.values.filter((value) => value !== null).length;
    return {
      label: curve.label, stroke, width: curve.wide ? 3 : 1.5, spanGaps: true, fill: filled ? stroke : undefined,
      points: { show: known < 60 && !filled, size: 4 },
      value: (_, value, __, row) => number(curve.own && row !== null ? curve.own[row] : value),
    };
  });
  const options = {
    ...size(target),
    scales: { x: { time: false }, y: { range: (_, low, high) => span(low, high) } },
    axes: [{ ...axis, size: 30, incrs: WHOLE }, { ...axis, size: 60, values: (_, ticks) => ticks.map(number) }],
    series: [{ label: "step" }, ...series],
    cursor: { drag: { x: true, y: false }, focus: { prox: 20 }, sync: SHARED },
    legend: { live: true },
    hooks: { draw: [(plot) => drawMarks(plot, marks)], ready: [showLast], setCursor: [(plot) => { if (plot.cursor.left < 0) showLast(plot); }] },
  };
  const plot = new window.uPlot(options, join(curves), target);
  if (onPick) {
    let down = 0;
    let waiting = 0;
    plot.over.addEventListener("mousedown", (event) => { down = event.clientX; });
    plot.over.addEventListener("click", (event) => {
      const step = plot.data[0][plot.cursor.idx];
      clearTimeout(waiting);
      if (step > 0 && event.detail < 2 && Math.abs(event.clientX - down) < 4) waiting = setTimeout(() => onPick(step), 300); // unless it becomes a double click
    });
    plot.over.addEventListener("dblclick", () => clearTimeout(waiting));
  }
  return plot;
}

// Without a pointer, the legend has the last values.
function showLast(plot) {
  const rows = plot.data[0].length;
  const last = plot.data.map((values) => { let row = rows - 1; while (row > 0 && values[row] == null) row--; return row; });
  if (rows) plot.setLegend({ idxs: last }, false);
}

// The values that the vertical axis shows.
function span(low, high) {
  if (low === null) return [0, 1];
  return low === high ? [Math.min(0, 2 * low), Math.max(0, 2 * high) || 1] : window.uPlot.rangeNum(low, high, 0.1, true);
}

// The part of the steps that somebody zoomed to, which new values must not undo; null for all.
function zoomed(plot) {
  const { min, max } = plot.scales.x;
  const steps = plot.data[0];
  return min > steps[0] || max < steps.at(-1) ? { min, max } : null;
}

// A colour of the theme, as a canvas takes it.
function themed(target, name) {
  const probe = document.createElement("span");
  probe.style.color = `var(${name})`;
  target.append(probe);
  const found = getComputedStyle(probe).color;
  probe.remove();
  return found;
}

function size(target) {
  return { width: Math.max(240, target.clientWidth), height: 190 };
}

// One column of steps for all curves; a curve has null where it lacks a step.
function join(curves) {
  const tables = curves.map((curve) => [curve.steps, curve.values]);
  return tables.length === 1 ? tables[0] : window.uPlot.join(tables);
}

// Curves over the same steps, each on top of those before it; the topmost comes first, so that all can be seen.
function stack(curves) {
  const sums = curves[0].steps.map(() => 0);
  const layers = curves.map((curve, position) => ({
    ...curve, colour: position, own: curve.values, values: curve.values.map((value, row) => (sums[row] += value ?? 0)),
  }));
  return layers.reverse();
}

function drawMarks(plot, marks) {
  const { ctx, bbox } = plot;
  ctx.save();
  ctx.strokeStyle = "#c0392b";
  ctx.setLineDash([4, 4]);
  for (const mark of marks) {
    const x = plot.valToPos(mark.step, "x", true);
    if (x < bbox.left || x > bbox.left + bbox.width) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
  }
  ctx.restore();
}

// What a screen reader says of a chart.
function spoken(title, curves) {
  const parts = curves.slice(0, 6).map((curve) => {
    const values = curve.values.filter((value) => value !== null);
    const low = values.reduce((least, value) => Math.min(least, value), Infinity);
    const high = values.reduce((most, value) => Math.max(most, value), -Infinity);
    return `${curve.label}: from ${number(values[0])} to ${number(values.at(-1))}, between ${number(low)} and ${number(high)}`;
  });
  return `${title}. ${parts.join("; ")}`;
}
