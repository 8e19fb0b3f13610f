// Creates elements without parsing text as HTML, so that text from services and users cannot become markup.

const SVG = "http://www.w3.org/2000/svg";

/** Returns an element. Attributes such as `onclick` are listeners. Children are nodes or texts. */
export function el(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

/** Returns an SVG element. */
export function svg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS(SVG, tag), attributes, children);
}

function filled(element, attributes, children) {
  set(element, attributes);
  element.append(...children.filter((child) => child !== null && child !== ""));
  return element;
}

/** Sets attributes. The values `false` and `null` remove an attribute. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else if (element.getAttribute(name) !== String(value)) element.setAttribute(name, value === true ? "" : value);
  }
}

/** Returns the element with this id. */
export const byId = (id) => document.getElementById(id);

/** Sets a text only if it differs, so that screen readers do not repeat it. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

/**
 * Sets the text of an SVG text element, shortened so that it is at most `width` wide in the font that the browser uses.
 * The text is measured again only if something changes.
 */
export function fitText(element, text, width) {
  const state = `${text}|${width}|${getComputedStyle(element).font}`;
  if (element.dataset.fitted === state) return;
  setText(element, text);
  if (element.getComputedTextLength() > width) {
    let shortest = 0, longest = text.length - 1;
    while (shortest < longest) {
      const length = Math.ceil((shortest + longest) / 2);
      element.textContent = shortened(text, length);
      if (element.getComputedTextLength() <= width) shortest = length;
      else longest = length - 1;
    }
    element.textContent = shortened(text, shortest);
  }
  // An element that is not rendered has no length. It is measured again when it is.
  if (element.getComputedTextLength() > 0) element.dataset.fitted = state;
}

const shortened = (text, length) => `${text.slice(0, length)}…`;

/**
 * Updates the children of `parent` from `items`: one child per `key`, created once and then updated in place, so that
 * focus and animations continue.
 */
export function updateChildren(parent, items, key, create, update) {
  const existing = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  items.forEach((item, index) => {
    const name = key(item);
    let child = existing.get(name);
    existing.delete(name);
    if (!child) {
      child = create(item);
      child.dataset.key = name;
    }
    if (parent.children[index] !== child) parent.insertBefore(child, parent.children[index] ?? null);
    update(child, item);
  });
  for (const child of existing.values()) child.remove();
}

/** Returns the parts of a text in which `backticks` mark code. */
export function prose(text) {
  return text.split("`").map((part, index) => (index % 2 ? el("code", {}, part) : part));
}

/** Formats seconds. */
export function formatTime(seconds) {
  if (seconds >= 1) return `${seconds.toFixed(seconds < 10 ? 2 : 1)} s`;
  const milliseconds = seconds * 1000;
  return `${milliseconds.toFixed(milliseconds < 10 ? 1 : 0)} ms`;
}

/** Formats a share of 1 in percent. */
export function formatPercent(share) {
  if (share > 0 && share < 0.01) return "< 1 %";
  if (share > 0.99 && share < 1) return "> 99 %";
  return `${Math.round(100 * share)} %`;
}

/** Formats requests per second. */
export function formatRate(value) {
  return `${value.toFixed(value < 9.95 ? 1 : 0)}/s`;
}

/** Returns the JSON or the text at a path. A rejected request is an Error with the lab's message. */
export async function get(path) {
  return content(await fetch(path));
}

/** Sends a change, and returns the response as `get` does. */
export async function post(path, body = {}) {
  return content(await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify(body),
  }));
}

async function content(response) {
  const type = response.headers.get("content-type") ?? "";
  const body = type.startsWith("application/json") ? await response.json() : await response.text();
  if (!response.ok) throw new Error(body.error ?? String(body).trim());
  return body;
}
