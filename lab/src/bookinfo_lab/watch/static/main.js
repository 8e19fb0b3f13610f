// Connects the states that the lab sends with the parts of the page that show them.

import { byId, set, setText } from "./dom.js";
import * as graph from "./graph.js";
import * as load from "./load.js";
import * as objects from "./objects.js";
import * as scenarios from "./scenarios.js";
import * as traces from "./traces.js";

const RETRY_MILLISECONDS = 2000;
let events = null;

const topics = { lab: showLab, graph: graph.show, traces: traces.show, objects: objects.show, scenario: scenarios.show, load: load.show };

function showLab(lab) {
  setText(byId("lab-name"), lab.lab === "default" ? "" : lab.lab);
  showState(lab.state, lab.state === "ready" ? "good" : "wait");
  set(byId("page-link"), { href: lab.url, hidden: false });
}

function showState(text, kind) {
  setText(byId("lab-state"), text);
  set(byId("lab-state"), { class: `state ${kind}` });
}

/** Receives events while the page is visible. A tab in the background costs nothing. */
function listen() {
  events?.close();
  events = null;
  if (document.hidden) return;
  events = new EventSource("/events");
  for (const [topic, show] of Object.entries(topics)) {
    events.addEventListener(topic, (event) => show(JSON.parse(event.data)));
  }
  events.onerror = () => {
    showState("no connection; is the lab stopped?", "bad");
    // A browser retries by itself unless the response was an error.
    if (events?.readyState === EventSource.CLOSED) setTimeout(listen, RETRY_MILLISECONDS);
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
