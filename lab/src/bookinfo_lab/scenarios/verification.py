"""One verification: open a target, run scenarios on it, and restore it."""

import contextlib
import re
import signal
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from bookinfo_kubectl import CommandError, Kubectl
from bookinfo_lab import repository
from bookinfo_lab.client import state
from bookinfo_lab.client.state import LabFolder
from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import background, supervisor
from bookinfo_lab.scenarios import mesh_detection
from bookinfo_lab.scenarios.cluster_target import ClusterTarget, Settings
from bookinfo_lab.scenarios.journal import Journal, journal_path
from bookinfo_lab.scenarios.lab_target import LabTarget
from bookinfo_lab.scenarios.manifests import Manifests
from bookinfo_lab.scenarios.model import Mesh, Scenario
from bookinfo_lab.scenarios.runner import ClaimResult, Runner
from bookinfo_lab.scenarios.target import Target

Report = Callable[[str], None]

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""The signals of Ctrl-C, of a supervisor and of a lost terminal."""

_NAMESPACE = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True)
class VerificationResult:
    """The claim results of one verification."""

    results: tuple[ClaimResult, ...]
    seconds: float

    @property
    def failed(self) -> bool:
        """Whether a claim failed, or no claim was checked."""
        return any(row.failed for row in self.results) or all(row.outcome == "not checked" for row in self.results)


def verify(
    target: Target,
    scenarios: Sequence[Scenario],
    environ: Mapping[str, str],
    report: Report,
    scenario_done: Callable[[Scenario, list[ClaimResult]], None],
) -> VerificationResult:
    """Verify `scenarios` and restore the target, also after an error. `scenario_done` receives each one's results."""
    manifests = Manifests(repository.find(environ), ambient=target.mesh is Mesh.AMBIENT)
    runner = Runner(target, manifests, report)
    results: list[ClaimResult] = []
    began = time.monotonic()
    try:
        for scenario in scenarios:
            scenario_results = runner.verify(scenario)
            results += scenario_results
            scenario_done(scenario, scenario_results)
    finally:
        with _signals_deferred(report):
            target.restore()
    return VerificationResult(tuple(results), time.monotonic() - began)


@contextlib.contextmanager
def lab(name: str, environ: Mapping[str, str], report: Report) -> Iterator[LabTarget]:
    """Open the running lab `name`. If it is not running, start a temporary one.

    Raises:
        LabError: no lab can be started.
    """
    folder = state.lab_folder(name, environ)
    if state.supervisor_pid(folder) is not None:
        yield _lab_target(folder, environ)
        return
    report(f"lab {name!r} is not running; starting a temporary one")
    with tempfile.TemporaryDirectory(prefix="bookinfo-verify-") as home:
        temporary_environ = {**environ, "XDG_STATE_HOME": home}
        temporary = state.lab_folder(name, temporary_environ)
        background.start(temporary, ["--gateway-port=0", "--no-watch"], temporary_environ, lambda _: None)
        try:
            yield _lab_target(temporary, environ)
        finally:
            _stop(temporary)


def _stop(folder: LabFolder) -> None:
    try:
        background.stop(folder)
    except LabError:  # on a busy machine its pods may take long to drain
        background.stop(folder)  # the second signal stops it without a grace period


def running_lab(name: str, environ: Mapping[str, str]) -> LabTarget:
    """Open the running lab `name`.

    Raises:
        LabError: it is not running.
    """
    return _lab_target(state.lab_folder(name, environ), environ)


def _lab_target(folder: LabFolder, environ: Mapping[str, str]) -> LabTarget:
    objects = supervisor.initial_objects(repository.find(environ))
    return LabTarget(folder, list(objects.documents.values()))


@contextlib.contextmanager
def _signals_deferred(report: Report) -> Iterator[None]:
    """Ignore stop signals while the context is active: a target that is half restored is worse than a late exit."""

    def ignore(*_: object) -> None:
        report("restoring the original state; please wait")

    before = {number: signal.signal(number, ignore) for number in STOP_SIGNALS}
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
    propagation_seconds: float,
    environ: Mapping[str, str],
    report: Report,
    *,
    take_over: bool,
) -> Iterator[ClusterTarget]:
    """Open the cluster of a kubectl context. Without `gateway`, the URL comes from the gateway's Service.

    Objects that an earlier verification could not restore are restored first.

    Raises:
        LabError: the cluster does not respond, an object cannot be restored, or an argument is invalid.
    """
    if not _NAMESPACE.fullmatch(namespace):
        raise LabError(f"--namespace {namespace!r}: invalid name; use 1 to 63 of a-z, 0-9 and - (not at the ends)")
    if gateway and not _is_base_url(gateway):
        raise LabError(f"--gateway {gateway}: invalid URL; use a URL without a path, such as http://localhost:8080")
    connection = Kubectl(context, namespace)
    with _kubectl_errors(), contextlib.closing(Journal(journal_path(context, namespace, environ))) as journal:
        if journal:
            names = ", ".join(f"{kind} {name}" for (_, kind, _, name), _ in journal.latest_first())
            report(f"restoring objects that an earlier verification did not restore ({names})")
            # This needs neither a gateway nor a mesh.
            settings = Settings(namespace, "", take_over, propagation_seconds, Mesh.NONE)
            with _signals_deferred(report):
                ClusterTarget(connection, settings, journal).restore()
        mesh = mesh_detection.mesh(connection, namespace)
        report(f"namespace {namespace} of {context}: {mesh}")
        url = (gateway or mesh_detection.gateway_url(connection)).rstrip("/")
        settings = Settings(namespace, url, take_over, propagation_seconds, mesh)
        try:
            yield ClusterTarget(connection, settings, journal)
        finally:
            if not journal:  # an object leaves the journal when it equals its original
                report("all objects are restored: no difference")


@contextlib.contextmanager
def _kubectl_errors() -> Iterator[None]:
    """Report a failure of kubectl as an error of the verification."""
    try:
        yield
    except CommandError as error:
        raise LabError(str(error)) from error


def _is_base_url(url: str) -> bool:
    """Whether `url` is an HTTP URL with a host and without a path."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False
    return valid and parts.path in ("", "/") and not parts.query and not parts.fragment


def select_scenarios(names: Sequence[str]) -> Sequence[Scenario]:
    """Return the scenarios of these names; all if there are no names.

    Raises:
        LabError: a scenario does not exist, or is named twice.
    """
    from bookinfo_lab.scenarios import definitions

    if len(set(names)) < len(names):
        raise LabError("a scenario is named twice; name each one once")
    return [definitions.find(name) for name in names] or definitions.SCENARIOS
