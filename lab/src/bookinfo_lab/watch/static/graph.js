// The service graph: a box per service, a row in it per version, and an edge per pair of caller and called version.

import { byId, el, fitText, formatPercent, formatRate, formatTime, set, setText, svg, updateChildren } from "./dom.js";

// Sizes in pixels.
const BOX_WIDTH = 152;
const TITLE_HEIGHT = 32;
const ROW_HEIGHT = 44;
const PADDING = 14; // inside a box
const ROW_TEXT = 34; // where the text of a row starts
const ROW_END = 18; // between the end of a row's number and the box
const BOX_GAP = 30; // between the boxes of a column
const COLUMN_GAP = 170;
const LANE_HEIGHT = 34; // below all boxes, for an edge that would cross a box
const MARGIN = 14;
const MIN_STROKE = 1.5;
const MAX_STROKE = 11;
const LOCK_WIDTH = 13;
const LABEL_PADDING = 8;

let picture, edges, boxes, rulers, graph, selected = null;

export function start() {
  edges = svg("g", { class: "edges" });
  boxes = svg("g", { class: "boxes" });
  rulers = Object.fromEntries(["first", "second", "number"].map((kind) => [kind, svg("text", { class: kind })]));
  const measured = svg("g", { class: "edge node label", visibility: "hidden", "aria-hidden": "true" },
    svg("g", { class: "label" }, ...Object.values(rulers)));
  picture = svg("svg", { role: "group", "aria-labelledby": "graph-title" }, measured, boxes, edges);
  byId("canvas").append(picture);
}

export function show(state) {
  graph = state;
  const total = graph.edges.length ? `${formatRate(graph.rate)} from outside in the last ${graph.window} s` :
    `no requests in the last ${graph.window} s: open the product page or start the load`;
  setText(byId("graph-total"), total);
  const services = servicesOf(graph);
  const size = layout(services);
  const places = new Map(services.flatMap((service) => service.nodes.map((node) => [node.id, position(service, node)])));
  const routed = routeEdges(graph.edges, places, size);
  set(picture, { viewBox: `0 0 ${size.width} ${size.height}`, width: size.width, height: size.height });
  updateChildren(boxes, services, (service) => service.name, createBox, updateBox);
  updateChildren(edges, routed, key, createEdge, updateEdge);
  showTable();
  showDetails();
}

const key = (edge) => `${edge.source} > ${edge.destination}`;

const displayName = (node) => `${node.service} ${node.version}`.trim();

const nameOf = (id) => displayName(graph.nodes.find((node) => node.id === id));

const health = (edge) => (edge.errors >= 0.5 ? "bad" : edge.errors > 0 || edge.refused > 0 ? "some" : "good");

// --- layout --------------------------------------------------------------------------------------------------------

/** Returns the boxes with their nodes. A service without a workload has no row: its node is at the title of the box. */
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

function layout(services) {
  const columns = [...new Set(services.map((service) => service.column))].sort((one, other) => one - other);
  const stacks = columns.map((column) => services.filter((service) => service.column === column));
  for (const service of services) service.height = TITLE_HEIGHT + ROW_HEIGHT * service.rows.length + (service.rows.length ? 8 : 0);
  const heights = stacks.map((stack) => stack.reduce((sum, service) => sum + service.height + BOX_GAP, -BOX_GAP));
  const tallest = Math.max(...heights, 0);
  stacks.forEach((stack, index) => {
    let y = MARGIN + (tallest - heights[index]) / 2;
    for (const service of stack) {
      service.x = MARGIN + index * (BOX_WIDTH + COLUMN_GAP);
      service.y = y;
      y += service.height + BOX_GAP;
    }
  });
  return { width: 2 * MARGIN + stacks.length * BOX_WIDTH + Math.max(0, stacks.length - 1) * COLUMN_GAP, height: tallest + 2 * MARGIN };
}

function position(service, item) {
  const index = service.rows.indexOf(item);
  const y = index < 0 ? service.y + TITLE_HEIGHT / 2 : service.y + TITLE_HEIGHT + (index + 0.5) * ROW_HEIGHT;
  return { left: service.x, right: service.x + BOX_WIDTH, y };
}

