"""A cluster with Bookinfo as a target, by way of kubectl.

What is touched is written down first and put back afterwards: specification, labels and annotations exactly, without
the metadata that only the server sets.
"""

import difflib
import json
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from bookinfo_client.send import Result, decode, send
from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.documents import Document
from bookinfo_lab.resources.store import Key, key
from bookinfo_lab.scenarios import counting, detection
from bookinfo_lab.scenarios.detection import PROXY
from bookinfo_lab.scenarios.journal import Journal, Touched
from bookinfo_lab.scenarios.kubectl import Json, Kubectl, NoSuchKindError
from bookinfo_lab.scenarios.model import Browser, Counter, Log, Mesh, Traffic
from bookinfo_lab.scenarios.plans import browser_plan, looked_up_plan
from bookinfo_lab.scenarios.target import NotObservableError

_SET_BY_THE_SERVER = ("creationTimestamp", "generation", "managedFields", "resourceVersion", "selfLink", "uid")
_OWN_IMAGE = "bookinfo-"
_ROLLOUT = "180s"
_SKEW = 300.0
"""Seconds by which the cluster's clocks may differ from this one."""


@dataclass(frozen=True)
class Settings:
    """How to treat the cluster."""

    namespace: str
    gateway: str  # the ingress gateway's URL, without a path
    take_over: bool  # also change what somebody else manages
    settle: float  # seconds until every proxy has what was applied, at the latest
    mesh: Mesh


