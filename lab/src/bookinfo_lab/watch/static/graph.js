// The service graph: a box for each service, a row in it for each version, and an edge for each pair that calls.

import { by, el, keep, percent, rate, say, set, svg, time } from "./dom.js";

const BOX = 152; // width
const HEAD = 32;
const ROW = 44;
const TITLE = 15; // characters that fit in a box's width
const LINE = 13; // in a row
const GAP = 30; // between boxes of one column
const BETWEEN = 170; // columns
const LANE = 34; // below all boxes, for an edge that would cross one
const MARGIN = 14;
const THINNEST = 1.5;
const THICKEST = 11;

let picture, edges, boxes, told, selected = null;

export function start() {
  edges = svg("g", { class: "edges" });
  boxes = svg("g", { class: "boxes" });
  picture = svg("svg", { role: "group", "aria-labelledby": "graph-title" }, boxes, edges);
  by("canvas").append(picture);
}

export function show(graph) {
  told = graph;
  const total = graph.edges.length ? `${rate(graph.rate)} from outside, over the last ${graph.window} s` :
    `no requests in the last ${graph.window} s: open the product page, or start load`;
  say(by("graph-total"), total);
  const services = servicesOf(graph);
  const size = layOut(services);
  const places = new Map(services.flatMap((service) => service.nodes.map((item) => [item.id, place(service, item)])));
  const drawn = route(graph.edges, places, size);
  set(picture, { viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, height: size.height });
  keep(boxes, services, (service) => service.name, makeBox, (group, service) => updateBox(group, service, graph));
  keep(edges, drawn, key, makeEdge, updateEdge);
  table(graph);
  inspect();
}

const key = (edge) => `${edge.source} > ${edge.destination}`;

const called = (node) => `${node.service} ${node.version}`.trim();

const node = (id) => told.nodes.find((item) => item.id === id);

const named = (id) => called(node(id));

const health = (edge) => (edge.errors >= 0.5 ? "bad" : edge.errors > 0 || edge.refused > 0 ? "some" : "good");

// --- where everything stands ---------------------------------------------------------------------------------------

/** The boxes, each with its nodes; who answers for no workload has no row, and stands at its service's head. */
function servicesOf(graph) {
  const found = new Map();
  for (const item of graph.nodes) {
    const kind = item.kind === "nobody" ? "service" : item.kind;
    if (!found.has(item.service)) found.set(item.service, { name: item.service, kind, column: item.column, nodes: [], rows: [] });
    const service = found.get(item.service);
    service.nodes.push(item);
    if (item.kind !== "nobody") service.rows.push(item);
  }
  return [...found.values()];
}

function layOut(services) {
  const columns = [...new Set(services.map((service) => service.column))].sort((one, other) => one - other);
  const stacks = columns.map((column) => services.filter((service) => service.column === column));
  for (const service of services) service.height = HEAD + ROW * service.rows.length + (service.rows.length ? 8 : 0);
  const heights = stacks.map((stack) => stack.reduce((sum, service) => sum + service.height + GAP, -GAP));
  const tallest = Math.max(...heights, 0);
  stacks.forEach((stack, index) => {
    let y = MARGIN + (tallest - heights[index]) / 2;
    for (const service of stack) {
      service.x = MARGIN + index * (BOX + BETWEEN);
      service.y = y;
      y += service.height + GAP;
    }
  });
  return { width: 2 * MARGIN + stacks.length * BOX + Math.max(0, stacks.length - 1) * BETWEEN, height: tallest + 2 * MARGIN };
}

function place(service, item) {
  const index = service.rows.indexOf(item);
  const y = index < 0 ? service.y + HEAD / 2 : service.y + HEAD + (index + 0.5) * ROW;
  return { left: service.x, right: service.x + BOX, y };
}

/** The edges with a curve each, and a label at a point of it where no other label is. */
function route(edges, places, size) {
  const bottom = size.height;
  let lanes = 0;
  const taken = [];
  return edges.map((edge) => {
    const from = places.get(edge.source), to = places.get(edge.destination);
    const far = to.left - from.right > 1.5 * BETWEEN || to.left < from.right;
    if (far) size.height = bottom + LANE * ++lanes;
    const pieces = far ? around(from, to, bottom + LANE * (lanes - 0.8)) : [straight([from.right, from.y], [to.left, to.y])];
    const path = pieces.map((points) => `M${points[0].join(" ")} C${points.slice(1).map((point) => point.join(" ")).join(", ")}`).join(" ");
    const text = { first: edge.hidden ? rate(edge.rate) : `${rate(edge.rate)}  ${time(edge.p99)}`, second: troubleOf(edge) };
    text.width = Math.max(text.first.length * 6.6 + (edge.security === "unknown" ? 16 : 30), text.second.length * 7.3 + 16);
    text.height = text.second ? 36 : 21;
    return { ...edge, path, text, at: labelPlace(edge, edges, pieces, text, taken) };
  });
}

