// The form that sends steady traffic to the application's page.

import { byId, post, set, setText } from "./dom.js";
import { showError } from "./scenarios.js";

const SECONDS = 600;

export function start() {
  byId("load").addEventListener("submit", (event) => {
    event.preventDefault();
    post("/api/load", { rps: byId("load-rps").valueAsNumber, seconds: SECONDS }).catch(showError);
  });
  byId("load-stop").addEventListener("click", () => post("/api/load/stop").catch(showError));
}

export function show(load) {
  set(byId("load-stop"), { hidden: !load.running });
  setText(byId("load-start"), load.running ? "Change" : "Start");
  const until = load.running ? ` until ${new Date(1000 * load.ends).toLocaleTimeString()}` : "";
  setText(byId("load-line"), load.running ? `${load.command}${until}. ${load.line}` : load.line);
}
