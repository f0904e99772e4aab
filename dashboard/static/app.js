// The page: its state is its URL, its numbers come by server-sent events.

import { bySecond, element, heat, overTime, spark, table } from "/static/draw.js";
import { clock, count, duration, each, money, share } from "/static/format.js";

const $ = (id) => document.getElementById(id);
const DIMENSIONS = ["campaign", "affiliate", "offer", "channel", "country", "device"];
const FILTERS = ["range", "from", "to", "tz", "bots", "currency", "model", "top", "metric", "recent", ...DIMENSIONS];
const NAMES = { campaign: "Campaign", affiliate: "Affiliate", offer: "Offer" };
const first = JSON.parse($("first").textContent);
let state = new URLSearchParams(location.search);
let view = null;
let choices = {};
let stream = null;
let away = 0;
// Between the server's clock and this one, in seconds.
let skew = 0;

function asked() {
  const wanted = new URLSearchParams();
  for (const name of FILTERS) if (state.get(name)) wanted.set(name, state.get(name));
  return wanted.toString();
}

function set(changes, remember = true) {
  for (const [name, value] of Object.entries(changes)) value ? state.set(name, value) : state.delete(name);
  const text = state.toString();
  history[remember ? "pushState" : "replaceState"](null, "", text ? `?${text}` : location.pathname);
  controls();
  listen();
}

// Filters -------------------------------------------------------------------------------------------------------------

function fill(select, values, chosen, all, name = (value) => value) {
  const known = chosen && !values.includes(chosen) ? [...values, chosen] : values;
  const signature = JSON.stringify([known, all]);
  if (select.dataset.known !== signature) {
    const made = known.map((value) => element("option", { value }, name(value)));
    select.replaceChildren(...(all ? [element("option", { value: "" }, all)] : []), ...made);
    select.dataset.known = signature;
  }
  select.value = chosen ?? "";
  select.classList.toggle("set", Boolean(all && chosen));
}

function controls() {
  const form = $("filters");
  const own = Boolean(state.get("from") || state.get("to"));
  form.range.value = own ? "own" : state.get("range") || "7d";
  for (const label of form.querySelectorAll(".own")) label.hidden = form.range.value !== "own";
  form.from.value = state.get("from") ?? "";
  form.to.value = state.get("to") ?? "";
  form.bots.checked = state.get("bots") === "1";
  for (const name of DIMENSIONS) fill(form[name], choices[name] ?? [], state.get(name), "All");
  fill(form.currency, view?.currencies ?? [], state.get("currency") || view?.currency || "", null);
  const zone = state.get("tz") || "UTC";
  const own_zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  const zones = new Set(["UTC", own_zone, "Europe/London", "Europe/Berlin", "America/New_York", "America/Los_Angeles", "America/Sao_Paulo", "Asia/Kolkata", "Asia/Singapore", "Asia/Tokyo", "Australia/Sydney"]);
  fill($("tz"), [...zones].filter(Boolean), zone, null);
  $("metric").value = state.get("metric") || "clicks";
  $("recent").value = state.get("recent") || "5";
  for (const button of document.querySelectorAll("[data-top]")) button.setAttribute("aria-pressed", String(button.dataset.top === (state.get("top") || "campaign")));
  for (const link of document.querySelectorAll(".csv")) link.href = `/export.csv?table=${link.dataset.table}&${asked()}`;
}

$("filters").addEventListener("submit", (event) => event.preventDefault());
$("filters").addEventListener("change", (event) => {
  const { name, value, checked, form } = event.target;
  if (name === "range" && value === "own") {
    const day = (ago) => new Date(Date.now() - ago * 864e5).toISOString().slice(0, 10);
    set({ from: day(6), to: day(0), range: null });
  } else if (name === "range") set({ range: value === "7d" ? null : value, from: null, to: null });
  else if (name === "bots") set({ bots: checked ? "1" : null });
  else if (name === "from" || name === "to") {
    if (form.from.value && form.to.value) set({ from: form.from.value, to: form.to.value });
  } else set({ [name]: value });
});
$("reset").addEventListener("click", () => set(Object.fromEntries(FILTERS.map((name) => [name, null]))));
$("tz").addEventListener("change", (event) => set({ tz: event.target.value === "UTC" ? null : event.target.value }));
$("metric").addEventListener("change", (event) => set({ metric: event.target.value === "clicks" ? null : event.target.value }));
$("recent").addEventListener("change", (event) => set({ recent: event.target.value === "5" ? null : event.target.value }));
$("model").addEventListener("change", (event) => set({ model: event.target.value === "last_click" ? null : event.target.value }));
for (const button of document.querySelectorAll("[data-top]")) button.addEventListener("click", () => set({ top: button.dataset.top === "campaign" ? null : button.dataset.top }));
addEventListener("popstate", () => {
  state = new URLSearchParams(location.search);
  controls();
  listen();
  journey();
});

