"""A cluster that runs Bookinfo as a target, through kubectl.

The original of each object is recorded before the object changes, and restored afterwards: its specification, labels
and annotations exactly, without the metadata that only the API server sets.
"""

import difflib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bookinfo_client.send import Result, decode, send
from bookinfo_kubectl import CommandError, Json, Kubectl, UnknownKindError
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios import mesh_detection, proxy_statistics
from bookinfo_lab.scenarios.journal import ChangedObject, Journal
from bookinfo_lab.scenarios.mesh_detection import PROXY_CONTAINER
from bookinfo_lab.scenarios.model import Browser, Counter, LogPattern, Mesh, Traffic
from bookinfo_lab.scenarios.request_plans import browser_plan, dns_client_plan
from bookinfo_lab.scenarios.target import NotObservableError

_SERVER_METADATA = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_PROJECT_IMAGE_PREFIX = "bookinfo-"
_ROLLOUT_TIMEOUT = "180s"
_CLOCK_SKEW_SECONDS = 300.0
"""The largest expected difference between the clocks of the cluster and of this machine."""


@dataclass(frozen=True)
class Settings:
    """The options of a verification in a cluster."""

    namespace: str
    gateway: str  # the ingress gateway's URL, without a path
    take_over: bool  # also change objects that another tool manages
    propagation_seconds: float  # the longest time until every proxy uses an applied rule
    mesh: Mesh


class ClusterTarget:
    """One namespace of a cluster."""

    def __init__(self, kubectl: Kubectl, settings: Settings, journal: Journal) -> None:
        self._kubectl = kubectl
        self._settings = settings
        self._journal = journal
        self._current: dict[Key, Json] = {}
        self._image_source: tuple[str, str] | None = None
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - _CLOCK_SKEW_SECONDS))

    @property
    def mesh(self) -> Mesh:
        """See `Target`."""
        return self._settings.mesh

    @property
    def propagation_seconds(self) -> float:
        """See `Target`."""
        return self._settings.propagation_seconds

    def set_state(self, documents: Sequence[Document], removed: Collection[Key] = ()) -> None:
        """See `Target`. The initial state is that of the cluster. Only the named objects are touched.

        Raises:
            NotObservableError: another tool manages an object that would change.
        """
        desired = {key(document): self._in_namespace(document.body) for document in documents}
        changed = {identity: body for identity, body in desired.items() if self._current.get(identity) != body}
        obsolete = [identity for identity in (*self._current, *removed) if identity not in desired]
        for identity in (*changed, *obsolete):
            self._record_original(identity, changed.get(identity) or _reference(identity, self._settings.namespace))
        for identity, body in changed.items():
            self._apply(identity, body)
        for identity in obsolete:
            self._restore_object(identity, delete=identity in removed)
        self._current = desired
        for body in changed.values():
            self._wait_for_rollout(body)

    def restore(self) -> None:
        """See `Target`. All objects are restored before an error is raised.

        Raises:
            LabError: an object differs from its original. The error contains the difference.
        """
        errors = []
        for identity, changed in self._journal.latest_first():
            try:
                self._restore_object(identity, delete=False)
                if difference := _difference(changed.original, self._kubectl.find(changed.body)):
                    errors.append(f"{_name(changed.body)} differs from its original:\n{difference}")
                else:
                    self._journal.remove(identity)
            except (LabError, CommandError) as error:
                errors.append(f"{_name(changed.body)}: {error}")
        self._current = {}
        if errors:
            errors.append("the originals are recorded; the next `bookinfo verify` of this cluster restores them first")
            raise LabError("\n".join(errors))

    def send(self, traffic: Traffic) -> list[Result]:
        """See `Target`. A pod's requests are sent from within the pod."""
        if isinstance(traffic.caller, Browser):
            return send(browser_plan(self._settings.gateway, traffic, {}), {})
        deployment = traffic.caller.deployment
        command = ("exec", "-i", f"deployment/{deployment}", "-c", deployment, "--")
        plan = json.dumps(asdict(dns_client_plan(traffic)))
        return decode(self._kubectl.run(*command, "python", "-m", "bookinfo_client.send", stdin=plan))

    def count(self, counter: Counter) -> int:
        """See `Target`. Istio omits most of Envoy's statistics unless an annotation of the pod requests them."""
        pods = self._pods(counter.workload, with_sidecar=not counter.application)
        texts = [self._statistics(counter, pod) for pod in pods]
        namespace = rf"\.{self._settings.namespace}\.svc"
        here = replace(counter, pattern=counter.pattern.replace(r"\.default\.svc", namespace))
        values = [value for text in texts for value in proxy_statistics.values(text, here)]
        if not values and not counter.application:
            raise NotObservableError(
                f"{counter.workload}'s sidecar does not keep {counter.pattern} (see proxyStatsMatcher)"
            )
        return sum(values)

    def log_mark(self, log: LogPattern) -> object:
        """See `Target`. The mark is a number of lines, because the clocks may differ."""
        return self._matching_lines(log)

    def log_lines(self, log: LogPattern, mark: object) -> int:
        """See `Target`."""
        before: dict[str, int] = mark if isinstance(mark, dict) else {}
        return sum(lines - before.get(pod, 0) for pod, lines in self._matching_lines(log).items())

    def _matching_lines(self, log: LogPattern) -> dict[str, int]:
        since = f"--since-time={self._since}"
        return {
            pod: proxy_statistics.lines(self._kubectl.read("logs", pod, "-c", PROXY_CONTAINER, since), log)
            for pod in self._pods(log.workload, with_sidecar=True)
        }

    def _statistics(self, counter: Counter, pod: str) -> str:
        if counter.application:
            fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9080/metrics').read().decode())"
            return self._kubectl.run("exec", pod, "--", "python", "-c", fetch)
        return self._kubectl.run("exec", pod, "-c", PROXY_CONTAINER, "--", "pilot-agent", "request", "GET", "stats")

    def _pods(self, deployment: str, *, with_sidecar: bool) -> list[str]:
        found = mesh_detection.pods(self._kubectl, deployment)
        if with_sidecar and not all(map(mesh_detection.has_sidecar, found)):
            raise NotObservableError(f"{deployment} has no sidecar")
        return [pod["metadata"]["name"] for pod in found]

    def _record_original(self, identity: Key, body: Json) -> None:
        if identity in self._journal:
            return
        try:
            original = self._kubectl.find(body)
        except UnknownKindError:
            raise NotObservableError(f"the cluster does not define {body['kind']} ({body['apiVersion']})") from None
        if original and not self._settings.take_over and (manager := _manager(original)):
            raise NotObservableError(f"{_name(original)} is managed by {manager}; --take-over allows changing it")
        self._journal.add(identity, ChangedObject(body, original))

    def _apply(self, identity: Key, body: Json) -> None:
        original = self._journal[identity].original
        if original and body["kind"] == "Deployment":
            # An existing Deployment keeps its image, resources and so on. Only the number of replicas changes.
            body = {**_writable(original), "spec": {**original["spec"], "replicas": body["spec"]["replicas"]}}
        elif body["kind"] == "Deployment":
            body = self._with_image(body)
        self._kubectl.put(body)

    def _restore_object(self, identity: Key, *, delete: bool) -> None:
        changed = self._journal[identity]
        if changed.original is None or delete:
            self._kubectl.delete(changed.body)
        elif _difference(changed.original, self._kubectl.find(changed.body)):
            self._kubectl.put(_writable(changed.original))
            self._wait_for_rollout(changed.original)

    def _wait_for_rollout(self, body: Json) -> None:
        if body["kind"] == "Deployment":
            deployment = f"deployment/{body['metadata']['name']}"
            self._kubectl.run("rollout", "status", deployment, f"--timeout={_ROLLOUT_TIMEOUT}")

    def _in_namespace(self, body: Mapping[str, Any]) -> Json:
        """Return the object for this namespace. The manifests are written for `default`."""
        namespace = self._settings.namespace
        text = json.dumps(body)
        text = text.replace("/ns/default/sa/", f"/ns/{namespace}/sa/").replace(".default.svc.", f".{namespace}.svc.")
        here: Json = json.loads(text)
        metadata = here["metadata"]
        return {**here, "metadata": {**metadata, "namespace": metadata.get("namespace", namespace)}}

    def _with_image(self, body: Json) -> Json:
        """Use the registry and the version of the cluster's productpage for the project's images."""
        if self._image_source is None:
            image = self._kubectl.read(
                "get", "deployment/productpage-v1", "-o", "jsonpath={.spec.template.spec.containers[0].image}"
            )
            registry, _, rest = image.rpartition("/")
            self._image_source = (f"{registry}/" if registry else "", rest.partition(":")[2].partition("@")[0])
        registry, version = self._image_source
        copy: Json = json.loads(json.dumps(body))
        (container,) = copy["spec"]["template"]["spec"]["containers"]
        name = container["image"].partition(":")[0]
        if version and name.startswith(_PROJECT_IMAGE_PREFIX):
            container["image"] = f"{registry}{name}:{version}"
        return copy


