// The last traces, and one of them as a waterfall.

import { ask, by, el, keep, percent, say, set, time } from "./dom.js";

const SECOND = 1e9;
const TICKS = [1, 2, 5];

let list = [], shown = null, follow = "newest", picked = null;

export function start() {
  for (const which of ["newest", "slowest"]) {
    by(`trace-${which}`).addEventListener("click", () => {
      follow = which;
      choose();
    });
  }
}

export function show(traces) {
  list = traces;
  const longest = Math.max(...traces.map((trace) => trace.duration), 1);
  keep(by("trace-list"), traces, (trace) => trace.trace_id, make, (item, trace) => {
    const [button] = item.children;
    const [when, name, bar, took] = button.children;
    say(when, new Date(trace.start_ns / 1e6).toLocaleTimeString());
    say(name, `${trace.name}${trace.status ? ` ${trace.status}` : ""}`);
    bar.style.setProperty("--share", trace.duration / longest);
    say(took, time(trace.duration / SECOND));
    set(button, { class: `trace${trace.error ? " bad" : ""}` });
  });
  if (!traces.length) by("waterfall").replaceChildren(el("p", { class: "soft" }, "No traces yet: open the product page. Its trace is here three seconds later, when all have sent their spans."));
  choose();
}

function make(trace) {
  const press = () => {
    follow = "picked";
    picked = trace.trace_id;
    choose();
  };
  return el("li", {}, el("button", { onclick: press }, el("span", { class: "when" }), " ",
    el("span", { class: "name" }), " ", el("span", { class: "bar-of" }), el("b")));
}

function choose() {
  if (follow === "newest") picked = list[0]?.trace_id ?? null;
  if (follow === "slowest") picked = list.reduce((best, trace) => (best && best.duration >= trace.duration ? best : trace), null)?.trace_id ?? null;
  for (const which of ["newest", "slowest"]) set(by(`trace-${which}`), { "aria-pressed": String(follow === which) });
  for (const item of by("trace-list").children) {
    set(item.children[0], { "aria-pressed": String(item.dataset.key === picked) });
  }
  if (shown?.id !== picked) bringIntoSight();
  const summary = list.find((trace) => trace.trace_id === picked);
  if (!picked || (shown && shown.id === picked && (!summary || shown.spans === summary.spans))) return;
  const id = picked;
  ask(`/api/traces/${id}`).then((trace) => {
    if (id !== picked) return;
    shown = { id, spans: trace.rows.length };
    draw(trace);
  }, (error) => by("waterfall").replaceChildren(el("p", { class: "complaint" }, error.message)));
}

function bringIntoSight() {
  const holder = by("trace-list");
  const item = [...holder.children].find((child) => child.dataset.key === picked);
  if (!item) return;
  const top = item.offsetTop - holder.offsetTop;
  if (top < holder.scrollTop || top + item.offsetHeight > holder.scrollTop + holder.clientHeight) holder.scrollTop = top - holder.clientHeight / 2;
}

// --- one trace -----------------------------------------------------------------------------------------------------

function draw(trace) {
  const slowest = trace.rows.find((row) => row.span_id === trace.slowest_span);
  const opened = new Set([...by("waterfall").querySelectorAll("[aria-expanded=true]")].map((button) => button.dataset.span));
  by("waterfall").replaceChildren(
    el("p", { class: "headline" }, el("b", {}, `${trace.name} took ${time(trace.duration / SECOND)}`), "; ",
      el("b", { class: "blame" }, percent(slowest.blamed / trace.duration)), ` of it in ${whose(slowest)}`,
      slowest.meaning ? ` (${slowest.meaning})` : "", "."),
    scale(trace),
    el("ol", { class: "rows" }, ...trace.rows.map((row) => rowOf(row, trace, row === slowest, opened))),
    el("p", { class: "soft hint" }, el("span", { class: "key own" }), " what the page waited for; ",
      el("span", { class: "key waits" }), ` the rest of the span. Trace ${trace.trace_id}.`),
  );
}

const whose = (row) => `${row.who}${row.kind === "client" ? ", calling" : ""}: ${row.name}`;

function rowOf(row, trace, slowest, opened) {
  const line = el("span", { class: "track" }, ...[[row.start, row.start + row.duration, "waits"],
    ...row.critical.map(([begin, end]) => [begin, end, "own"])].map(([begin, end, kind]) => {
    const bar = el("span", { class: kind });
    bar.style.setProperty("--from", begin / trace.duration);
    bar.style.setProperty("--long", (end - begin) / trace.duration);
    return bar;
  }));
  const more = el("div", { class: "more", hidden: true });
  const button = el("button", { "aria-expanded": "false", "data-span": row.span_id, onclick: () => unfold(button, more, row) },
    label(row), " ", line,
    el("span", { class: "took" }, time(row.duration / SECOND)));
  const item = el("li", { class: `row ${row.kind}${row.error ? " bad" : ""}${slowest ? " slowest" : ""}` }, button, more);
  if (opened.has(row.span_id)) unfold(button, more, row);
  return item;
}

function label(row) {
  const text = el("span", { class: row.who.endsWith(" proxy") ? "label proxy" : "label" }, el("b", {}, row.who), ` ${row.kind === "client" ? "→ " : ""}${row.name}`,
    row.flags ? el("i", {}, ` ${row.flags}`) : "", row.error && row.status ? el("i", {}, ` ${row.status}`) : "");
  text.style.setProperty("--depth", row.depth);
  return text;
}

function unfold(button, more, row) {
  const open = button.getAttribute("aria-expanded") === "false";
  set(button, { "aria-expanded": String(open) });
  set(more, { hidden: !open });
  const facts = [["itself", time(row.own / SECOND)], ["waited for", time(row.blamed / SECOND)],
    ...Object.entries(row.attributes), ...row.events.map((name) => ["event", name])];
  more.replaceChildren(el("dl", {}, ...facts.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, String(value))))));
}

/** Times on the axis: three or four, at round numbers. */
function scale(trace) {
  const goal = trace.duration / 4;
  const power = 10 ** Math.floor(Math.log10(goal));
  const step = power * (TICKS.find((tick) => tick * power >= goal) ?? 10);
  const ticks = [];
  for (let at = 0; at <= trace.duration; at += step) {
    const tick = el("span", {}, at ? time(at / SECOND) : "0");
    tick.style.setProperty("--from", at / trace.duration);
    ticks.push(tick);
  }
  return el("div", { class: "scale", "aria-hidden": "true" }, ...ticks);
}
