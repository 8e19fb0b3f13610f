"""The owner of one service's route: it changes the weights, and detects changes by others."""

from collections.abc import Sequence

from bookinfo_canary.errors import CanaryError, RejectedError, RollbackFailedError
from bookinfo_canary.release_plan import Service
from bookinfo_canary.routes import Json, RouteKind, Weights, format_weights
from bookinfo_canary.stop_signals import StopSignals
from bookinfo_canary.targets import Target

_RESTORE_ATTEMPTS = 3
_RESTORE_PAUSE_SECONDS = 2.0


class RouteOwner:
    """Owns the route of one service on a target."""

    def __init__(self, target: Target, kind: RouteKind, service: Service, *, take_over: bool) -> None:
        self._target = target
        self._kind = kind
        self._service = service
        self._take_over = take_over
        self._existing: Json | None = None
        self._last_weights: dict[str, int] | None = None

    def check(self, versions: Sequence[str], *, exclusive: bool) -> None:
        """Check, before any change, that the route can be owned. With `exclusive` only `versions` may have requests.

        Raises:
            RejectedError: another manager owns the weights, rules would be lost, or a version is missing.
            CanaryError: the target does not respond.
        """
        objects = self._target.list(self._kind.version_resource)
        if missing := self._kind.missing_versions(self._service, versions, objects):
            raise RejectedError(f"{missing}; its requests would fail, so install the version first")
        existing = self._get()
        if existing is None:
            return
        try:
            weights = self._kind.weights(self._service, existing)
        except RejectedError:
            if self._take_over:  # The route is replaced.
                return
            raise
        self._existing = existing
        if self._take_over:
            return
        route = f"{existing['kind']} {self._service.name}"
        if managers := self._target.other_managers(existing, self._kind):
            raise RejectedError(
                f"{route}: its weights are managed by {', '.join(managers)}; "
                "release them there first (in the chart: canary.managed), then use --take-over"
            )
        if exclusive and (others := set(weights) - set(versions)):
            names = ", ".join(sorted(name or "any version" for name in others))
            raise RejectedError(f"{route} also routes requests to {names}; roll back first, or use --take-over")

    def set_weights(self, weights: Weights) -> None:
        """Apply the weights.

        Raises:
            CanaryError: the target rejects them.
        """
        self._target.apply(self._kind.manifest(self._service, weights, self._existing), take_over=self._take_over)
        self._take_over = False  # A later change by another manager is intended, and must not be overwritten.
        self._last_weights = dict(weights)

    def check_unchanged(self) -> None:
        """Check that the route still has the weights that were set last.

        Raises:
            CanaryError: another manager changed it.
        """
        existing = self._get()
        weights = self._kind.weights(self._service, existing) if existing else {}
        if weights != self._last_weights:
            raise CanaryError(f"another client changed the route of {self._service.name} to {format_weights(weights)}")

    def restore_weights(self, weights: Weights, signals: StopSignals) -> None:
        """Apply the weights, with retries.

        Raises:
            RollbackFailedError: every attempt failed.
        """
        for attempt in range(1, _RESTORE_ATTEMPTS + 1):
            try:
                self.set_weights(weights)
            except CanaryError as error:
                if attempt == _RESTORE_ATTEMPTS:
                    raise RollbackFailedError(str(error)) from error
                signals.sleep(_RESTORE_PAUSE_SECONDS)
            else:
                return

    def _get(self) -> Json | None:
        return self._target.get(self._kind.resource, self._service.name)
