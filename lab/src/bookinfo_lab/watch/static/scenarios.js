// The scenarios: what each step does, a button for it, and what came of it.

import { ask, by, change, el, prose, say, set } from "./dom.js";

let scenarios = [];
let running = false;
let went = { scenario: null, step: null };

export const complain = (error) => say(by("complaint"), error.message);

const chosen = () => scenarios.find((scenario) => scenario.name === by("scenario").value);

export function start() {
  ask("/api/scenarios").then((told) => {
    scenarios = told;
    by("scenario").replaceChildren(...told.map((item, index) => el("option", { value: item.name }, `${index + 1}. ${item.title}`)));
    if (went.scenario) by("scenario").value = went.scenario;
    choose();
  }, complain);
  by("scenario").addEventListener("change", choose);
  by("prove").addEventListener("click", () => run(null));
  by("lesson-stop").addEventListener("click", () => act("/api/lesson/stop"));
  by("reset").addEventListener("click", () => act("/api/reset"));
}

function act(path, body) {
  say(by("complaint"), "");
  change(path, body).catch(complain);
}

const run = (step) => act("/api/lesson", { scenario: chosen().name, step });

function choose() {
  const scenario = chosen();
  by("teaches").replaceChildren(...prose(scenario.teaches));
  by("steps").replaceChildren(...scenario.steps.map((step, index) => stepOf(scenario, step, index + 1)));
  mark();
}

function stepOf(scenario, step, number) {
  const commands = number === 1 ? [...scenario.given, ...step.commands] : step.commands;
  return el("li", { class: "step", "data-step": number },
    el("button", { class: "go", onclick: () => run(number), "aria-label": `Go to step ${number}: ${step.title}` }, String(number)),
    el("div", {},
      el("h3", {}, step.title),
      el("p", {}, ...prose(step.text.replaceAll("\n", " "))),
      el("details", {},
        el("summary", {}, `${commands.length ? "applies, " : ""}sends and expects`),
        commands.length ? el("pre", { tabindex: 0, "aria-label": `Commands of step ${number}` }, commands.join("\n")) : null,
        ...step.observations.flatMap((observation) => [
          el("p", { class: "traffic" }, observation.traffic),
          el("ul", {}, ...observation.claims.map((claim) => el("li", {}, ...prose(claim)))),
        ]))));
}

/** Shows which step the lab is at, and lets nobody start two things. */
function mark() {
  const here = went.scenario === by("scenario").value;
  for (const item of by("steps").children) {
    const current = here && went.step === Number(item.dataset.step);
    set(item, { class: current ? "step current" : "step", "aria-current": current ? "step" : null });
    item.querySelector(".go").disabled = running;
  }
  by("prove").disabled = by("reset").disabled = running;
  set(by("lesson-stop"), { hidden: !running });
}

export function show(told) {
  running = told.running;
  went = { scenario: told.scenario ?? null, step: told.step ?? null };
  if (running && scenarios.length && by("scenario").value !== told.scenario) {
    by("scenario").value = told.scenario;
    choose();
  }
  mark();
  by("lesson").replaceChildren(...(told.scenario ? outcome(told) : []));
}

function outcome(told) {
  const parts = [el("p", { class: "command" }, el("code", {}, told.command))];
  if (told.running) {
    const last = told.lines.at(-1) ?? "starting";
    parts.push(el("p", { class: "progress" }, told.stopping ? "stopping, and putting back what was there" : last));
  }
  if (told.error) parts.push(el("p", { class: "complaint" }, told.error));
  if (told.claims.length) {
    const good = told.claims.filter((claim) => claim.outcome === "passed").length;
    parts.push(el("p", { class: "verdict" }, `${good} of ${told.claims.length} claims hold`));
    parts.push(el("ul", { class: "claims" }, ...told.claims.map(claimOf)));
  }
  return parts;
}

const SIGNS = { passed: ["good", "✓"], "not checked": ["soft", "–"] };

function claimOf(claim) {
  const [kind, sign] = SIGNS[claim.outcome] ?? ["bad", "✕"];
  const without = claim.observed_without_rule ? `; without the rule: ${claim.observed_without_rule}` : "";
  return el("li", { class: kind },
    el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("span", {}, el("b", {}, ...prose(claim.expected)), ` ${claim.outcome}: `, ...prose(claim.observed + without)));
}