/** Returns the edges with their curves and labels. A label is at a point of its curve where no other label is. */
function routeEdges(edges, places, size) {
  const bottom = size.height;
  let lanes = 0;
  const labels = [];
  return edges.map((edge) => {
    const from = places.get(edge.source), to = places.get(edge.destination);
    const far = to.left - from.right > 1.5 * COLUMN_GAP || to.left < from.right;
    if (far) size.height = bottom + LANE_HEIGHT * ++lanes;
    const pieces = far ? around(from, to, bottom + LANE_HEIGHT * (lanes - 0.8)) : [straight([from.right, from.y], [to.left, to.y])];
    const path = pieces.map((points) => `M${points[0].join(" ")} C${points.slice(1).map((point) => point.join(" ")).join(", ")}`).join(" ");
    const text = { first: edge.hidden ? formatRate(edge.rate) : `${formatRate(edge.rate)}  ${formatTime(edge.p99)}`, second: problem(edge) };
    const lock = edge.security === "unknown" ? 0 : LOCK_WIDTH;
    text.width = Math.max(textWidth("first", text.first) + lock, textWidth("second", text.second)) + 2 * LABEL_PADDING;
    text.height = text.second ? 36 : 21;
    return { ...edge, path, text, at: labelPosition(edge, edges, pieces, text, labels) };
  });
}

function straight([x1, y1], [x2, y2]) {
  const reach = (x2 - x1) / 2;
  return [[x1, y1], [x1 + reach, y1], [x2 - reach, y2], [x2, y2]];
}

function around(from, to, lane) {
  const [x1, x2, wide] = [from.right, to.left, 0.8 * COLUMN_GAP];
  return [straight([x1, from.y], [x1 + wide, lane]), straight([x1 + wide, lane], [x2 - wide, lane]), straight([x2 - wide, lane], [x2, to.y])];
}

/** Prefers a point near the called versions if edges fan out, and near the callers if edges meet. */
function labelPosition(edge, edges, pieces, text, labels) {
  const out = edges.filter((other) => other.source === edge.source).length;
  const into = edges.filter((other) => other.destination === edge.destination).length;
  const first = pieces.length > 1 ? 0.5 : out > into ? 0.66 : into > out ? 0.34 : 0.5;
  const piece = pieces[pieces.length > 1 ? 1 : 0];
  const spots = [0, 22, -22, 44, -44].flatMap((offset) => [first, 0.5, 0.34, 0.66, 0.28, 0.72].map((at) => {
    const [x, y] = bezier(piece, at);
    return { x: x - text.width / 2, y: y + offset - text.height / 2, width: text.width, height: text.height };
  }));
  const overlap = (one, other) => one.x < other.x + other.width && other.x < one.x + one.width &&
    one.y < other.y + other.height && other.y < one.y + one.height;
  const spot = spots.find((candidate) => !labels.some((other) => overlap(candidate, other))) ?? spots[0];
  labels.push(spot);
  return spot;
}

/** Returns the width of a text in the font that the browser uses for this kind of text. */
function textWidth(kind, text) {
  setText(rulers[kind], text);
  return text ? rulers[kind].getComputedTextLength() : 0;
}

function bezier(points, at) {
  const weights = [(1 - at) ** 3, 3 * at * (1 - at) ** 2, 3 * at ** 2 * (1 - at), at ** 3];
  return [0, 1].map((axis) => points.reduce((sum, point, index) => sum + weights[index] * point[axis], 0));
}

// --- boxes ---------------------------------------------------------------------------------------------------------

function createBox() {
  return svg("g", {}, svg("title"), svg("rect", { class: "box", width: BOX_WIDTH, rx: 12 }), svg("text", { class: "service", x: PADDING, y: 22 }),
    svg("g", { class: "rows" }));
}

