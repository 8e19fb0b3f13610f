// The applied objects. New and changed objects come first.

import { byId, el, get, set, setText, updateChildren } from "./dom.js";

let opened = null;

const path = (row) => ["/api/objects", row.kind, row.namespace, row.name].map((part, index) =>
  index ? encodeURIComponent(part) : part).join("/");

export function show(rows) {
  const changed = rows.filter((row) => row.change).length;
  setText(byId("objects-total"), `${rows.length}, ${changed ? `${changed} changed since the start` : "unchanged since the start"}`);
  updateChildren(byId("objects"), rows, path, createItem, (item, row) => {
    const [button] = item.children;
    set(button, { class: `object ${row.change}`, "aria-expanded": opened === path(row) ? "true" : "false" });
    button.disabled = row.change === "deleted";
    setText(button.children[0], row.kind);
    setText(button.children[1], row.name);
    setText(button.children[2], row.change);
  });
  if (opened && !rows.some((row) => path(row) === opened && row.change !== "deleted")) close();
}

function createItem(row) {
  const button = el("button", { onclick: () => toggle(path(row)) }, el("span", { class: "kind" }), " ", el("b"), " ", el("i"));
  return el("li", {}, button);
}

function close() {
  opened = null;
  byId("manifest").replaceChildren();
  for (const item of byId("objects").children) set(item.children[0], { "aria-expanded": "false" });
}

async function toggle(objectPath) {
  if (opened === objectPath) return close();
  opened = objectPath;
  for (const item of byId("objects").children) {
    set(item.children[0], { "aria-expanded": item.dataset.key === objectPath ? "true" : "false" });
  }
  const text = await get(objectPath).catch((error) => error.message);
  if (opened === objectPath) {
    byId("manifest").replaceChildren(el("pre", { tabindex: 0, "aria-label": "The manifest" }, text));
  }
}