// Numbers -------------------------------------------------------------------------------------------------------------

function funnel() {
  const { impressions, clicks, leads, conversions, revenue } = view.totals;
  const steps = [
    ["Impressions", count(impressions), "", impressions],
    ["Clicks", count(clicks), [share(clicks, impressions), "of impressions"], clicks],
    ["Leads", count(leads), [share(leads, clicks), "of clicks"], leads],
    ["Conversions", count(conversions), [share(conversions, clicks), "of clicks"], conversions],
    ["Revenue", money(revenue, view.currency), [each(revenue, clicks, view.currency), "per click"], null],
  ];
  const most = Math.max(impressions, clicks, leads, conversions, 1);
  const items = steps.map(([name, big, rate, level]) => {
    const told = element("span", { class: "rate" });
    if (rate) told.append(element("b", {}, rate[0]), ` ${rate[1]}`);
    const item = element("li", { "data-step": name.toLowerCase() }, element("span", { class: "name" }, name), element("span", { class: "big", title: big }, big), told);
    if (level !== null) {
      const bar = element("i");
      bar.style.width = `${level ? Math.max(1.5, (100 * level) / most) : 0}%`;
      item.append(element("span", { class: "level", "aria-hidden": "true" }, bar));
    }
    return item;
  });
  $("funnel").replaceChildren(...items);
  $("counted").textContent = view.credited ? `With a filter, conversions are those credited to these touches (${(state.get("model") || "last_click").replaceAll("_", " ")}).` : "";
}

const VALUES = {
  impressions: (row) => row[1], clicks: (row) => row[2], leads: (row) => row[3], conversions: (row) => row[4],
  revenue: (row) => row[5] / 1e6, payout: (row) => row[6] / 1e6,
  ctr: (row) => (row[1] ? row[2] / row[1] : null), cr: (row) => (row[2] ? row[4] / row[2] : null), epc: (row) => (row[2] ? row[5] / 1e6 / row[2] : null),
};

// One point per step, also where nothing happened. Days are not all of one length, so the nearest counts.
function filled() {
  const known = new Map(view.points.map((point) => [Math.round((point[0] - view.start) / view.step), point]));
  const points = [];
  for (let at = view.start; at < Math.min(view.end, view.now + view.step); at += view.step) {
    points.push(known.get(Math.round((at - view.start) / view.step)) ?? [at, 0, 0, 0, 0, 0, 0]);
  }
  return points;
}

function charts() {
  const metric = state.get("metric") || "clicks";
  const name = $("metric").selectedOptions[0].textContent;
  const shown = ["ctr", "cr"].includes(metric) ? (n) => share(n, 1) : ["revenue", "payout", "epc"].includes(metric) ? (n) => money(n * 1e6, view.currency, 2) : count;
  const minute = view.seconds.filter((row) => row[0] > view.now - 60).reduce((sum, row) => sum + row[1] + row[2] + row[3] + row[4], 0);
  $("rate").textContent = count(minute / 60);
  const points = filled();
  overTime($("chart"), name, { ...view, points }, points.map(VALUES[metric]), shown);
  bySecond($("now"), view);
}

