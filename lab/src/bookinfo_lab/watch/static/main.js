// Joins what the lab tells with the parts of the page that show it.

import { by, say, set } from "./dom.js";
import * as graph from "./graph.js";
import * as load from "./load.js";
import * as objects from "./objects.js";
import * as scenarios from "./scenarios.js";
import * as traces from "./traces.js";

const AGAIN = 2000;
let events = null;

const topics = { lab, graph: graph.show, traces: traces.show, objects: objects.show, lesson: scenarios.show, load: load.show };

function lab(told) {
  say(by("lab-name"), told.lab === "default" ? "" : told.lab);
  state(told.state, told.state === "ready" ? "good" : "wait");
  set(by("page-link"), { href: told.url, hidden: false });
}

function state(text, kind) {
  say(by("lab-state"), text);
  set(by("lab-state"), { class: `state ${kind}` });
}

/** Listens while the page is to be seen: a tab in the background costs nothing. */
function listen() {
  events?.close();
  events = null;
  if (document.hidden) return;
  events = new EventSource("/events");
  for (const [topic, show] of Object.entries(topics)) {
    events.addEventListener(topic, (event) => show(JSON.parse(event.data)));
  }
  events.onerror = () => {
    state("no connection: has the lab been stopped?", "bad");
    // A browser tries again by itself unless the answer was an error.
    if (events?.readyState === EventSource.CLOSED) setTimeout(listen, AGAIN);
  };
}

graph.start();
traces.start();
load.start();
scenarios.start();
document.addEventListener("visibilitychange", listen);
addEventListener("pagehide", () => events?.close());
addEventListener("pageshow", (event) => event.persisted && listen());
listen();
