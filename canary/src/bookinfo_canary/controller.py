"""Runs a release: set a weight, wait, evaluate, and repeat. Any error restores the stable version."""

from collections.abc import Callable

from bookinfo_canary.errors import CanaryError, CanaryFailedError
from bookinfo_canary.events import Event, Promoted, RolledBack, Started, StepEvaluated, WeightsSet
from bookinfo_canary.gate import GateDecision, evaluate
from bookinfo_canary.metrics import Comparison, Snapshot, requests_between
from bookinfo_canary.metrics_sources import MetricsSource
from bookinfo_canary.release_plan import ReleasePlan
from bookinfo_canary.route_owner import RouteOwner
from bookinfo_canary.stop_signals import StopSignals

_CHECKS_PER_WINDOW = 20
"""How often a window is evaluated, so that a canary that certainly fails does not run until its end."""
_MIN_CHECK_SECONDS, _MAX_CHECK_SECONDS = 0.2, 5.0
_READ_ATTEMPTS = 3


class ReleaseController:
    """Runs one release."""

    def __init__(
        self,
        plan: ReleasePlan,
        route: RouteOwner,
        source: MetricsSource,
        signals: StopSignals,
        report: Callable[[Event], None],
    ) -> None:
        self._plan = plan
        self._route = route
        self._source = source
        self._signals = signals
        self._report = report
        self._earlier_steps = Comparison()

    def run(self) -> bool:
        """Promote the canary. Return False if the release failed and the stable version receives every request again.

        Raises:
            RollbackFailedError: the release failed, and the stable route could not be restored.
            CanaryError: the release did not start, so nothing was changed.
        """
        versions = self._plan.versions
        self._route.check((versions.stable, versions.canary), exclusive=True)
        self._source.read()
        self._signals.wait(0)
        self._report(Started(self._plan))
        promoted, reason = False, "of the error below"
        try:
            for weight in self._plan.steps:
                self._earlier_steps += self._run_step(weight)
            promoted = True
        except CanaryError as error:
            reason = str(error)
        finally:
            if not promoted:
                self._route.restore_weights(versions.weights(0), self._signals)
                self._report(RolledBack(versions.service, versions.stable, reason))
        if promoted:
            self._report(Promoted(versions))
        return promoted

    def _run_step(self, weight: int) -> Comparison:
        """Set the canary's weight, and wait until the gate passes the step or fails it."""
        plan = self._plan
        self._route.set_weights(plan.versions.weights(weight))
        self._report(WeightsSet(plan.versions, weight))
        self._signals.wait(plan.settle_seconds)
        before, start = self._read_metrics(), self._signals.now()
        duration = plan.window_seconds
        while True:
            observed, decision = self._observe(before, start + duration)
            if decision.outcome == "undecided" and duration >= plan.limit_seconds:
                reason = f"it was undecided after {plan.limit_seconds:g} s: {decision.reason}"
                decision = GateDecision("failed", reason)
            self._report(StepEvaluated(plan.versions, weight, observed, decision))
            if decision.outcome == "failed":
                raise CanaryFailedError(decision.reason)
            self._route.check_unchanged()
            if decision.outcome == "passed":
                return observed
            duration = min(duration + plan.window_seconds, plan.limit_seconds)

    def _observe(self, before: Snapshot, end: float) -> tuple[Comparison, GateDecision]:
        """Evaluate the metrics repeatedly until `end`, or until the canary fails."""
        interval = min(max(self._plan.window_seconds / _CHECKS_PER_WINDOW, _MIN_CHECK_SECONDS), _MAX_CHECK_SECONDS)
        while True:
            self._signals.wait(max(0.0, min(interval, end - self._signals.now())))
            observed = requests_between(before, self._read_metrics(), self._plan.versions)
            decision = self._evaluate(observed)
            if decision.outcome == "failed" or self._signals.now() >= end:
                return observed, decision

    def _evaluate(self, observed: Comparison) -> GateDecision:
        criteria = self._plan.criteria
        # The stable version has few requests in the late steps and none in the last one. The earlier steps count then.
        enough = observed.stable.requests >= criteria.min_requests
        baseline = observed.stable if enough else self._earlier_steps.stable + observed.stable
        return evaluate(observed, baseline, self._plan.versions, criteria)

    def _read_metrics(self) -> Snapshot:
        for _ in range(_READ_ATTEMPTS - 1):
            try:
                return self._source.read()
            except CanaryError:
                self._signals.wait(1)
        return self._source.read()