function straight([x1, y1], [x2, y2]) {
  const reach = (x2 - x1) / 2;
  return [[x1, y1], [x1 + reach, y1], [x2 - reach, y2], [x2, y2]];
}

function around(from, to, lane) {
  const [x1, x2, wide] = [from.right, to.left, 0.8 * BETWEEN];
  return [straight([x1, from.y], [x1 + wide, lane]), straight([x1 + wide, lane], [x2 - wide, lane]), straight([x2 - wide, lane], [x2, to.y])];
}

/** Where edges fan out it is easiest to tell them apart near the called ones, and where they meet near the callers. */
function labelPlace(edge, edges, pieces, text, taken) {
  const out = edges.filter((other) => other.source === edge.source).length;
  const into = edges.filter((other) => other.destination === edge.destination).length;
  const first = pieces.length > 1 ? 0.5 : out > into ? 0.66 : into > out ? 0.34 : 0.5;
  const piece = pieces[pieces.length > 1 ? 1 : 0];
  const spots = [0, 22, -22, 44, -44].flatMap((aside) => [first, 0.5, 0.34, 0.66, 0.28, 0.72].map((at) => {
    const [x, y] = bezier(piece, at);
    return { x: x - text.width / 2, y: y + aside - text.height / 2, width: text.width, height: text.height };
  }));
  const meets = (one, other) => one.x < other.x + other.width && other.x < one.x + one.width &&
    one.y < other.y + other.height && other.y < one.y + one.height;
  const spot = spots.find((candidate) => !taken.some((other) => meets(candidate, other))) ?? spots[0];
  taken.push(spot);
  return spot;
}

function bezier(points, at) {
  const weights = [(1 - at) ** 3, 3 * at * (1 - at) ** 2, 3 * at ** 2 * (1 - at), at ** 3];
  return [0, 1].map((axis) => points.reduce((sum, point, index) => sum + weights[index] * point[axis], 0));
}

// --- boxes ---------------------------------------------------------------------------------------------------------

function makeBox(service) {
  return svg("g", {}, svg("rect", { class: "box", width: BOX, rx: 12 }), svg("text", { class: "service", x: 14, y: 22 }),
    svg("g", { class: "rows" }));
}

function updateBox(group, service, graph) {
  const [frame, title, rows] = group.children;
  set(group, { class: `service ${service.kind}`, transform: `translate(${service.x} ${service.y})` });
  set(frame, { height: service.height });
  say(title, short(service.name, TITLE));
  keep(rows, service.rows, (item) => item.id, makeRow, (row, item) => updateRow(row, item, service.rows.indexOf(item), graph));
}

function makeRow(item) {
  return svg("g", button(item.id), svg("title"), svg("rect", { x: 8, width: BOX - 16, height: ROW - 8, rx: 8 }),
    svg("circle", { cx: 22, cy: (ROW - 8) / 2, r: 4.5 }), svg("text", { class: "version", x: 34, y: 23 }),
    svg("text", { class: "number", x: BOX - 18, y: 23 }));
}

function updateRow(row, item, index, graph) {
  const incoming = graph.edges.filter((edge) => edge.destination === item.id && !edge.hidden);
  const outgoing = graph.edges.filter((edge) => edge.source === item.id && !edge.hidden);
  const traffic = (incoming.length ? incoming : outgoing).reduce((sum, edge) => sum + edge.rate, 0);
  const hidden = graph.edges.some((edge) => edge.destination === item.id && edge.hidden);
  const state = item.kind === "external" ? "outside" : item.ready === item.pods && item.pods ? "ready" : item.ready ? "partly" : "away";
  const busy = traffic > 0 || hidden;
  const tells = `${called(item)}: ${item.pods ? `${item.ready} of ${item.pods} pods ready` : "not of this lab"}, ${rate(traffic)}`;
  set(row, { class: `node ${state} ${busy ? "busy" : "idle"}${selected === item.id ? " selected" : ""}`,
    transform: `translate(0 ${HEAD + index * ROW})`, "aria-label": tells });
  const [title, , , version, number] = row.children;
  say(title, `${item.workload}${item.sidecar ? "" : " (no sidecar)"}`);
  const beside = traffic ? rate(traffic) : hidden ? "mirror" : item.pods > 1 ? `${item.ready}/${item.pods}` : "";
  say(version, short(item.version || ROWS[item.kind] || item.workload, LINE - beside.length));
  say(number, beside);
}

const ROWS = { gateway: "gateway", external: "outside" };

/** Whole names stand in the table and where somebody looks closer. */
const short = (name, most) => (name.length > most ? `${name.slice(0, most - 1)}…` : name);

// --- edges ---------------------------------------------------------------------------------------------------------

const LOCK = "M3 5V3.4a2.5 2.5 0 0 1 5 0V5h1v5.5H2V5zm1.3 0h2.4V3.4a1.2 1.2 0 0 0-2.4 0z";
const UNLOCK = "M3 5V3.4a2.5 2.5 0 0 1 5-.4L6.8 3.4a1.2 1.2 0 0 0-2.5 0V5H9v5.5H2V5z";

