"""Routes that no rule defines."""

from bookinfo_lab.resources.topology import Proxy
from bookinfo_lab.translate.names import PASSTHROUGH_CLUSTER, cluster_name, inbound_cluster_name
from bookinfo_lab.translate.registry import Host, Port
from bookinfo_lab.translate.route_parts import (
    ANY_PATH,
    DEFAULT_RETRIES,
    NO_TIMEOUT,
    hash_policies,
    operation_name,
    retry_policy,
    timeout,
)
from bookinfo_lab.translate.snapshot import MeshSnapshot
from bookinfo_lab.translate.xds import Json


def default_route(mesh: MeshSnapshot, proxy: Proxy, host: Host, port: Port) -> Json:
    """Return the route to a host that no rule routes."""
    hash_policy = hash_policies(mesh, proxy, [(host, port.number, "")])
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": {
            "cluster": cluster_name(port.number, "", host.name),
            **timeout(None),
            **retry_policy(None, has_hash=bool(hash_policy)),
            **hash_policy,
        },
        "decorator": {"operation": operation_name(host.name, port.number)},
    }


def inbound_route(port: int, operation: str) -> Json:
    """Return the route from a sidecar to its application. It never retries a request that reached the application.

    Istio: buildSidecarInboundHTTPRouteConfig, pilot/pkg/networking/core/httproute.go.
    """
    return {
        "name": "default",
        "match": ANY_PATH,
        "route": {
            "cluster": inbound_cluster_name(port),
            **timeout(None),
            "retry_policy": {"retry_on": "reset-before-request", "num_retries": DEFAULT_RETRIES},
        },
        "decorator": {"operation": operation},
    }


def tunnel_route(cluster: str, operation: str) -> Json:
    """Return the route of CONNECT requests: their bytes are relayed to `cluster`."""
    return {
        "match": {"connect_matcher": {}},
        "route": {
            "cluster": cluster,
            "timeout": NO_TIMEOUT,
            "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
        },
        "decorator": {"operation": operation},
    }


def passthrough_route() -> Json:
    """Return the route to hosts outside the registry under ALLOW_ANY."""
    return {
        "name": "allow_any",
        "match": ANY_PATH,
        "route": {"cluster": PASSTHROUGH_CLUSTER, **timeout(None)},
    }
