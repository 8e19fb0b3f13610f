"""The names that Istio gives to things in Envoy, and how it reads the hosts in its own objects."""

from bookinfo_lab.resources.topology import service_host

MESH = "mesh"
"""The reserved gateway name that stands for all sidecars."""

ROOT_NAMESPACE = "istio-system"
"""Where a policy without a selector applies to the whole mesh (MeshConfig.rootNamespace's default)."""


INVALID_BACKEND = "InvalidBackend"
"""A cluster that is never there: an HTTPRoute's share of requests for a backend that it cannot name."""


def cluster_name(port: int, subset: str, host: str) -> str:
    """The cluster for calls to `host` (model.BuildSubsetKey in Istio)."""
    return f"outbound|{port}|{subset}|{host}"


def inbound_cluster_name(port: int) -> str:
    """The cluster that stands for the application behind its sidecar, and the name of its routes."""
    return f"inbound|{port}||"


def full_host(host: str, namespace: str) -> str:
    """A host as a rule in `namespace` means it: a name without a dot is short for a Service beside the rule.

    Istio: ResolveShortnameToFQDN, pilot/pkg/model/config.go. `*` stays what it is.
    """
    if "." in host or host == "*":
        return host
    return service_host(host, namespace)


def host_matches(pattern: str, host: str) -> bool:
    """Whether `host` is what `pattern` (a name, `*`, or `*.suffix`) says. Istio: host.Name.Matches, pkg/config/host."""
    if pattern.startswith("*"):
        return host.endswith(pattern[1:])
    return pattern == host


def gateway_reference(reference: str, namespace: str) -> str:
    """A gateway as a rule in `namespace` names it, as `namespace/name`; `mesh` stays what it is.

    Istio: resolveGatewayName, pilot/pkg/model/config.go; `.` is the rule's own namespace.
    """
    scope, separator, name = reference.rpartition("/")
    if reference == MESH or (separator and scope != "."):
        return reference
    return f"{namespace}/{name}"