function makeEdge(edge) {
  return svg("g", button(key(edge)), svg("title"), svg("path", { class: "hit" }), svg("path", { class: "line" }),
    svg("path", { class: "flow" }),
    svg("g", { class: "label" }, svg("rect", { rx: 9 }), svg("path", { class: "lock" }), svg("text", { class: "first" }),
      svg("text", { class: "second" })));
}

function updateEdge(group, edge) {
  const [title, hit, line, flow, label] = group.children;
  const speed = edge.rate > 20 ? "fast" : edge.rate > 3 ? "steady" : "slow";
  set(group, { class: `edge ${health(edge)} ${edge.hidden ? "hidden" : ""}${selected === key(edge) ? " selected" : ""}`, "aria-label": sentence(edge) });
  say(title, sentence(edge));
  for (const path of [hit, line, flow]) set(path, { d: edge.path });
  set(line, { "stroke-width": (THINNEST + (THICKEST - THINNEST) * edge.share).toFixed(1) });
  set(flow, { class: `flow ${speed}` });
  const [back, lock, first, second] = label.children;
  const locked = { mutual_tls: LOCK, none: UNLOCK, mixed: UNLOCK }[edge.security];
  say(first, edge.text.first);
  say(second, edge.text.second);
  set(label, { transform: `translate(${edge.at.x} ${edge.at.y})` });
  set(back, { width: edge.text.width, height: edge.text.height });
  set(lock, { class: `lock ${edge.security}`, d: locked ?? "M0 0", transform: "translate(6 4.5)" });
  set(first, { x: locked ? 21 : 8, y: 15 });
  set(second, { x: 8, y: 30 });
}

/** What is wrong with an edge, marked if a rule does it on purpose. */
const troubleOf = (edge) => `${edge.injected ? "⚡ " : ""}${edge.trouble}`;

const SECURITY = { mutual_tls: "mutual TLS", none: "plain text", mixed: "some over mutual TLS, some in plain text", unknown: "" };

function sentence(edge) {
  const parts = [`${rate(edge.rate)}`, `${percent(edge.share)} of its calls of that service`, `p99 ${time(edge.p99)}`, edge.trouble,
    SECURITY[edge.security], edge.hidden ? "mirrored, or tried again elsewhere" : ""];
  return `${named(edge.source)} calls ${named(edge.destination)}: ${parts.filter(Boolean).join(", ")}`;
}

// --- looking closer ------------------------------------------------------------------------------------------------

function button(what) {
  const press = () => {
    selected = selected === what ? null : what;
    show(told);
  };
  return { role: "button", tabindex: 0, onclick: press, onkeydown: (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      press();
    }
  } };
}

function inspect() {
  const edge = told.edges.find((item) => key(item) === selected);
  const item = told.nodes.find((other) => other.id === selected);
  by("inspector").replaceChildren(...(edge ? aboutEdge(edge) : item ? aboutNode(item) : []));
}

function aboutEdge(edge) {
  const codes = Object.entries(edge.codes).map(([code, count]) => `${count} × ${code === "0" ? "no answer" : code}`);
  return [el("h3", {}, `${named(edge.source)} → ${named(edge.destination)}`), facts([
    ["rate", rate(edge.rate)], ["share", percent(edge.share)], ["errors", percent(edge.errors)],
    ["half within", time(edge.median)], ["99 % within", time(edge.p99)], ["answers", codes.join("; ")],
    ["the proxy says", edge.says.join("; ")], ["sent by", SECURITY[edge.security]],
  ])];
}

function aboutNode(item) {
  const to = told.edges.filter((edge) => edge.source === item.id).map((edge) => `${named(edge.destination)} ${rate(edge.rate)}`);
  const from = told.edges.filter((edge) => edge.destination === item.id).map((edge) => `${named(edge.source)} ${rate(edge.rate)}`);
  return [el("h3", {}, called(item)), facts([
    ["workload", item.workload], ["namespace", item.namespace], ["pods", item.pods ? `${item.ready} of ${item.pods} ready` : ""],
    ["sidecar", item.kind === "external" ? "" : item.sidecar ? "yes" : "no"],
    ["called by", from.join("; ")], ["calls", to.join("; ")],
  ])];
}

function facts(pairs) {
  return el("dl", {}, ...pairs.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function table(graph) {
  const head = ["caller", "called", "rate", "share", "errors", "p50", "p99", "over"];
  const row = (edge) => [named(edge.source), named(edge.destination), rate(edge.rate), percent(edge.share),
    edge.trouble || percent(edge.errors), time(edge.median), time(edge.p99), SECURITY[edge.security]];
  by("graph-table").replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...graph.edges.map((edge) => el("tr", {}, ...row(edge).map((text) => el("td", {}, text)))))));
}
