"""The route on its target, and the guard that nobody else moves it at the same time."""

from collections.abc import Sequence

from bookinfo_canary.errors import CanaryError, NotRestoredError, RefusedError
from bookinfo_canary.plan import Service
from bookinfo_canary.routes import Json, RouteKind, Weights, told
from bookinfo_canary.signals import Signals
from bookinfo_canary.targets import Target

_ATTEMPTS = 3
_PAUSE = 2.0


class Route:
    """How the requests of one service are shared."""

    def __init__(self, target: Target, kind: RouteKind, service: Service, *, take_over: bool) -> None:
        self._target = target
        self._kind = kind
        self._service = service
        self._take_over = take_over
        self._kept: Json | None = None
        self._last: dict[str, int] | None = None

    def examine(self, versions: Sequence[str], *, alone: bool) -> None:
        """Look before anything is changed. With `alone` no other version may have requests.

        Raises:
            RefusedError: somebody else manages the weights, more than weights would be lost, or a version is missing.
            CanaryError: the target does not answer.
        """
        if lacking := self._kind.lacking(self._service, versions, self._target.all(self._kind.needs)):
            raise RefusedError(f"{lacking}: its requests would fail; install it first")
        existing = self._find()
        if existing is None:
            return
        try:
            weights = self._kind.weights(self._service, existing)
        except RefusedError:
            if self._take_over:  # then it is written anew
                return
            raise
        self._kept = existing
        if self._take_over:
            return
        if managers := self._target.managers(existing, self._kind):
            raise RefusedError(
                f"{existing['kind']} {self._service.name}: its weights are managed by {', '.join(managers)}; "
                "let go of them there first (in the chart by canary.managed), then say --take-over"
            )
        if alone and (others := set(weights) - set(versions)):
            raise RefusedError(
                f"{existing['kind']} {self._service.name} also gives requests to "
                f"{', '.join(sorted(name or 'any version' for name in others))}: roll back first, or say --take-over"
            )

    def set(self, weights: Weights) -> None:
        """Share the requests so.

        Raises:
            CanaryError: the target refuses.
        """
        self._target.apply(self._kind.body(self._service, weights, self._kept), take_over=self._take_over)
        self._take_over = False  # once is enough: who changes it from now on means it
        self._last = dict(weights)

    def verify(self) -> None:
        """Check that the route is as it was set.

        Raises:
            CanaryError: it is not.
        """
        existing = self._find()
        weights = self._kind.weights(self._service, existing) if existing else {}
        if weights != self._last:
            raise CanaryError(f"somebody else changed the route of {self._service.name} to {told(weights)}")

    def restore(self, weights: Weights, signals: Signals) -> None:
        """Share the requests so, and do not give up at the first failure.

        Raises:
            NotRestoredError: it could not be done.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                self.set(weights)
            except CanaryError as error:
                if attempt == _ATTEMPTS:
                    raise NotRestoredError(str(error)) from error
                signals.sleep(_PAUSE)
            else:
                return

    def _find(self) -> Json | None:
        return self._target.find(self._kind.resource, self._service.name)
