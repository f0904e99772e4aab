// Elements, tables and charts. Text from outside is always set as text.

import { clock, count } from "/static/format.js";

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value === true) made.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : String(child))));
  return made;
}

const SVG = "http://www.w3.org/2000/svg";

export function spark(points, start, end, step) {
  const values = new Map(points);
  const all = [];
  for (let at = start; at < end; at += step) all.push(0);
  for (const [at, value] of values) all[Math.min(all.length - 1, Math.max(0, Math.round((at - start) / step)))] = value;
  const most = Math.max(...all, 1e-9);
  const wide = Math.max(all.length - 1, 1);
  const line = all.map((value, place) => `${place ? "L" : "M"}${((96 * place) / wide).toFixed(1)} ${(22 - (20 * value) / most).toFixed(1)}`);
  const drawn = document.createElementNS(SVG, "svg");
  drawn.setAttribute("class", "spark");
  drawn.setAttribute("viewBox", "0 0 96 24");
  drawn.setAttribute("aria-hidden", "true");
  const path = document.createElementNS(SVG, "path");
  path.setAttribute("d", line.join(""));
  drawn.append(path);
  return drawn;
}

// Puts rows into a table and keeps where the keyboard was.
export function table(target, caption, heads, rows, foot, none = "Nothing in this stretch of time") {
  const focused = target.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const head = element("thead", {}, element("tr", {}, ...heads.map((one) => element("th", { scope: "col" }, one))));
  const body = element("tbody");
  for (const row of rows) {
    const [first, ...rest] = row;
    body.append(element("tr", {}, element("th", { scope: "row" }, first), ...rest.map((cell) => (cell instanceof HTMLTableCellElement ? cell : element("td", {}, cell)))));
  }
  if (!rows.length) body.append(element("tr", {}, element("td", { class: "none", colspan: heads.length }, none)));
  const parts = [element("caption", { class: "sr" }, caption), head, body];
  if (foot && rows.length) parts.push(element("tfoot", {}, element("tr", {}, ...foot.map((cell, place) => element(place ? "td" : "th", place ? {} : { scope: "row" }, cell)))));
  target.replaceChildren(...parts);
  if (focused) target.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}

let library = null;

function plotly() {
  library ??= new Promise((done, failed) => {
    const script = element("script", { src: "/static/plotly.js" });
    script.onload = () => done(window.Plotly);
    script.onerror = failed;
    document.head.append(script);
  });
  return library;
}

const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

function layout(more = {}) {
  const axis = { gridcolor: style("--line"), zerolinecolor: style("--line"), linecolor: style("--line"), fixedrange: true, automargin: true };
  return {
    margin: { l: 8, r: 8, t: 6, b: 8, pad: 4 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: style("--mute") },
    hovermode: "x",
    hoverlabel: { bgcolor: style("--card"), bordercolor: style("--line"), font: { color: style("--text") } },
    showlegend: false,
    bargap: 0.15,
    ...more,
    xaxis: { ...axis, showgrid: false, ...more.xaxis },
    yaxis: { ...axis, rangemode: "tozero", nticks: 5, ...more.yaxis },
  };
}

const CONFIG = { displayModeBar: false, responsive: true, staticPlot: false };

// Local times as text, which is how the library takes a zone of ours.
function local(seconds, zone) {
  const shown = new Intl.DateTimeFormat("sv-SE", { dateStyle: "short", timeStyle: "medium", timeZone: zone });
  return shown.format(new Date(seconds * 1000));
}

export async function overTime(target, name, view, values, shown) {
  const x = view.points.map((point) => local(point[0], view.zone));
  const text = values.map((value, place) => `${clock(view.points[place][0], view.zone, view.step >= 86400 ? "day" : view.step >= 3600 ? "hour" : "minute")}<br><b>${value === null ? "–" : shown(value)}</b>`);
  const last = values.at(-1) ?? null;
  target.setAttribute("aria-label", `${name} over time, ${values.length} points; the last is ${last === null ? "unknown" : shown(last)}`);
  const library = await plotly();
  const line = { x, y: values, text, hoverinfo: "text", type: "scatter", mode: values.length < 3 ? "lines+markers" : "lines", fill: "tozeroy" };
  const drawn = { ...line, line: { color: style("--accent"), width: 2 }, fillcolor: faint(style("--accent"), 0.12) };
  const range = [local(view.start, view.zone), local(Math.min(view.end, view.now + view.step), view.zone)];
  // Of nothing but zeroes the library would draw fractions.
  const yaxis = values.some(Boolean) ? {} : { range: [0, 1], tickvals: [0] };
  await library.react(target, [drawn], layout({ yaxis, xaxis: { range, type: "date", tickangle: 0, nticks: Math.max(3, Math.round(target.clientWidth / 110)) } }), CONFIG);
}

function faint(hex, alpha) {
  const [r, g, b] = [1, 3, 5].map((place) => parseInt(hex.slice(place, place + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

export async function bySecond(target, view) {
  const names = ["Impressions", "Clicks", "Leads", "Conversions"];
  const colours = [faint(style("--accent"), 0.3), style("--accent"), style("--warn"), style("--good")];
  const sum = view.seconds.reduce((all, row) => all + row[1] + row[2] + row[3] + row[4], 0);
  target.setAttribute("aria-label", `${count(sum)} events in the last ${view.recent} minutes`);
  const library = await plotly();
  const traces = names.map((name, place) => ({
    type: "bar",
    name,
    x: view.seconds.map((row) => local(row[0], view.zone)),
    y: view.seconds.map((row) => row[place + 1]),
    marker: { color: colours[place] },
    hovertemplate: `%{y} ${name.toLowerCase()}<extra></extra>`,
  }));
  const range = [local(view.now - 60 * view.recent, view.zone), local(view.now, view.zone)];
  await library.react(target, traces, layout({ barmode: "stack", bargap: 0, xaxis: { range, type: "date", nticks: 4 }, yaxis: sum ? { nticks: 4 } : { range: [0, 1], tickvals: [0] } }), CONFIG);
}

export const heat = (n, most) => {
  const cell = element("td", {}, n ? count(n) : "");
  if (n) cell.style.backgroundColor = `color-mix(in srgb, var(--accent) ${Math.round(8 + (42 * n) / most)}%, transparent)`;
  return cell;
};
