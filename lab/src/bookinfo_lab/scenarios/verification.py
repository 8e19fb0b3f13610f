"""One verification: a target, its scenarios one after the other, and everything as it was afterwards."""

import contextlib
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bookinfo_lab import repository
from bookinfo_lab.client import state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import background, supervisor
from bookinfo_lab.scenarios import detection
from bookinfo_lab.scenarios.cluster import ClusterTarget, Settings
from bookinfo_lab.scenarios.journal import Journal, journal_path
from bookinfo_lab.scenarios.kubectl import Kubectl
from bookinfo_lab.scenarios.lab_target import LabTarget
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Mesh, Scenario
from bookinfo_lab.scenarios.runner import Judged, Runner
from bookinfo_lab.scenarios.target import Target

Report = Callable[[str], None]

STOPS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What a person, a supervisor and a lost terminal send."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


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
    manifests = Manifests(repository.find(environ), ambient=target.mesh is Mesh.AMBIENT)
    runner = Runner(target, manifests, report)
    judged: list[Judged] = []
    began = time.monotonic()
    try:
        for scenario in scenarios:
            found = runner.verify(scenario)
            judged += found
            done(scenario, found)
    finally:
        with _undisturbed(report):
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
        background.start(own, ["--gateway-port=0", "--no-watch"], {**environ, "XDG_STATE_HOME": home}, lambda _: None)
        try:
            yield _target(own, environ)
        finally:
            _stop(own)


def _stop(folder: LabFolder) -> None:
    try:
        background.stop(folder)
    except LabError:  # on a busy machine its pods may take long to drain; nobody waits for them
        background.stop(folder)  # the second time without grace


def running_lab(name: str, environ: Mapping[str, str]) -> LabTarget:
    """The running lab `name`.

    Raises:
        LabError: it is not running.
    """
    return _target(state.lab_folder(name, environ), environ)


def _target(folder: LabFolder, environ: Mapping[str, str]) -> LabTarget:
    objects = supervisor.initial_objects(repository.find(environ))
    return LabTarget(folder, list(objects.documents.values()))


@contextlib.contextmanager
def _undisturbed(report: Report) -> Iterator[None]:
    """No interrupt ends what is done here: half restored would be worse than late."""

    def patience(*_: object) -> None:
        report("putting back what was there before; one moment")

    before = {number: signal.signal(number, patience) for number in STOPS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def cluster(
    context: str,
    namespace: str,
    gateway: str,
    settle: float,
    environ: Mapping[str, str],
    report: Report,
    *,
    take_over: bool,
) -> Iterator[ClusterTarget]:
    """The cluster of that kubectl context; without `gateway` its own account of where its gateway is holds.

    What a verification before could not put back is put back first.

    Raises:
        LabError: it cannot be reached, or something is not what it was, or there can be no such namespace or gateway.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise LabError(f"--namespace {namespace!r} is not the name of one; write one like bookinfo")
    if gateway and not _is_address(gateway):
        raise LabError(f"--gateway {gateway}: not a URL without a path; write one like http://localhost:8080")
    connection = Kubectl(context, namespace)
    with contextlib.closing(Journal(journal_path(context, namespace, environ))) as journal:
        if journal:
            names = ", ".join(f"{kind} {name}" for (_, kind, _, name), _ in journal.latest_first())
            report(f"a verification before did not put everything back: doing so first ({names})")
            # Neither a gateway nor a mesh is needed to put objects back.
            with _undisturbed(report):
                ClusterTarget(connection, Settings(namespace, "", take_over, settle, Mesh.NONE), journal).restore()
        mesh = detection.mesh(connection, namespace)
        report(f"namespace {namespace} of {context}: {mesh}")
        url = (gateway or detection.gateway_url(connection)).rstrip("/")
        try:
            yield ClusterTarget(connection, Settings(namespace, url, take_over, settle, mesh), journal)
        finally:
            if not journal:  # an object leaves it when it was compared with what it had been
                report("everything is as it was before: no difference")


def _is_address(url: str) -> bool:
    """Whether `url` is one of a host, so that paths can be put behind it."""
    try:
        parts = urlsplit(url)
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return known and parts.path in ("", "/") and not parts.query and not parts.fragment


def chosen(names: Sequence[str]) -> Sequence[Scenario]:
    """The scenarios of these names; all if there are none.

    Raises:
        LabError: there is no such scenario.
    """
    from bookinfo_lab.scenarios import definitions

    if len(set(names)) < len(names):
        raise LabError("a scenario is named twice")
    return [definitions.find(name) for name in names] or definitions.SCENARIOS
