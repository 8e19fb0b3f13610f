"""Runs scenarios on a target and checks their claims, with each rule and without it."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Claim, Counter, LogPattern, Observation, Sample, Scenario, Step, Traffic
from bookinfo_lab.scenarios.target import NotObservableError, Target

OBSERVATION_TIMEOUT_SECONDS = 12.0
"""How long counters and logs may take to satisfy a claim. Envoy writes its log at least once a second."""

LOG_FLUSH_SECONDS = 2.0
_POLL_SECONDS = 0.2

_RETRY_SECONDS = 2.0
"""The pause between two samples that are taken to see whether a change is in effect."""

Outcome = Literal["passed", "failed", "passed without the rule", "not checked"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class ClaimResult:
    """A claim and its outcome."""

    scenario: str
    step: int  # from 1
    title: str  # the step's
    traffic: str
    expected: str
    observed: str
    observed_without_rule: str  # empty for an invariant
    outcome: Outcome
    false_alarm_probability: float  # over all tries

    @property
    def failed(self) -> bool:
        """Whether the mesh does not do what the claim states, or does it without the rule."""
        return self.outcome in ("failed", "passed without the rule")


_Samples = Mapping[Traffic, Sample]


class Runner:
    """Runs any number of scenarios. The caller restores the target afterwards."""

    def __init__(self, target: Target, manifests: Manifests, report: Report) -> None:
        """`report` receives lines about progress."""
        self._target = target
        self._manifests = manifests
        self._report = report
        self._propagated_at = 0.0  # when the last change is in effect everywhere, by `time.monotonic`

    def verify(self, scenario: Scenario) -> list[ClaimResult]:
        """Run all steps and check each claim with its rule and without it."""
        if self._target.mesh not in scenario.meshes:
            required = " or ".join(scenario.meshes)
            return _not_checked(scenario, 0, f"requires {required}; this target has {self._target.mesh}")
        results: list[ClaimResult] = []
        try:
            for step_results in self._steps(scenario):
                results += step_results
        except NotObservableError as error:
            results += _not_checked(scenario, max((row.step for row in results), default=0), str(error))
        return results

    def _steps(self, scenario: Scenario) -> Iterator[list[ClaimResult]]:
        state = self._baseline(scenario)
        self._set_state(scenario, state)
        baseline = self._contrasts(scenario.steps, "baseline", {})
        previous: _Samples = baseline
        for number, step in enumerate(scenario.steps, 1):
            self._report(f"{scenario.name} {number}/{len(scenario.steps)}: {step.title}")
            contrasts = {
                "baseline": baseline,
                "previous step": self._contrasts([step], "previous step", previous),
            }
            state = self._after(step, state)
            self._set_state(scenario, state)
            samples: dict[Traffic, Sample] = {}
            results: list[ClaimResult] = []
            for observation in step.observations:
                sample = self._measure_until(observation, OBSERVATION_TIMEOUT_SECONDS, _passes)
                samples[observation.traffic] = sample
                contrast = contrasts[observation.contrast_with].get(observation.traffic)
                results += _check_claims(scenario, number, observation, sample, contrast)
            previous = samples
            yield results

    def show(self, scenario: Scenario, number: int) -> list[ClaimResult]:
        """Set the state after step `number`, keep it, and check that step's claims with the rule only."""
        state = self._baseline(scenario)
        for step in scenario.steps[:number]:
            state = self._after(step, state)
        self._set_state(scenario, state)
        step = scenario.steps[number - 1]
        self._report(f"{scenario.name} {number}/{len(scenario.steps)}: {step.title}")
        results: list[ClaimResult] = []
        for observation in step.observations:
            sample = self._measure_until(observation, OBSERVATION_TIMEOUT_SECONDS, _passes)
            results += _check_claims(scenario, number, observation, sample, None)
        return results

    def _baseline(self, scenario: Scenario) -> dict[Key, Document]:
        return {key(document): document for document in self._manifests.documents(scenario.setup)}

    def _after(self, step: Step, state: Mapping[Key, Document]) -> dict[Key, Document]:
        deleted = {key(document) for document in self._manifests.documents(step.delete)}
        applied = {key(document): document for document in self._manifests.documents(step.apply)}
        return {identity: document for identity, document in state.items() if identity not in deleted} | applied

    def _set_state(self, scenario: Scenario, state: Mapping[Key, Document]) -> None:
        removed = {key(document) for document in self._manifests.documents(scenario.removed)} - set(state)
        self._target.set_state(list(state.values()), removed)
        self._propagated_at = time.monotonic() + self._target.propagation_seconds

    def _contrasts(self, steps: Iterable[Step], contrast_with: str, known: _Samples) -> _Samples:
        """Sample the traffic of all effects in the current state. Samples that are `known` are not taken again."""
        return {
            observation.traffic: _reusable(known.get(observation.traffic), observation)
            or self._measure_until(observation, 0.0, _has_no_effect)
            for step in steps
            for observation in step.observations
            if observation.effects and observation.contrast_with == contrast_with
        }

    def _measure_until(
        self, observation: Observation, timeout_seconds: float, condition: Callable[[Observation, Sample], bool]
    ) -> Sample:
        """Take samples until one satisfies `condition`, or until the last change must be in effect."""
        for tries in itertools.count(1):
            propagated = time.monotonic() >= self._propagated_at
            sample = self._measure(observation, timeout_seconds)
            if propagated or condition(observation, sample):
                return replace(sample, tries=tries)
            time.sleep(min(_RETRY_SECONDS, self._target.propagation_seconds / 10))
        raise AssertionError  # itertools.count does not end

    def _measure(self, observation: Observation, timeout_seconds: float) -> Sample:
        """Send the traffic. Counters and logs have `timeout_seconds` to satisfy the claims."""
        target = self._target
        claims = (*observation.effects, *observation.invariants)
        log_marks: dict[LogPattern, object] = {}
        before: dict[Counter, int] = {}
        unobservable: dict[Counter | LogPattern, str] = {}
        for read in _reads(observation):
            try:
                if isinstance(read, LogPattern):
                    log_marks[read] = target.log_mark(read)
                else:
                    count = target.count(read)
                    before[read] = 0 if read.gauge else count
            except NotObservableError as error:
                unobservable[read] = str(error)
        waiting = [claim for claim in claims if claim.reads and not unobservable.keys() & set(claim.reads)]
        results = tuple(target.send(self._manifests.with_token(observation.traffic)))
        deadline = time.monotonic() + timeout_seconds
        if log_marks and not timeout_seconds:
            time.sleep(LOG_FLUSH_SECONDS)
        while True:
            increases = {counter: target.count(counter) - earlier for counter, earlier in before.items()}
            lines = {log: target.log_lines(log, mark) for log, mark in log_marks.items()}
            sample = Sample(results, increases, lines, unobservable)
            if time.monotonic() > deadline or all(claim.check(sample).passed for claim in waiting):
                return sample
            time.sleep(_POLL_SECONDS)


