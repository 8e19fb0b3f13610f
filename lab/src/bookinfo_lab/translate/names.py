"""Names that Istio gives to Envoy resources, and how Istio reads the hosts that its objects name."""

from bookinfo_lab.resources.topology import service_host

MESH_GATEWAY = "mesh"
"""The reserved gateway name that stands for all sidecars."""

ROOT_NAMESPACE = "istio-system"
"""The namespace whose policies apply to the whole mesh (the default of MeshConfig.rootNamespace)."""

PASSTHROUGH_CLUSTER = "PassthroughCluster"
"""The cluster for requests to unknown hosts under ALLOW_ANY. DNS gives its addresses."""

INVALID_BACKEND_CLUSTER = "InvalidBackend"
"""A cluster that is never defined. It receives the requests of an HTTPRoute's invalid backend."""


def cluster_name(port: int, subset: str, host: str) -> str:
    """Return the name of the cluster for calls to `host`. Istio: model.BuildSubsetKey."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster_name(port: int) -> str:
    """Return the name of a sidecar's cluster for its own application, which is also the name of its routes."""
    return f"inbound|{port}||"


def full_host(host: str, namespace: str) -> str:
    """Return the full form of a host in a rule of `namespace`: a name without a dot is a Service of that namespace.

    `*` is returned unchanged. Istio: ResolveShortnameToFQDN, pilot/pkg/model/config.go.
    """
    if "." in host or host == "*":
        return host
    return service_host(host, namespace)


def host_matches(pattern: str, host: str) -> bool:
    """Return whether `pattern` (a name, `*`, or `*.suffix`) matches `host`.

    Istio: host.Name.Matches, pkg/config/host.
    """
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def gateway_reference(reference: str, namespace: str) -> str:
    """Return a gateway in a rule of `namespace` as `namespace/name`. `mesh` is returned unchanged.

    `.` is the namespace of the rule. Istio: resolveGatewayName, pilot/pkg/model/config.go.
    """
    scope, separator, name = reference.rpartition("/")
    if reference == MESH_GATEWAY or (separator and scope != "."):
        return reference
    return f"{namespace}/{name}"