function tops() {
  const top = state.get("top") || "campaign";
  const metric = state.get("metric") || "clicks";
  const heads = [["impressions", "Impressions"], ["clicks", "Clicks"], ["ctr", "CTR"], ["leads", "Leads"], ["conversions", "Conversions"], ["cr", "CR"], ["revenue", "Revenue"], ["epc", "EPC"]];
  const sort = ([key, text]) => element("button", { type: "button", class: "sort", "data-key": `sort-${key}`, "aria-pressed": String(key === metric), title: `Best by ${text}`, onclick: () => set({ metric: key === "clicks" ? null : key }) }, text);
  const rows = view.tops.map(([name, impressions, clicks, leads, conversions, revenue, , points]) => [
    element("button", { type: "button", class: "pick quiet", "data-key": `pick-${name}`, title: `Only ${name}`, onclick: () => set({ [top]: name }) }, name),
    count(impressions), count(clicks), share(clicks, impressions), count(leads), count(conversions), share(conversions, clicks),
    money(revenue, view.currency), each(revenue, clicks, view.currency), spark(points, view.start, view.end, view.step),
  ]);
  table($("top"), `Best by ${metric}`, [NAMES[top], ...heads.map(sort), "Trend"], rows);
}

function models() {
  const top = state.get("top") || "campaign";
  const totals = new Map();
  const byName = new Map();
  for (const [model, name, conversions, revenue] of view.models) {
    const sum = totals.get(model) ?? [0, 0];
    totals.set(model, [sum[0] + conversions, sum[1] + revenue]);
    if (!byName.has(name)) byName.set(name, new Map());
    byName.get(name).set(model, [conversions, revenue]);
  }
  const known = [...totals.keys()].sort();
  fill($("model"), known.length ? known : ["last_click"], state.get("model") || "last_click", null, (model) => model.replaceAll("_", " "));
  const order = (entry) => Math.max(...[...entry[1].values()].map((pair) => pair[0]));
  const named = [...byName].sort((a, b) => order(b) - order(a)).slice(0, 8);
  const heads = [NAMES[top], ...known.flatMap((model) => [model.replaceAll("_", " "), element("span", {}, "revenue", element("span", { class: "sr" }, ` by ${model}`))])];
  const pair = (sums) => [count(sums?.[0] ?? 0), money(sums?.[1] ?? 0, view.currency)];
  const rows = named.map(([name, sums]) => [name || "(none)", ...known.flatMap((model) => pair(sums.get(model)))]);
  table($("models"), "Credited conversions and revenue by model", heads, rows, ["All", ...known.flatMap((model) => pair(totals.get(model)))]);
}

function details(told) {
  choices = told.choices;
  controls();
  const rows = told.partners.map(([name, leads, sales, revenue, lost, total, median]) => [
    name, count(leads), count(sales), share(sales, leads), each(revenue, leads, told.currency), share(lost, total), total ? duration(median) : "–",
  ]);
  table($("partners"), "Affiliates by what their leads become", ["Affiliate", "Leads", "Sales", "Lead to sale", "Per lead", "Reversed", "To convert"], rows);
  const forms = [...new Set(told.magnets.map((row) => row[1]))].slice(0, 8);
  const names = [...new Set(told.magnets.map((row) => row[0]))].slice(0, 10);
  const cells = new Map(told.magnets.map(([name, form, n]) => [JSON.stringify([name, form]), n]));
  const most = Math.max(1, ...cells.values());
  table($("magnets"), "Leads by affiliate and lead magnet", ["Affiliate", ...forms], names.map((name) => [name, ...forms.map((form) => heat(cells.get(JSON.stringify([name, form])), most))]));
}

// Freshness -----------------------------------------------------------------------------------------------------------