def _reads(observation: Observation) -> set[Counter | LogPattern]:
    return {read for claim in (*observation.effects, *observation.invariants) for read in claim.reads}


def _reusable(sample: Sample | None, observation: Observation) -> Sample | None:
    """Return the sample if it contains everything that the observation's claims read."""
    if sample is None:
        return None
    available = sample.counter_increases.keys() | sample.log_line_counts.keys() | sample.unobservable.keys()
    return sample if _reads(observation) <= available else None


def _passes(observation: Observation, sample: Sample) -> bool:
    """Whether every observable claim passes."""
    claims = (*observation.effects, *observation.invariants)
    return all(claim.check(sample).passed for claim in claims if not _unobservable_reason(claim, sample))


def _has_no_effect(observation: Observation, sample: Sample) -> bool:
    """Whether no observable effect passes: the rule is not in effect, or no longer."""
    claims = [claim for claim in observation.effects if not _unobservable_reason(claim, sample)]
    return not any(claim.check(sample).passed for claim in claims)


def _unobservable_reason(claim: Claim, sample: Sample) -> str:
    """Why the claim cannot be checked with this sample; empty if it can."""
    return next((sample.unobservable[read] for read in claim.reads if read in sample.unobservable), "")


def _not_checked(scenario: Scenario, completed_steps: int, reason: str) -> list[ClaimResult]:
    """Report all claims of the remaining steps as not checked."""
    return [
        _claim_result(scenario, number, observation, claim, reason, "", "not checked")
        for number in range(completed_steps + 1, len(scenario.steps) + 1)
        for observation in scenario.steps[number - 1].observations
        for claim in (*observation.effects, *observation.invariants)
    ]


def _check_claims(
    scenario: Scenario, number: int, observation: Observation, sample: Sample, contrast: Sample | None
) -> list[ClaimResult]:
    """Check every claim of the observation. `contrast` is the sample without the rule, if there is one."""

    def one(claim: Claim, contrast: Sample | None) -> ClaimResult:
        def result(observed: str, observed_without_rule: str, outcome: Outcome) -> ClaimResult:
            return _claim_result(
                scenario, number, observation, claim, observed, observed_without_rule, outcome, sample.tries
            )

        if reason := _unobservable_reason(claim, sample):
            return result(reason, "", "not checked")
        check = claim.check(sample)
        observed = f"{check.observed} (try {sample.tries})" if sample.tries > 1 else check.observed
        if contrast is None:
            return result(observed, "", "passed" if check.passed else "failed")
        if reason := _unobservable_reason(claim, contrast):
            return result(observed, reason, "not checked" if check.passed else "failed")
        without_rule = claim.check(contrast)
        if not check.passed:
            return result(observed, without_rule.observed, "failed")
        return result(observed, without_rule.observed, "passed without the rule" if without_rule.passed else "passed")

    effects = [one(claim, contrast) for claim in observation.effects]
    return effects + [one(claim, None) for claim in observation.invariants]


def _claim_result(
    scenario: Scenario,
    number: int,
    observation: Observation,
    claim: Claim,
    observed: str,
    observed_without_rule: str,
    outcome: Outcome,
    tries: int = 1,
) -> ClaimResult:
    probability = claim.false_alarm_probability(observation.traffic.count) * tries
    return ClaimResult(
        scenario=scenario.name,
        step=number,
        title=scenario.steps[number - 1].title,
        traffic=str(observation.traffic),
        expected=claim.expected,
        observed=observed,
        observed_without_rule=observed_without_rule,
        outcome=outcome,
        false_alarm_probability=0.0 if outcome == "not checked" else probability,
    )