class ClusterTarget:
    """One namespace of a cluster."""

    def __init__(self, kubectl: Kubectl, settings: Settings, journal: Journal) -> None:
        self._kubectl = kubectl
        self._settings = settings
        self._journal = journal
        self._present: dict[Key, Json] = {}
        self._images: tuple[str, str] | None = None
        self._since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() - _SKEW))

    @property
    def mesh(self) -> Mesh:
        """See `Target`."""
        return self._settings.mesh

    @property
    def settle(self) -> float:
        """See `Target`."""
        return self._settings.settle

    def bring(self, documents: Sequence[Document], without: Collection[Key] = ()) -> None:
        """See `Target`. The start is what the cluster holds; only objects that are named here are touched.

        Raises:
            NotObservableError: an object that would have to change is managed by somebody else.
        """
        wanted = {key(document): self._here(document.body) for document in documents}
        changed = {identity: body for identity, body in wanted.items() if self._present.get(identity) != body}
        gone = [identity for identity in (*self._present, *without) if identity not in wanted]
        for identity in (*changed, *gone):
            self._remember(identity, changed.get(identity) or _reference(identity, self._settings.namespace))
        for identity, body in changed.items():
            self._put(identity, body)
        for identity in gone:
            self._take_back(identity, absent=identity in without)
        self._present = wanted
        for body in changed.values():
            self._roll_out(body)

    def restore(self) -> None:
        """See `Target`. Everything is put back before it is told what could not be.

        Raises:
            LabError: something is not what it was, with the difference.
        """
        wrong = []
        for identity, touched in self._journal.latest_first():
            try:
                self._take_back(identity, absent=False)
                if difference := _difference(touched.original, self._kubectl.find(touched.body)):
                    wrong.append(f"{_name(touched.body)} is not what it was:\n{difference}")
                else:
                    self._journal.remove(identity)
            except LabError as error:
                wrong.append(f"{_name(touched.body)}: {error}")
        self._present = {}
        if wrong:
            wrong.append("what it was is written down: the next `bookinfo verify` of this cluster puts it back first")
            raise LabError("\n".join(wrong))

    def send(self, traffic: Traffic) -> list[Result]:
        """See `Target`. A pod's requests are sent from within the pod."""
        if isinstance(traffic.caller, Browser):
            return send(browser_plan(self._settings.gateway, traffic, {}), {})
        deployment = traffic.caller.deployment
        command = ("exec", "-i", f"deployment/{deployment}", "-c", deployment, "--")
        told = self._kubectl.run(
            *command, "python", "-m", "bookinfo_client.send", stdin=json.dumps(asdict(looked_up_plan(traffic)))
        )
        return decode(told)

    def count(self, counter: Counter) -> int:
        """See `Target`. Istio leaves most of Envoy's numbers out unless a pod's annotation asks for them."""
        texts = [self._numbers(counter, pod) for pod in self._pods(counter.workload, proxied=not counter.application)]
        here = replace(
            counter, pattern=counter.pattern.replace(r"\.default\.svc", rf"\.{self._settings.namespace}\.svc")
        )
        found = [value for text in texts for value in counting.values(text, here)]
        if not found and not counter.application:
            raise NotObservableError(
                f"{counter.workload}'s sidecar does not keep {counter.pattern} (see proxyStatsMatcher)"
            )
        return sum(found)

    def log_mark(self, log: Log) -> object:
        """See `Target`. Lines are counted, because nobody knows how the clocks here and there differ."""
        return self._log(log)

    def log_lines(self, log: Log, mark: object) -> int:
        """See `Target`."""
        before: dict[str, int] = mark if isinstance(mark, dict) else {}
        return sum(lines - before.get(pod, 0) for pod, lines in self._log(log).items())

    def _log(self, log: Log) -> dict[str, int]:
        since = f"--since-time={self._since}"
        return {
            pod: counting.lines(self._kubectl.read("logs", pod, "-c", PROXY, since), log)
            for pod in self._pods(log.workload, proxied=True)
        }

    def _numbers(self, counter: Counter, pod: str) -> str:
        if counter.application:
            fetch = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9080/metrics').read().decode())"
            return self._kubectl.run("exec", pod, "--", "python", "-c", fetch)
        return self._kubectl.run("exec", pod, "-c", PROXY, "--", "pilot-agent", "request", "GET", "stats")

    def _pods(self, deployment: str, *, proxied: bool) -> list[str]:
        found = detection.pods(self._kubectl, deployment)
        if proxied and not all(map(detection.has_sidecar, found)):
            raise NotObservableError(f"{deployment} has no sidecar that could tell")
        return [pod["metadata"]["name"] for pod in found]

    def _remember(self, identity: Key, body: Json) -> None:
        if identity in self._journal:
            return
        try:
            original = self._kubectl.find(body)
        except NoSuchKindError:
            raise NotObservableError(f"the cluster knows no {body['kind']} ({body['apiVersion']})") from None
        if original and not self._settings.take_over and (manager := _manager(original)):
            raise NotObservableError(f"{_name(original)} is managed by {manager}; --take-over changes it all the same")
        self._journal.add(identity, Touched(body, original))

    def _put(self, identity: Key, body: Json) -> None:
        original = self._journal[identity].original
        if original and body["kind"] == "Deployment":
            # The cluster's own image, resources and so on stay: of a Deployment that is there only the size is meant.
            body = {**_writable(original), "spec": {**original["spec"], "replicas": body["spec"]["replicas"]}}
        elif body["kind"] == "Deployment":
            body = self._with_image(body)
        self._kubectl.put(body)

    def _take_back(self, identity: Key, *, absent: bool) -> None:
        touched = self._journal[identity]
        if touched.original is None or absent:
            self._kubectl.delete(touched.body)
        elif _difference(touched.original, self._kubectl.find(touched.body)):
            self._kubectl.put(_writable(touched.original))
            self._roll_out(touched.original)

    def _roll_out(self, body: Json) -> None:
        if body["kind"] == "Deployment":
            self._kubectl.run("rollout", "status", f"deployment/{body['metadata']['name']}", f"--timeout={_ROLLOUT}")

    def _here(self, body: Mapping[str, Any]) -> Json:
        """The object in this namespace: the manifests are written for `default`."""
        namespace = self._settings.namespace
        text = json.dumps(body)
        text = text.replace("/ns/default/sa/", f"/ns/{namespace}/sa/").replace(".default.svc.", f".{namespace}.svc.")
        here: Json = json.loads(text)
        metadata = here["metadata"]
        return {**here, "metadata": {**metadata, "namespace": metadata.get("namespace", namespace)}}

    def _with_image(self, body: Json) -> Json:
        """Take the project's images from where the cluster's productpage comes from, in the same version."""
        if self._images is None:
            image = self._kubectl.read(
                "get", "deployment/productpage-v1", "-o", "jsonpath={.spec.template.spec.containers[0].image}"
            )
            registry, _, rest = image.rpartition("/")
            self._images = (f"{registry}/" if registry else "", rest.partition(":")[2].partition("@")[0])
        registry, version = self._images
        copy: Json = json.loads(json.dumps(body))
        (container,) = copy["spec"]["template"]["spec"]["containers"]
        name = container["image"].partition(":")[0]
        if version and name.startswith(_OWN_IMAGE):
            container["image"] = f"{registry}{name}:{version}"
        return copy


def _reference(identity: Key, namespace: str) -> Json:
    """Enough of an object to find and to delete it."""
    group, kind, given, name = identity
    # Any version that the API has finds the object; of one kind it has never made a v1.
    number = "v1alpha3" if kind == "EnvoyFilter" else "v1"
    version = f"{group}/{number}" if group else number
    where = namespace if given == "default" else given
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "namespace": where}}


def _writable(original: Json) -> Json:
    metadata = {name: value for name, value in original["metadata"].items() if name not in _SET_BY_THE_SERVER}
    return {**{name: value for name, value in original.items() if name != "status"}, "metadata": metadata}


def _difference(before: Json | None, after: Json | None) -> str:
    """What differs, but for what the server sets, such as the count of rollouts; empty if nothing does."""
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
    """Who, other than people with kubectl, keeps the object as it is; empty if nobody does."""
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