function updateBox(group, service) {
  const [tooltip, frame, title, rows] = group.children;
  set(group, { class: `service ${service.kind}`, transform: `translate(${service.x} ${service.y})` });
  set(frame, { height: service.height });
  setText(tooltip, service.name);
  fitText(title, service.name, BOX_WIDTH - 2 * PADDING);
  updateChildren(rows, service.rows, (node) => node.id, createRow, (row, node) => updateRow(row, node, service.rows.indexOf(node)));
}

function createRow(item) {
  return svg("g", button(item.id), svg("title"), svg("rect", { x: 8, width: BOX_WIDTH - 16, height: ROW_HEIGHT - 8, rx: 8 }),
    svg("circle", { cx: 22, cy: (ROW_HEIGHT - 8) / 2, r: 4.5 }), svg("text", { class: "version", x: ROW_TEXT, y: 23 }),
    svg("text", { class: "number", x: BOX_WIDTH - ROW_END, y: 23 }));
}

function updateRow(row, item, index) {
  const incoming = graph.edges.filter((edge) => edge.destination === item.id && !edge.hidden);
  const outgoing = graph.edges.filter((edge) => edge.source === item.id && !edge.hidden);
  const traffic = (incoming.length ? incoming : outgoing).reduce((sum, edge) => sum + edge.rate, 0);
  const hidden = graph.edges.some((edge) => edge.destination === item.id && edge.hidden);
  const state = item.kind === "external" ? "external" : item.ready === item.pods && item.pods ? "ready" : item.ready ? "partly" : "unavailable";
  const busy = traffic > 0 || hidden;
  const label = `${displayName(item)}: ${item.pods ? `${item.ready} of ${item.pods} pods ready` : "outside the lab"}, ${formatRate(traffic)}`;
  set(row, { class: `node ${state} ${busy ? "busy" : "idle"}${selected === item.id ? " selected" : ""}`,
    transform: `translate(0 ${TITLE_HEIGHT + index * ROW_HEIGHT})`, "aria-label": label });
  const [title, , , version, number] = row.children;
  setText(title, `${item.workload}${item.sidecar ? "" : " (no sidecar)"}`);
  const detail = traffic ? formatRate(traffic) : hidden ? "mirror" : item.pods > 1 ? `${item.ready}/${item.pods}` : "";
  setText(number, detail);
  const end = BOX_WIDTH - ROW_END - (detail ? textWidth("number", detail) + PADDING / 2 : 0);
  fitText(version, item.version || KIND_LABELS[item.kind] || item.workload, end - ROW_TEXT);
}

const KIND_LABELS = { gateway: "gateway", external: "external" };

// --- edges ---------------------------------------------------------------------------------------------------------

const LOCK = "M3 5V3.4a2.5 2.5 0 0 1 5 0V5h1v5.5H2V5zm1.3 0h2.4V3.4a1.2 1.2 0 0 0-2.4 0z";
const UNLOCK = "M3 5V3.4a2.5 2.5 0 0 1 5-.4L6.8 3.4a1.2 1.2 0 0 0-2.5 0V5H9v5.5H2V5z";

function createEdge(edge) {
  return svg("g", button(key(edge)), svg("title"), svg("path", { class: "hit" }), svg("path", { class: "line" }),
    svg("path", { class: "flow" }),
    svg("g", { class: "label" }, svg("rect", { rx: 9 }), svg("path", { class: "lock" }), svg("text", { class: "first" }),
      svg("text", { class: "second" })));
}

function updateEdge(group, edge) {
  const [title, hit, line, flow, label] = group.children;
  const speed = edge.rate > 20 ? "fast" : edge.rate > 3 ? "steady" : "slow";
  set(group, { class: `edge ${health(edge)} ${edge.hidden ? "hidden" : ""}${selected === key(edge) ? " selected" : ""}`, "aria-label": description(edge) });
  setText(title, description(edge));
  for (const path of [hit, line, flow]) set(path, { d: edge.path });
  set(line, { "stroke-width": (MIN_STROKE + (MAX_STROKE - MIN_STROKE) * edge.share).toFixed(1) });
  set(flow, { class: `flow ${speed}` });
  const [back, lock, first, second] = label.children;
  const locked = { mutual_tls: LOCK, none: UNLOCK, mixed: UNLOCK }[edge.security];
  setText(first, edge.text.first);
  setText(second, edge.text.second);
  set(label, { transform: `translate(${edge.at.x} ${edge.at.y})` });
  set(back, { width: edge.text.width, height: edge.text.height });
  set(lock, { class: `lock ${edge.security}`, d: locked ?? "M0 0", transform: "translate(6 4.5)" });
  set(first, { x: LABEL_PADDING + (locked ? LOCK_WIDTH : 0), y: 15 });
  set(second, { x: LABEL_PADDING, y: 30 });
}

