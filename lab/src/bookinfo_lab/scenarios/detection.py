"""What kind of mesh a namespace of a cluster is in, and where its gateway is."""

from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.kubectl import Json, Kubectl
from bookinfo_lab.scenarios.model import Mesh

PROXY = "istio-proxy"
"""The sidecar's container, as Istio's injector names it."""

_GATEWAY = "service/istio-ingressgateway"
_GATEWAY_NAMESPACE = "istio-system"
# Set by Istio's CNI agent on a pod whose traffic goes through ztunnel (istio/istio: pkg/config/constants).
_REDIRECTION = "ambient.istio.io/redirection"
_USE_WAYPOINT = "istio.io/use-waypoint"


def pods(kubectl: Kubectl, deployment: str) -> list[Json]:
    """The Deployment's pods, less those that are going."""
    found = kubectl.parsed("get", f"deployment/{deployment}", "-o", "json")
    labels = ",".join(f"{name}={value}" for name, value in found["spec"]["selector"]["matchLabels"].items())
    items = kubectl.parsed("get", "pods", f"--selector={labels}", "-o", "json")["items"]
    return [item for item in items if "deletionTimestamp" not in item["metadata"]]


def mesh(kubectl: Kubectl, namespace: str) -> Mesh:
    """What productpage's pods have, which is what counts: labels only tell what new pods will get.

    Raises:
        LabError: productpage does not run.
    """
    found = pods(kubectl, "productpage-v1")
    if not found:
        raise LabError(f"no pod of productpage-v1 runs in namespace {namespace}: install Bookinfo, or name --namespace")
    if all(map(has_sidecar, found)):
        return Mesh.SIDECAR
    if any(map(has_sidecar, found)):
        raise LabError("some pods of productpage-v1 have a sidecar and some have none: wait for the rollout to end")
    if not all(pod["metadata"].get("annotations", {}).get(_REDIRECTION) == "enabled" for pod in found):
        return Mesh.NONE
    holders = [
        kubectl.parsed("get", f"namespace/{namespace}", "-o", "json"),
        kubectl.parsed("get", "service/productpage", "-o", "json"),
    ]
    labels = [holder["metadata"].get("labels", {}).get(_USE_WAYPOINT) for holder in holders]
    # A Service's own label wins; `none` takes it out of its namespace's waypoint.
    waypoint = labels[1] or labels[0] or "none"
    return Mesh.L4 if waypoint == "none" else Mesh.AMBIENT


def has_sidecar(pod: Json) -> bool:
    """Whether Istio's proxy is among the pod's containers; a native sidecar is an init container that goes on."""
    spec = pod["spec"]
    return any(container["name"] == PROXY for container in (*spec["containers"], *spec.get("initContainers", ())))


def gateway_url(kubectl: Kubectl) -> str:
    """Where Istio's ingress gateway is reached, by its Service's own account.

    Raises:
        LabError: it has no address outside the cluster.
    """
    found = kubectl.parsed("get", _GATEWAY, "-o", "json", "--ignore-not-found", namespace=_GATEWAY_NAMESPACE)
    ingress = found.get("status", {}).get("loadBalancer", {}).get("ingress", [])
    if not found:
        raise LabError(
            "there is no service istio-ingressgateway in istio-system: forward a port "
            "(`kubectl port-forward service/productpage 8080:9080`) and name it with --gateway http://localhost:8080"
        )
    if not ingress:
        raise LabError(
            "the service istio-ingressgateway has no address outside the cluster: forward a port "
            "(`kubectl -n istio-system port-forward service/istio-ingressgateway 8080:80`) and name it with --gateway"
        )
    host = ingress[0].get("ip") or ingress[0]["hostname"]
    return f"http://[{host}]" if ":" in host else f"http://{host}"