def _reference(identity: Key, namespace: str) -> Json:
    """Return the part of an object that is enough to find and to delete it."""
    group, kind, given, name = identity
    # Any version that the API serves finds the object. EnvoyFilter has no v1.
    number = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    version = f"{group}/{number}" if group else number
    where = namespace if given == "default" else given
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": where}}


def _writable(original: Json) -> Json:
    metadata = {name: value for name, value in original["metadata"].items() if name not in _SERVER_METADATA}
    return {**{name: value for name, value in original.items() if name != "status"}, "metadata": metadata}


def _difference(before: Json | None, after: Json | None) -> str:
    """Return the difference as a diff, without what the API server sets, such as the revision; empty if equal."""
    lines = difflib.unified_diff(_comparable(before), _comparable(after), "before", "after", lineterm="")
    return "\n".join(lines)


def _comparable(body: Json | None) -> list[str]:
    if body is None:
        return ["absent"]
    writable = _writable(body)
    annotations = dict(writable["metadata"].get("annotations", {}))
    annotations.pop("deployment.kubernetes.io/revision", None)
    comparable = {**writable, "metadata": {**writable["metadata"], "annotations": annotations}}
    return json.dumps(comparable, indent=1, sort_keys=True).splitlines()


def _manager(body: Json) -> str:
    """Return the tool or controller that manages the object; empty if only kubectl does."""
    metadata = body["metadata"]
    if owners := metadata.get("ownerReferences"):
        return f"{owners[0]['kind']} {owners[0]['name']}"
    labels, annotations = metadata.get("labels", {}), metadata.get("annotations", {})
    for name in ("argocd.argoproj.io/tracking-id", "meta.helm.sh/release-name"):
        if name in annotations:
            return f"{name.partition('/')[0]} ({annotations[name]})"
    for name in ("kustomize.toolkit.fluxcd.io/name", "app.kubernetes.io/managed-by"):
        if name in labels:
            return str(labels[name])
    return ""


def _name(body: Json) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