/** Returns the problem of an edge, marked if a rule injects it. */
const problem = (edge) => `${edge.injected ? "⚡ " : ""}${edge.trouble}`;

const SECURITY = { mutual_tls: "mutual TLS", none: "plaintext", mixed: "partly mutual TLS, partly plaintext", unknown: "" };

function description(edge) {
  const parts = [`${formatRate(edge.rate)}`, `${formatPercent(edge.share)} of its calls to that service`, `p99 ${formatTime(edge.p99)}`, edge.trouble,
    SECURITY[edge.security], edge.hidden ? "mirrored or retried" : ""];
  return `${nameOf(edge.source)} calls ${nameOf(edge.destination)}: ${parts.filter(Boolean).join(", ")}`;
}

// --- details -------------------------------------------------------------------------------------------------------

function button(id) {
  const press = () => {
    selected = selected === id ? null : id;
    show(graph);
  };
  return { role: "button", tabindex: 0, onclick: press, onkeydown: (event) => {
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      press();
    }
  } };
}

function showDetails() {
  const edge = graph.edges.find((item) => key(item) === selected);
  const item = graph.nodes.find((other) => other.id === selected);
  byId("inspector").replaceChildren(...(edge ? edgeDetails(edge) : item ? nodeDetails(item) : []));
}

function edgeDetails(edge) {
  const codes = Object.entries(edge.codes).map(([code, count]) => `${count} × ${code === "0" ? "no response" : code}`);
  return [el("h3", {}, `${nameOf(edge.source)} → ${nameOf(edge.destination)}`), facts([
    ["rate", formatRate(edge.rate)], ["share", formatPercent(edge.share)], ["errors", formatPercent(edge.errors)],
    ["p50", formatTime(edge.median)], ["p99", formatTime(edge.p99)], ["responses", codes.join("; ")],
    ["response flags", edge.says.join("; ")], ["security", SECURITY[edge.security]],
  ])];
}

function nodeDetails(item) {
  const to = graph.edges.filter((edge) => edge.source === item.id).map((edge) => `${nameOf(edge.destination)} ${formatRate(edge.rate)}`);
  const from = graph.edges.filter((edge) => edge.destination === item.id).map((edge) => `${nameOf(edge.source)} ${formatRate(edge.rate)}`);
  return [el("h3", {}, displayName(item)), facts([
    ["workload", item.workload], ["namespace", item.namespace], ["pods", item.pods ? `${item.ready} of ${item.pods} ready` : ""],
    ["sidecar", item.kind === "external" ? "" : item.sidecar ? "yes" : "no"],
    ["called by", from.join("; ")], ["calls", to.join("; ")],
  ])];
}

function facts(pairs) {
  return el("dl", {}, ...pairs.filter(([, value]) => value).map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))));
}

function showTable() {
  const head = ["caller", "called", "rate", "share", "errors", "p50", "p99", "security"];
  const row = (edge) => [nameOf(edge.source), nameOf(edge.destination), formatRate(edge.rate), formatPercent(edge.share),
    edge.trouble || formatPercent(edge.errors), formatTime(edge.median), formatTime(edge.p99), SECURITY[edge.security]];
  byId("graph-table").replaceChildren(el("table", {},
    el("thead", {}, el("tr", {}, ...head.map((text) => el("th", { scope: "col" }, text)))),
    el("tbody", {}, ...graph.edges.map((edge) => el("tr", {}, ...row(edge).map((text) => el("td", {}, text)))))));
}
