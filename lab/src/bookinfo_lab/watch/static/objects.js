// The applied manifests, what is new among them first.

import { ask, by, el, keep, say, set } from "./dom.js";

let opened = null;

const path = (row) => ["/api/objects", row.kind, row.namespace, row.name].map((part, index) =>
  index ? encodeURIComponent(part) : part).join("/");

export function show(rows) {
  const changed = rows.filter((row) => row.change).length;
  say(by("objects-total"), `${rows.length}, ${changed ? `${changed} not as at the start` : "all as at the start"}`);
  keep(by("objects"), rows, path, make, (item, row) => {
    const [button] = item.children;
    set(button, { class: `object ${row.change}`, "aria-expanded": opened === path(row) ? "true" : "false" });
    button.disabled = row.change === "deleted";
    say(button.children[0], row.kind);
    say(button.children[1], row.name);
    say(button.children[2], row.change);
  });
  if (opened && !rows.some((row) => path(row) === opened && row.change !== "deleted")) close();
}

function make(row) {
  const button = el("button", { onclick: () => toggle(path(row)) }, el("span", { class: "kind" }), " ", el("b"), " ", el("i"));
  return el("li", {}, button);
}

function close() {
  opened = null;
  by("manifest").replaceChildren();
  for (const item of by("objects").children) set(item.children[0], { "aria-expanded": "false" });
}

async function toggle(which) {
  if (opened === which) return close();
  opened = which;
  for (const item of by("objects").children) {
    set(item.children[0], { "aria-expanded": item.dataset.key === which ? "true" : "false" });
  }
  const text = await ask(which).catch((error) => error.message);
  if (opened === which) {
    by("manifest").replaceChildren(el("pre", { tabindex: 0, "aria-label": "The manifest" }, text));
  }
}
