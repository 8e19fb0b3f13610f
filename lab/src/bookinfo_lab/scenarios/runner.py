"""Runs scenarios on a target and judges their claims, in both directions."""

import itertools
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Claim, Counter, Log, Observation, Sample, Scenario, Step, Traffic
from bookinfo_lab.scenarios.target import NotObservableError, Target

PATIENCE = 12.0
"""Seconds that counters and logs have to become what a claim says: Envoy writes its log once a second at the latest."""

LOG_FLUSH = 2.0
_POLL = 0.2

_AGAIN = 2.0
"""Seconds between two looks at whether a change has taken effect."""

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
    false_alarm: float  # by chance alone, in all tries

    @property
    def bad(self) -> bool:
        """Whether it speaks against the mesh, or against the claim."""
        return self.outcome in ("fails", "holds without its rule")


_Samples = Mapping[Traffic, Sample]


class Runner:
    """One run over any number of scenarios. The caller restores the target afterwards."""

    def __init__(self, target: Target, manifests: Manifests, report: Report) -> None:
        """`report` takes lines about progress."""
        self._target = target
        self._manifests = manifests
        self._report = report
        self._settled = 0.0  # when the last change is in effect everywhere, by `time.monotonic`

    def verify(self, scenario: Scenario) -> list[Judged]:
        """Run all steps; each claim is judged with its rule and without."""
        if self._target.mesh not in scenario.meshes:
            needed = " or ".join(scenario.meshes)
            return _not_checked(scenario, 0, f"it takes {needed}; here there is {self._target.mesh}")
        judged: list[Judged] = []
        try:
            for found in self._steps(scenario):
                judged += found
        except NotObservableError as error:
            judged += _not_checked(scenario, max((row.step for row in judged), default=0), str(error))
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
            samples: dict[Traffic, Sample] = {}
            judged: list[Judged] = []
            for observation in step.observations:
                sample = samples[observation.traffic] = self._settle(observation, PATIENCE, _holds)
                contrast = contrasts[observation.against].get(observation.traffic)
                judged += _judge(scenario, number, observation, sample, contrast)
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
            for judged in _judge(scenario, number, observation, self._settle(observation, PATIENCE, _holds), None)
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
        self._settled = time.monotonic() + self._target.settle

    def _contrasts(self, steps: Iterable[Step], against: str, known: _Samples) -> _Samples:
        """The same traffic in the present state, where a claim needs it; what is `known` already is not sent again."""
        return {
            observation.traffic: _reusable(known.get(observation.traffic), observation)
            or self._settle(observation, 0.0, _is_over)
            for step in steps
            for observation in step.observations
            if observation.shows and observation.against == against
        }

    def _settle(
        self, observation: Observation, patience: float, wanted: Callable[[Observation, Sample], bool]
    ) -> Sample:
        """Measure until the sample is as `wanted`, or until the last change must have taken effect."""
        for tries in itertools.count(1):
            overdue = time.monotonic() >= self._settled
            sample = self._measure(observation, patience)
            if overdue or wanted(observation, sample):
                return replace(sample, tries=tries)
            time.sleep(min(_AGAIN, self._target.settle / 10))
        raise AssertionError  # a count does not end

    def _measure(self, observation: Observation, patience: float) -> Sample:
        """Send the traffic. With `patience`, what is counted has so many seconds to become as claimed."""
        target = self._target
        claims = (*observation.shows, *observation.keeps)
        marks: dict[Log, object] = {}
        before: dict[Counter, int] = {}
        unseen: dict[Counter | Log, str] = {}
        for read in _reads(observation):
            try:
                if isinstance(read, Log):
                    marks[read] = target.log_mark(read)
                else:
                    count = target.count(read)
                    before[read] = 0 if read.gauge else count
            except NotObservableError as error:
                unseen[read] = str(error)
        seen_claims = [claim for claim in claims if claim.reads and not unseen.keys() & set(claim.reads)]
        results = tuple(target.send(self._manifests.with_token(observation.traffic)))
        deadline = time.monotonic() + patience
        if marks and not patience:
            time.sleep(LOG_FLUSH)
        while True:
            counted = {counter: target.count(counter) - earlier for counter, earlier in before.items()}
            logged = {log: target.log_lines(log, mark) for log, mark in marks.items()}
            sample = Sample(results, counted, logged, unseen)
            if time.monotonic() > deadline or all(claim.judge(sample).holds for claim in seen_claims):
                return sample
            time.sleep(_POLL)


def _reads(observation: Observation) -> set[Counter | Log]:
    return {read for claim in (*observation.shows, *observation.keeps) for read in claim.reads}


def _reusable(sample: Sample | None, observation: Observation) -> Sample | None:
    """The sample, if it has all that the observation's claims read."""
    if sample and not _reads(observation) <= sample.counted.keys() | sample.logged.keys() | sample.unseen.keys():
        return None
    return sample


def _holds(observation: Observation, sample: Sample) -> bool:
    """Whether every claim that can be judged holds."""
    claims = (*observation.shows, *observation.keeps)
    return all(claim.judge(sample).holds for claim in claims if not _unseen(claim, sample))


def _is_over(observation: Observation, sample: Sample) -> bool:
    """Whether the rule that makes the claims hold is without effect."""
    return not any(claim.judge(sample).holds for claim in observation.shows if not _unseen(claim, sample))


def _unseen(claim: Claim, sample: Sample) -> str:
    """Why the claim cannot be judged by this sample; empty if it can."""
    return next((sample.unseen[read] for read in claim.reads if read in sample.unseen), "")


def _not_checked(scenario: Scenario, after: int, reason: str) -> list[Judged]:
    """All claims of the steps that come after step number `after`."""
    return [
        _judged(scenario, number, observation, claim, reason, "", "not checked")
        for number in range(after + 1, len(scenario.steps) + 1)
        for observation in scenario.steps[number - 1].observations
        for claim in (*observation.shows, *observation.keeps)
    ]


def _judge(
    scenario: Scenario, number: int, observation: Observation, sample: Sample, contrast: Sample | None
) -> list[Judged]:
    """Every claim of the observation. `contrast` is the same traffic without the rule, where that is known."""

    def one(claim: Claim, contrast: Sample | None) -> Judged:
        def judged(seen: str, without: str, outcome: Outcome) -> Judged:
            return _judged(scenario, number, observation, claim, seen, without, outcome, sample.tries)

        if reason := _unseen(claim, sample):
            return judged(reason, "", "not checked")
        verdict = claim.judge(sample)
        seen = f"{verdict.seen} (try {sample.tries})" if sample.tries > 1 else verdict.seen
        if contrast is None:
            return judged(seen, "", "holds" if verdict.holds else "fails")
        if reason := _unseen(claim, contrast):
            return judged(seen, reason, "not checked" if verdict.holds else "fails")
        other = claim.judge(contrast)
        if not verdict.holds:
            return judged(seen, other.seen, "fails")
        return judged(seen, other.seen, "holds without its rule" if other.holds else "holds")

    return [one(claim, contrast) for claim in observation.shows] + [one(claim, None) for claim in observation.keeps]


def _judged(
    scenario: Scenario,
    number: int,
    observation: Observation,
    claim: Claim,
    seen: str,
    without: str,
    outcome: Outcome,
    tries: int = 1,
) -> Judged:
    return Judged(
        scenario=scenario.name,
        step=number,
        title=scenario.steps[number - 1].title,
        traffic=str(observation.traffic),
        expected=claim.expected,
        seen=seen,
        without=without,
        outcome=outcome,
        false_alarm=0.0 if outcome == "not checked" else claim.false_alarm(observation.traffic.count) * tries,
    )
