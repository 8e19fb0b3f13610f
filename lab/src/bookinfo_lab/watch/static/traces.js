// The last traces, and one of them as a waterfall diagram.

import { byId, el, formatPercent, formatTime, get, set, setText, updateChildren } from "./dom.js";

const SECOND = 1e9;
const TICKS = [1, 2, 5];

let list = [], shown = null, selection = "newest", selectedId = null;

export function start() {
  for (const which of ["newest", "slowest"]) {
    byId(`trace-${which}`).addEventListener("click", () => {
      selection = which;
      select();
    });
  }
}

export function show(traces) {
  list = traces;
  const longest = Math.max(...traces.map((trace) => trace.duration), 1);
  updateChildren(byId("trace-list"), traces, (trace) => trace.trace_id, createItem, (item, trace) => {
    const [button] = item.children;
    const [when, name, bar, took] = button.children;
    setText(when, new Date(trace.start_ns / 1e6).toLocaleTimeString());
    setText(name, `${trace.name}${trace.status ? ` ${trace.status}` : ""}`);
    bar.style.setProperty("--share", trace.duration / longest);
    setText(took, formatTime(trace.duration / SECOND));
    set(button, { class: `trace${trace.error ? " bad" : ""}` });
  });
  if (!traces.length) byId("waterfall").replaceChildren(el("p", { class: "soft" }, "No traces yet. Open the product page: its trace appears about three seconds later, when all proxies and services have sent their spans."));
  select();
}

function createItem(trace) {
  const press = () => {
    selection = "manual";
    selectedId = trace.trace_id;
    select();
  };
  return el("li", {}, el("button", { onclick: press }, el("span", { class: "when" }), " ",
    el("span", { class: "name" }), " ", el("span", { class: "bar-of" }), el("b")));
}

function select() {
  if (selection === "newest") selectedId = list[0]?.trace_id ?? null;
  if (selection === "slowest") selectedId = list.reduce((best, trace) => (best && best.duration >= trace.duration ? best : trace), null)?.trace_id ?? null;
  for (const which of ["newest", "slowest"]) set(byId(`trace-${which}`), { "aria-pressed": String(selection === which) });
  for (const item of byId("trace-list").children) {
    set(item.children[0], { "aria-pressed": String(item.dataset.key === selectedId) });
  }
  if (shown?.id !== selectedId) scrollToSelected();
  const summary = list.find((trace) => trace.trace_id === selectedId);
  if (!selectedId || (shown && shown.id === selectedId && (!summary || shown.spans === summary.spans))) return;
  const id = selectedId;
  get(`/api/traces/${id}`).then((trace) => {
    if (id !== selectedId) return;
    shown = { id, spans: trace.rows.length };
    draw(trace);
  }, (error) => byId("waterfall").replaceChildren(el("p", { class: "error" }, error.message)));
}

function scrollToSelected() {
  const container = byId("trace-list");
  const item = [...container.children].find((child) => child.dataset.key === selectedId);
  if (!item) return;
  const top = item.offsetTop - container.offsetTop;
  if (top < container.scrollTop || top + item.offsetHeight > container.scrollTop + container.clientHeight) container.scrollTop = top - container.clientHeight / 2;
}

// --- one trace -----------------------------------------------------------------------------------------------------

function draw(trace) {
  const slowest = trace.rows.find((row) => row.span_id === trace.slowest_span);
  const opened = new Set([...byId("waterfall").querySelectorAll("[aria-expanded=true]")].map((button) => button.dataset.span));
  byId("waterfall").replaceChildren(
    el("p", { class: "headline" }, el("b", {}, `${trace.name} took ${formatTime(trace.duration / SECOND)}`), "; ",
      el("b", { class: "share" }, formatPercent(slowest.blamed / trace.duration)), ` of it in ${spanName(slowest)}`,
      slowest.meaning ? ` (${slowest.meaning})` : "", "."),
    scale(trace),
    el("ol", { class: "rows" }, ...trace.rows.map((row) => rowItem(row, trace, row === slowest, opened))),
    el("p", { class: "soft hint" }, el("span", { class: "key own" }), " time on the critical path; ",
      el("span", { class: "key waits" }), ` other time of the span. Trace ID: ${trace.trace_id}.`),
  );
}

const spanName = (row) => `${row.who}, ${row.kind === "client" ? "call" : "request"} ${row.name}`;

function rowItem(row, trace, slowest, opened) {
  const line = el("span", { class: "track" }, ...[[row.start, row.start + row.duration, "waits"],
    ...row.critical.map(([begin, end]) => [begin, end, "own"])].map(([begin, end, kind]) => {
    const bar = el("span", { class: kind });
    bar.style.setProperty("--from", begin / trace.duration);
    bar.style.setProperty("--long", (end - begin) / trace.duration);
    return bar;
  }));
  const more = el("div", { class: "details", hidden: true });
  const button = el("button", { "aria-expanded": "false", "data-span": row.span_id, onclick: () => toggleDetails(button, more, row) },
    label(row), " ", line,
    el("span", { class: "took" }, formatTime(row.duration / SECOND)));
  const item = el("li", { class: `row ${row.kind}${row.error ? " bad" : ""}${slowest ? " slowest" : ""}` }, button, more);
  if (opened.has(row.span_id)) toggleDetails(button, more, row);
  return item;
}

function label(row) {
  const text = el("span", { class: row.who.endsWith(" proxy") ? "label proxy" : "label" }, el("b", {}, row.who), ` ${row.kind === "client" ? "→ " : ""}${row.name}`,
    row.flags ? el("i", {}, ` ${row.flags}`) : "", row.error && row.status ? el("i", {}, ` ${row.status}`) : "");
  text.style.setProperty("--depth", row.depth);
  return text;
}

function toggleDetails(button, more, row) {
  const open = button.getAttribute("aria-expanded") === "false";
  set(button, { "aria-expanded": String(open) });
  set(more, { hidden: !open });
  const facts = [["own time", formatTime(row.own / SECOND)], ["on the critical path", formatTime(row.blamed / SECOND)],
    ...Object.entries(row.attributes), ...row.events.map((name) => ["event", name])];
  more.replaceChildren(el("dl", {}, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}

/** Returns the time axis, with three or four round numbers. */
function scale(trace) {
  const goal = trace.duration / 4;
  const power = 10 ** Math.floor(Math.log10(goal));
  const step = power * (TICKS.find((tick) => tick * power >= goal) ?? 10);
  const ticks = [];
  for (let at = 0; at <= trace.duration; at += step) {
    const tick = el("span", {}, at ? formatTime(at / SECOND) : "0");
    tick.style.setProperty("--from", at / trace.duration);
    ticks.push(tick);
  }
  return el("div", { class: "scale", "aria-hidden": "true" }, ...ticks);
}