function condition() {
  const now = Date.now() / 1000 + skew;
  if (away) return ["away", "ClickHouse does not answer", `ClickHouse has not answered since ${clock(away, view?.zone || "UTC", "second")}. The numbers below are those from before.`];
  if (!view) return ["wait", "Connecting", ""];
  const [waiting, still] = view.waiting ?? [0, 0];
  if (waiting && still > first.lag) return ["lag", "The pipeline stands still", `The pipeline stands still: ${count(waiting)} ${waiting === 1 ? "record waits" : "records wait"} in Kafka, and for ${duration(still)} none has been taken.`];
  const sources = view.sources.filter((row) => row[1] > 0);
  if (!sources.length) return ["empty", "No events yet", ""];
  // What was counted a while ago says nothing of now.
  const newest = Math.max(...sources.map((row) => row[1])) / 1000;
  const age = now - newest;
  const told = `Newest event counted ${age < 2 ? "now" : `${duration(age)} ago`}`;
  const late = sources.filter((row) => now - row[1] / 1000 < 30).map((row) => (row[1] - row[2]) / 1000);
  const worst = Math.max(0, ...late);
  const behind = sources.filter((row) => row[3] > 0 && now - row[1] / 1000 > first.lag);
  if (worst > first.lag) return ["lag", told, `The pipeline lags: events are counted ${duration(worst)} after they arrived.`];
  if (behind.length) return ["lag", told, `The totals lag: ${count(behind.reduce((sum, row) => sum + row[3], 0))} records are stored and not yet in them.`];
  if (age > first.silent) return ["silent", told, `Nothing has arrived for ${duration(age)}: either nothing was sent, or the pipeline stands still.`];
  const topics = new Map();
  for (const [source, at] of sources) {
    const topic = source.split("/").at(-2).split(".").at(-1);
    topics.set(topic, Math.max(topics.get(topic) ?? 0, at / 1000));
  }
  const silent = [...topics].filter(([topic, at]) => ["impressions", "clicks", "leads", "conversions"].includes(topic) && now - at > first.silent);
  if (silent.length) return ["silent", told, `Silent: ${silent.map(([topic, at]) => `no ${topic} for ${duration(now - at)}`).join(", ")}.`];
  return ["ok", told, ""];
}

function freshness() {
  const [name, short, long] = condition();
  $("fresh").dataset.state = name;
  if ($("fresh-text").textContent !== short) $("fresh-text").textContent = short;
  $("empty").hidden = name !== "empty";
  if ($("notice").dataset.state !== "error") {
    $("notice").hidden = !long;
    $("notice").dataset.state = name;
    // Seconds tick; a screen reader hears of a change of state only.
    if ($("notice").textContent !== long) $("notice").textContent = long;
  }
}

function failed(problem) {
  Object.assign($("notice"), { hidden: false, textContent: problem });
  $("notice").dataset.state = "error";
}

// Coming and going ----------------------------------------------------------------------------------------------------

function show(told) {
  view = told;
  skew = view.now - Date.now() / 1000;
  away = 0;
  $("notice").dataset.state = "";
  controls();
  funnel();
  tops();
  models();
  freshness();
  charts();
  document.documentElement.dataset.shown = String(view.now);
}

function listen() {
  stream?.close();
  stream = new EventSource(`/events?${asked()}`);
  stream.addEventListener("overview", (event) => show(JSON.parse(event.data)));
  stream.addEventListener("details", (event) => details(JSON.parse(event.data)));
  stream.addEventListener("away", (event) => {
    away ||= JSON.parse(event.data).now;
    freshness();
  });
  stream.onerror = async () => {
    away ||= Date.now() / 1000;
    freshness();
    if (stream.readyState !== EventSource.CLOSED) return;
    const answer = await fetch(`/api/overview?${asked()}`).catch(() => null);
    if (answer?.status === 401) location.reload();
    else if (answer?.status === 400) failed((await answer.json()).error);
    else setTimeout(listen, 3000);
  };
}

async function journey() {
  const id = state.get("journey") ?? "";
  $("find").journey.value = id;
  if (!id) return $("journey").replaceChildren();
  const answer = await fetch(`/api/explain/${encodeURIComponent(id)}`).catch(() => null);
  const told = answer ? await answer.json() : { error: "The server does not answer" };
  // Another id may have been asked for meanwhile.
  if (id !== (state.get("journey") ?? "")) return;
  if (told.error) return $("journey").replaceChildren(element("p", { class: "sum" }, told.error));
  const parts = told.transactions.length ? told.transactions.map(story) : [touched(told.touches)];
  const more = told.transactions_left_out ? [element("p", { class: "sum" }, `And ${told.transactions_left_out} more transactions: ask for them by their ids.`)] : [];
  const refused = told.rejects.map((row) => element("p", { class: "sum" }, `Refused: ${row.reason} ${row.detail} at ${place(row)}`));
  $("journey").replaceChildren(...refused, ...parts, decisions(told.deduplication), ...more);
}

