"""A release in steps: weight, wait, judge; and back to the stable version whatever goes wrong."""

from collections.abc import Callable

from bookinfo_canary.errors import BadCanaryError, CanaryError
from bookinfo_canary.events import Event, Judged, Promoted, RolledBack, Started, Weighted
from bookinfo_canary.gate import Judgement, judge
from bookinfo_canary.metrics import Comparison, Snapshot, between
from bookinfo_canary.owned import Route
from bookinfo_canary.plan import Plan
from bookinfo_canary.signals import Signals
from bookinfo_canary.sources import Source

_LOOKS = 20
"""How often a window is looked at, for a canary that is surely bad: nobody waits for its end."""
_SHORTEST_LOOK, _LONGEST_LOOK = 0.2, 5.0
_READS = 3
"""So often the metrics are asked for before they count as unreadable."""


class Release:
    """One run of the controller."""

    def __init__(
        self, plan: Plan, route: Route, source: Source, signals: Signals, report: Callable[[Event], None]
    ) -> None:
        self._plan = plan
        self._route = route
        self._source = source
        self._signals = signals
        self._report = report
        self._so_far = Comparison()

    def run(self) -> bool:
        """Promote the canary. False: it failed, and every request goes to the stable version again.

        Raises:
            NotRestoredError: it failed, and the stable route could not be put back.
            CanaryError: it was not begun, so nothing was changed.
        """
        versions = self._plan.versions
        self._route.examine((versions.stable, versions.canary), alone=True)
        self._source.read()
        self._signals.wait(0)
        self._report(Started(self._plan))
        promoted, reason = False, "of an error that is reported below"
        try:
            for weight in self._plan.steps:
                self._so_far += self._step(weight)
            promoted = True
        except CanaryError as error:
            reason = str(error)
        finally:
            if not promoted:
                self._route.restore(versions.share(0), self._signals)
                self._report(RolledBack(versions.service, versions.stable, reason))
        if promoted:
            self._report(Promoted(versions))
        return promoted

    def _step(self, weight: int) -> Comparison:
        """Give the canary its share, and wait until the gate has decided."""
        plan = self._plan
        self._route.set(plan.versions.share(weight))
        self._report(Weighted(plan.versions, weight))
        self._signals.wait(plan.settle)
        before, began = self._look(), self._signals.now()
        ends = plan.window
        while True:
            seen, judgement = self._watch(before, began + ends)
            if judgement.outcome == "undecided" and ends >= plan.limit:
                judgement = Judgement("failed", f"it was not decided within {plan.limit:g} s: {judgement.reason}")
            self._report(Judged(plan.versions, weight, seen, judgement))
            if judgement.outcome == "failed":
                raise BadCanaryError(judgement.reason)
            self._route.verify()
            if judgement.outcome == "passed":
                return seen
            ends = min(ends + plan.window, plan.limit)

    def _watch(self, before: Snapshot, until: float) -> tuple[Comparison, Judgement]:
        """Look until then, or until the canary is surely bad."""
        pace = min(max(self._plan.window / _LOOKS, _SHORTEST_LOOK), _LONGEST_LOOK)
        while True:
            self._signals.wait(max(0.0, min(pace, until - self._signals.now())))
            seen = between(before, self._look(), self._plan.versions)
            judgement = self._judge(seen)
            if judgement.outcome == "failed" or self._signals.now() >= until:
                return seen, judgement

    def _judge(self, seen: Comparison) -> Judgement:
        criteria = self._plan.criteria
        # In the last steps the stable version has few requests, and in the very last none.
        enough = seen.stable.requests >= criteria.min_requests
        baseline = seen.stable if enough else self._so_far.stable + seen.stable
        return judge(seen, baseline, self._plan.versions, criteria)

    def _look(self) -> Snapshot:
        for _ in range(_READS - 1):
            try:
                return self._source.read()
            except CanaryError:
                self._signals.wait(1)
        return self._source.read()
