"""Runs scenarios on a target and judges their claims, in both directions."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

from bookinfo_lab.documents import Document
from bookinfo_lab.objects import Key, key
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Claim, Counter, Log, Observation, Sample, Scenario, Step, Traffic
from bookinfo_lab.scenarios.target import NotObservableError, Target

PATIENCE = 12.0
"""Seconds that counters and logs have to become what a claim says: Envoy writes its log once a second at the latest."""

LOG_FLUSH = 2.0
_POLL = 0.2

Outcome = Literal["holds", "fails", "holds without its rule", "not checked"]
Report = Callable[[str], None]


@dataclass(frozen=True)
class Judged:
    """A claim, and what became of it."""

    scenario: str
    step: int  # from 1
    title: str  # the step's
    traffic: str
    expected: str
    seen: str
    without: str  # what was seen without the rule; empty for an invariant
    outcome: Outcome
    false_alarm: float

    @property
    def bad(self) -> bool:
        """Whether it speaks against the mesh, or against the claim."""
        return self.outcome in ("fails", "holds without its rule")


@dataclass(frozen=True)
class _Unseen:
    """Why a sample lacks something."""

    reason: str


_Samples = Mapping[Traffic, Sample | _Unseen]


class Runner:
    """One run over any number of scenarios. The caller restores the target afterwards."""

    def __init__(self, target: Target, manifests: Manifests, report: Report) -> None:
        """`report` takes lines about progress."""
        self._target = target
        self._manifests = manifests
        self._report = report

    def verify(self, scenario: Scenario) -> list[Judged]:
        """Run all steps; each claim is judged with its rule and without."""
        judged: list[Judged] = []
        try:
            for found in self._steps(scenario):
                judged += found
        except NotObservableError as error:
            done = max((row.step for row in judged), default=0)
            judged += [
                row
                for number, step in enumerate(scenario.steps, 1)
                if number > done
                for observation in step.observations
                for row in _judge(scenario, number, step, observation, _Unseen(str(error)), None)
            ]
        return judged

    def _steps(self, scenario: Scenario) -> Iterator[list[Judged]]:
        state = self._baseline(scenario)
        self._bring(scenario, state)
        baseline = self._contrasts(scenario.steps, "baseline", {})
        before: _Samples = baseline
        for number, step in enumerate(scenario.steps, 1):
            self._report(f"{scenario.name} {number}/{len(scenario.steps)}: {step.title}")
            contrasts = {"baseline": baseline, "before": self._contrasts([step], "before", before)}
            state = self._after(step, state)
            self._bring(scenario, state)
            samples: dict[Traffic, Sample | _Unseen] = {}
            judged: list[Judged] = []
            for observation in step.observations:
                sample = samples[observation.traffic] = self._measure(observation, patience=PATIENCE)
                contrast = contrasts[observation.against].get(observation.traffic)
                judged += _judge(scenario, number, step, observation, sample, contrast)
            before = samples
            yield judged

    def show(self, scenario: Scenario, number: int) -> list[Judged]:
        """Bring the state after step `number`, leave it so, and judge that step's claims on its traffic alone."""
        state = self._baseline(scenario)
        for step in scenario.steps[:number]:
            state = self._after(step, state)
        self._bring(scenario, state)
        step = scenario.steps[number - 1]
        self._report(f"{scenario.name} {number}/{len(scenario.steps)}: {step.title}")
        return [
            judged
            for observation in step.observations
            for judged in _judge(scenario, number, step, observation, self._measure(observation, PATIENCE), None)
        ]

    def _baseline(self, scenario: Scenario) -> dict[Key, Document]:
        return {key(document): document for document in self._manifests.documents(scenario.given)}

    def _after(self, step: Step, state: Mapping[Key, Document]) -> dict[Key, Document]:
        deleted = {key(document) for document in self._manifests.documents(step.delete)}
        applied = {key(document): document for document in self._manifests.documents(step.apply)}
        return {identity: document for identity, document in state.items() if identity not in deleted} | applied

    def _bring(self, scenario: Scenario, state: Mapping[Key, Document]) -> None:
        without = {key(document) for document in self._manifests.documents(scenario.without)} - set(state)
        self._target.bring(list(state.values()), without)

    def _contrasts(self, steps: Iterable[Step], against: str, known: _Samples) -> _Samples:
        """The same traffic in the present state, where a claim needs it; what is `known` already is not sent again."""
        return {
            observation.traffic: _reusable(known.get(observation.traffic), observation)
            or self._measure(observation, patience=0.0)
            for step in steps
            for observation in step.observations
            if observation.shows and observation.against == against
        }

    def _measure(self, observation: Observation, patience: float) -> Sample | _Unseen:
        """Send the traffic. With `patience`, what is counted has so many seconds to become as claimed."""
        target = self._target
        claims = (*observation.shows, *observation.keeps)
        reads = _reads(observation)
        counters = [read for read in reads if isinstance(read, Counter)]
        logs = [read for read in reads if isinstance(read, Log)]
        try:
            marks = {log: target.log_mark(log) for log in logs}
            before = {counter: 0 if counter.gauge else target.count(counter) for counter in counters}
        except NotObservableError as error:
            return _Unseen(str(error))
        results = tuple(target.send(self._manifests.with_token(observation.traffic)))
        deadline = time.monotonic() + patience
        if logs and not patience:
            time.sleep(LOG_FLUSH)
        while True:
            counted = {counter: target.count(counter) - before[counter] for counter in counters}
            logged = {log: target.log_lines(log, mark) for log, mark in marks.items()}
            sample = Sample(results, counted, logged)
            if time.monotonic() > deadline or all(claim.judge(sample).holds for claim in claims if claim.reads):
                return sample
            time.sleep(_POLL)


def _reads(observation: Observation) -> set[Counter | Log]:
    return {read for claim in (*observation.shows, *observation.keeps) for read in claim.reads}


def _reusable(sample: Sample | _Unseen | None, observation: Observation) -> Sample | _Unseen | None:
    if isinstance(sample, Sample) and not _reads(observation) <= sample.counted.keys() | sample.logged.keys():
        return None
    return sample


def _judge(
    scenario: Scenario,
    number: int,
    step: Step,
    observation: Observation,
    sample: Sample | _Unseen,
    contrast: Sample | _Unseen | None,
) -> list[Judged]:
    def judged(claim: Claim, seen: str, without: str, outcome: Outcome) -> Judged:
        return Judged(
            scenario=scenario.name,
            step=number,
            title=step.title,
            traffic=str(observation.traffic),
            expected=claim.expected,
            seen=seen,
            without=without,
            outcome=outcome,
            false_alarm=claim.false_alarm(observation.traffic.count),
        )

    def one(claim: Claim, contrast: Sample | _Unseen | None) -> Judged:
        if isinstance(sample, _Unseen):
            return judged(claim, sample.reason, "", "not checked")
        verdict = claim.judge(sample)
        if not isinstance(contrast, Sample):
            return judged(claim, verdict.seen, "", "holds" if verdict.holds else "fails")
        other = claim.judge(contrast)
        if not verdict.holds:
            return judged(claim, verdict.seen, other.seen, "fails")
        return judged(claim, verdict.seen, other.seen, "holds without its rule" if other.holds else "holds")

    return [one(claim, contrast) for claim in observation.shows] + [one(claim, None) for claim in observation.keeps]
