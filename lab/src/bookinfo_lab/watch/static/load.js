// Steady requests for the product page, from here.

import { by, change, say, set } from "./dom.js";
import { complain } from "./scenarios.js";

const SECONDS = 600;

export function start() {
  by("load").addEventListener("submit", (event) => {
    event.preventDefault();
    change("/api/load", { rps: by("load-rps").valueAsNumber, seconds: SECONDS }).catch(complain);
  });
  by("load-stop").addEventListener("click", () => change("/api/load/stop").catch(complain));
}

export function show(told) {
  set(by("load-stop"), { hidden: !told.running });
  say(by("load-start"), told.running ? "Change" : "Start");
  const until = told.running ? ` until ${new Date(1000 * told.ends).toLocaleTimeString()}` : "";
  say(by("load-line"), told.running ? `${told.command}${until}. ${told.line}` : told.line);
}
