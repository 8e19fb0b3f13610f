"""Detects the kind of mesh in a namespace of a cluster, and the URL of its gateway."""

from bookinfo_kubectl import Json, Kubectl
from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.model import Mesh

PROXY_CONTAINER = "istio-proxy"
"""The name of the sidecar's container, as Istio's injector sets it."""

_WORKLOAD = "productpage-v1"
_GATEWAY = "service/istio-ingressgateway"
_GATEWAY_NAMESPACE = "istio-system"
# Istio's CNI agent sets it on a pod whose traffic goes through ztunnel (istio/istio: pkg/config/constants).
_REDIRECTION = "ambient.istio.io/redirection"
_USE_WAYPOINT = "istio.io/use-waypoint"


def pods(kubectl: Kubectl, deployment: str) -> list[Json]:
    """Return the Deployment's pods that are not being deleted."""
    found = kubectl.parsed("get", f"deployment/{deployment}", "-o", "json")
    labels = ",".join(f"{name}={value}" for name, value in found["spec"]["selector"]["matchLabels"].items())
    items = kubectl.parsed("get", "pods", f"--selector={labels}", "-o", "json")["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def mesh(kubectl: Kubectl, namespace: str) -> Mesh:
    """Return the kind of mesh of productpage's pods. Labels of the namespace only determine what new pods get.

    Raises:
        LabError: productpage is not running.
    """
    found = pods(kubectl, _WORKLOAD)
    if not found:
        raise LabError(
            f"no pod of {_WORKLOAD} is running in namespace {namespace}; install Bookinfo, or set --namespace"
        )
    if all(map(has_sidecar, found)):
        return Mesh.SIDECAR
    if any(map(has_sidecar, found)):
        raise LabError(f"only some pods of {_WORKLOAD} have a sidecar; wait until the rollout is complete")
    if not all(pod["metadata"].get("annotations", {}).get(_REDIRECTION) == "enabled" for pod in found):
        return Mesh.NONE
    namespace_object = kubectl.parsed("get", f"namespace/{namespace}", "-o", "json")
    service_object = kubectl.parsed("get", "service/productpage", "-o", "json")
    # The Service's own label takes precedence. The value `none` means no waypoint.
    waypoint = _label(service_object, _USE_WAYPOINT) or _label(namespace_object, _USE_WAYPOINT) or "none"
    return Mesh.L4 if waypoint == "none" else Mesh.AMBIENT


def has_sidecar(pod: Json) -> bool:
    """Return whether the pod has Istio's proxy. A native sidecar is an init container that keeps running."""
    spec = pod["spec"]
    containers = (*spec["containers"], *spec.get("initContainers", ()))
    return any(container["name"] == PROXY_CONTAINER for container in containers)


def gateway_url(kubectl: Kubectl) -> str:
    """Return the URL of Istio's ingress gateway, from the status of its Service.

    Raises:
        LabError: the gateway has no address outside the cluster.
    """
    found = kubectl.parsed("get", _GATEWAY, "-o", "json", "--ignore-not-found", namespace=_GATEWAY_NAMESPACE)
    ingress = found.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    if not found:
        raise LabError(
            "service istio-ingressgateway not found in istio-system; forward a port "
            "(`kubectl port-forward service/productpage 8080:9080`) and set --gateway http://localhost:8080"
        )
    if not ingress:
        raise LabError(
            "service istio-ingressgateway has no address outside the cluster; forward a port "
            "(`kubectl -n istio-system port-forward service/istio-ingressgateway 8080:80`) "
            "and set --gateway http://localhost:8080"
        )
    host = ingress[0].get("ip") or ingress[0]["hostname"]
    return f"http://[{host}]" if ":" in host else f"http://{host}"


def _label(body: Json, name: str) -> str | None:
    value = body["metadata"].get("labels", {}).get(name)
    return None if value is None else str(value)
