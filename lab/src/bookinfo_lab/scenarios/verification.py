"""One verification: a target, its scenarios one after the other, and everything as it was afterwards."""

import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from bookinfo_lab import detached, repository, state, supervisor
from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.cluster import ClusterTarget, Settings, gateway_url
from bookinfo_lab.scenarios.kubectl import Kubectl
from bookinfo_lab.scenarios.lab_target import LabTarget
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Scenario
from bookinfo_lab.scenarios.runner import Judged, Runner
from bookinfo_lab.scenarios.target import Target
from bookinfo_lab.state import LabFolder

Report = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What came of it."""

    judged: tuple[Judged, ...]
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a claim did not come out right, or nothing was checked at all."""
        return any(row.bad for row in self.judged) or all(row.outcome == "not checked" for row in self.judged)


def verify(
    target: Target,
    scenarios: Sequence[Scenario],
    environ: Mapping[str, str],
    report: Report,
    done: Callable[[Scenario, list[Judged]], None],
) -> Run:
    """Verify `scenarios`; `done` takes each one's claims. The target is restored whatever happens."""
    runner = Runner(target, Manifests(repository.find(environ)), report)
    judged: list[Judged] = []
    began = time.monotonic()
    try:
        for scenario in scenarios:
            found = runner.verify(scenario)
            judged += found
            done(scenario, found)
    finally:
        target.restore()
    return Run(tuple(judged), time.monotonic() - began)


@contextlib.contextmanager
def lab(name: str, environ: Mapping[str, str], report: Report) -> Iterator[LabTarget]:
    """The running lab `name`, or, if there is none, one that lives as long as this.

    Raises:
        LabError: none can be started.
    """
    folder = state.lab_folder(name, environ)
    if state.supervisor_pid(folder) is not None:
        yield _target(folder, environ)
        return
    report(f"lab {name!r} is not running: starting one for the purpose")
    with tempfile.TemporaryDirectory(prefix="bookinfo-verify-") as home:
        own = state.lab_folder(name, {**environ, "XDG_STATE_HOME": home})
        detached.start(own, 0, {**environ, "XDG_STATE_HOME": home}, lambda _: None)
        try:
            yield _target(own, environ)
        finally:
            _stop(own)


def _stop(folder: LabFolder) -> None:
    try:
        detached.stop(folder)
    except LabError:  # on a busy machine its pods may take long to drain; nobody waits for them
        detached.stop(folder)  # the second time without grace


def running_lab(name: str, environ: Mapping[str, str]) -> LabTarget:
    """The running lab `name`.

    Raises:
        LabError: it is not running.
    """
    return _target(state.lab_folder(name, environ), environ)


def _target(folder: LabFolder, environ: Mapping[str, str]) -> LabTarget:
    objects = supervisor.initial_objects(repository.find(environ))
    return LabTarget(folder, list(objects.documents.values()))


def cluster(context: str, namespace: str, gateway: str, settle: float, *, take_over: bool) -> ClusterTarget:
    """The cluster of that kubectl context; without `gateway` its own account of where its gateway is holds.

    Raises:
        LabError: it cannot be reached.
    """
    connection = Kubectl(context, namespace)
    url = (gateway or gateway_url(connection)).rstrip("/")
    return ClusterTarget(connection, Settings(namespace, url, take_over, settle))


def chosen(names: Sequence[str]) -> Sequence[Scenario]:
    """The scenarios of these names; all if there are none.

    Raises:
        LabError: there is no such scenario.
    """
    from bookinfo_lab.scenarios import definitions

    if len(set(names)) < len(names):
        raise LabError("a scenario is named twice")
    return [definitions.find(name) for name in names] or definitions.SCENARIOS