const place = (row) => `${row.source}/${row.offset}`;
const joined = (values) => values.filter(Boolean).join(" · ");

function step(at, kind, detail, right) {
  const time = Date.parse(at) / 1000;
  return element("li", { "data-kind": kind }, element("time", { datetime: at }, clock(time, state.get("tz") || "UTC", "full")),
    element("span", {}, element("b", {}, kind), " ", element("small", {}, detail)), element("span", {}, right ?? ""));
}

const touch = (row) => step(row.occurred_at, row.kind, joined([row.campaign, row.affiliate, row.offer, row.channel, row.country, row.device, place(row)]));

function touched(touches) {
  const whose = [...new Set(touches.map((row) => row.visitor_id))].join(", ");
  return timeline(`Visitor ${whose}, ${touches.length} touches, no transaction`, touches.map(touch));
}

function timeline(title, steps) {
  return element("section", { "aria-label": title }, element("h3", { class: "sum" }, title), element("ol", { class: "steps", tabindex: "0", "aria-label": "Timeline" }, ...steps));
}

function story(one) {
  const reports = one.conversions.map((row) => step(row.status_at, "conversion", joined([row.status, place(row)]), row.value === null ? "" : money(row.value, row.currency, 2)));
  const all = [...one.journey.map(touch), ...reports].sort((a, b) => Date.parse(a.querySelector("time").dateTime) - Date.parse(b.querySelector("time").dateTime));
  const found = one.identity.visitor_id ? `visitor ${one.identity.visitor_id}, found by ${one.identity.by.replaceAll("_", " ")}${one.identity.person === one.identity.visitor_id ? "" : `, one person with ${one.identity.person}`}` : "no visitor known";
  const title = `${one.partner} ${one.transaction_id}: ${one.state?.status ?? "not counted"}, ${found}`;
  return element("div", {}, timeline(title, all), shares(one), ledger(one));
}

function shares(one) {
  const rows = one.credits.flatMap((model) => model.credits.map((share) => [
    `${model.model} ${model.model_version}`, model.settings.rule ?? "", share.touch_kind ? joined([share.touch_kind, share.channel, share.campaign, share.affiliate]) : "nobody",
    `${(share.weight / 1e7).toFixed(2)} %`, money(share.value, one.state?.currency ?? "", 2),
  ]));
  return folded(`Why: ${one.credits.length} models`, "Credits in force by model", ["Model", "Rule", "Touch", "Share", "Value"], rows);
}

function ledger(one) {
  const rows = one.ledger.map((row) => [
    clock(Date.parse(row.known_at) / 1000, state.get("tz") || "UTC", "full"), `${row.sign > 0 ? "+" : "−"} ${row.model} ${row.model_version}`,
    `${(row.weight / 1e7).toFixed(2)} %`, money(row.value, one.state?.currency ?? "", 2), place(row),
  ]);
  return folded(`Ledger: ${rows.length} rows`, "Credits issued and taken back", ["Known at", "Model", "Share", "Value", "Place"], rows);
}

function decisions(kept) {
  const rows = kept.map((row) => [row.event_id, place(row.kept), row.conflicts.map(place).join(", ") || "none", `at most ${row.duplicates_at_most}`]);
  return folded(`Duplicates and conflicts: ${rows.length} events`, "What was kept of each event", ["Event", "Kept", "Conflicts", "Dropped"], rows);
}

function folded(summary, caption, heads, rows) {
  const made = element("table", {});
  table(made, caption, heads, rows);
  return element("details", {}, element("summary", {}, summary), element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": caption }, made));
}

$("find").addEventListener("submit", (event) => {
  event.preventDefault();
  const id = $("find").journey.value.trim();
  id ? state.set("journey", id) : state.delete("journey");
  history.pushState(null, "", state.toString() ? `?${state}` : location.pathname);
  journey();
});
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => view && charts());

controls();
if (first.overview) show(first.overview);
else if (first.error === "ClickHouse does not answer") away = Date.now() / 1000;
else failed(first.error);
listen();
journey();
setInterval(freshness, 1000);
setInterval(() => {
  if (!view || document.hidden) return;
  view.now = Math.floor(Date.now() / 1000 + skew);
  charts();
}, 5000);
