// The scenarios: their steps, a button for each step, and the results.

import { byId, el, get, post, prose, set, setText } from "./dom.js";

let scenarios = [];
let running = false;
let current = { scenario: null, step: null };

export const showError = (error) => setText(byId("error"), error.message);

const selected = () => scenarios.find((scenario) => scenario.name === byId("scenario").value);

export function start() {
  get("/api/scenarios").then((list) => {
    scenarios = list;
    byId("scenario").replaceChildren(...list.map((item, index) => el("option", { value: item.name }, `${index + 1}. ${item.title}`)));
    if (current.scenario) byId("scenario").value = current.scenario;
    showScenario();
  }, showError);
  byId("scenario").addEventListener("change", showScenario);
  byId("verify").addEventListener("click", () => run(null));
  byId("scenario-stop").addEventListener("click", () => send("/api/scenario/stop"));
  byId("reset").addEventListener("click", () => send("/api/reset"));
}

function send(path, body) {
  setText(byId("error"), "");
  post(path, body).catch(showError);
}

const run = (step) => send("/api/scenario", { scenario: selected().name, step });

function showScenario() {
  const scenario = selected();
  byId("teaches").replaceChildren(...prose(scenario.teaches));
  byId("steps").replaceChildren(...scenario.steps.map((step, index) => stepItem(scenario, step, index + 1)));
  updateButtons();
}

function stepItem(scenario, step, number) {
  const commands = number === 1 ? [...scenario.setup, ...step.commands] : step.commands;
  return el("li", { class: "step", "data-step": number },
    el("button", { class: "go", onclick: () => run(number), "aria-label": `Go to step ${number}: ${step.title}` }, String(number)),
    el("div", {},
      el("h3", {}, step.title),
      el("p", {}, ...prose(step.text.replaceAll("\n", " "))),
      el("details", {},
        el("summary", {}, commands.length ? "Commands, requests and claims" : "Requests and claims"),
        commands.length ? el("pre", { tabindex: 0, "aria-label": `Commands of step ${number}` }, commands.join("\n")) : null,
        ...step.observations.flatMap((observation) => [
          el("p", { class: "traffic" }, observation.traffic),
          el("ul", {}, ...observation.claims.map((claim) => el("li", {}, ...prose(claim)))),
        ]))));
}

/** Marks the current step, and disables the buttons while a scenario is running. */
function updateButtons() {
  const here = current.scenario === byId("scenario").value;
  for (const item of byId("steps").children) {
    const isCurrent = here && current.step === Number(item.dataset.step);
    set(item, { class: isCurrent ? "step current" : "step", "aria-current": isCurrent ? "step" : null });
    item.querySelector(".go").disabled = running;
  }
  byId("verify").disabled = byId("reset").disabled = running;
  set(byId("scenario-stop"), { hidden: !running });
}

export function show(job) {
  running = job.running;
  current = { scenario: job.scenario ?? null, step: job.step ?? null };
  if (running && scenarios.length && byId("scenario").value !== job.scenario) {
    byId("scenario").value = job.scenario;
    showScenario();
  }
  updateButtons();
  byId("scenario-result").replaceChildren(...(job.scenario ? resultOf(job) : []));
}

function resultOf(job) {
  const parts = [el("p", { class: "command" }, el("code", {}, job.command))];
  if (job.running) {
    const last = job.lines.at(-1) ?? "starting";
    parts.push(el("p", { class: "progress" }, job.stopping ? "stopping and restoring the lab" : last));
  }
  if (job.error) parts.push(el("p", { class: "error" }, job.error));
  if (job.claims.length) {
    const good = job.claims.filter((claim) => claim.outcome === "passed").length;
    parts.push(el("p", { class: "summary" }, `${good} of ${job.claims.length} claims passed`));
    parts.push(el("ul", { class: "claims" }, ...job.claims.map(claimItem)));
  }
  return parts;
}

const SIGNS = { passed: ["good", "✓"], "not checked": ["soft", "–"] };

function claimItem(claim) {
  const [kind, sign] = SIGNS[claim.outcome] ?? ["bad", "✕"];
  const without = claim.observed_without_rule ? `; without the rule: ${claim.observed_without_rule}` : "";
  return el("li", { class: kind },
    el("span", { class: "sign", "aria-hidden": "true" }, sign),
    el("span", {}, el("b", {}, ...prose(claim.expected)), ` ${claim.outcome}: `, ...prose(claim.observed + without)));
}
