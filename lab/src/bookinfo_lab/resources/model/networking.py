"""`networking.istio.io/v1`: what the lab implements of Gateway, VirtualService, DestinationRule, ServiceEntry, Sidecar.

Fields and defaults: https://istio.io/latest/docs/reference/config/networking/.
"""

# ruff: noqa: RUF012  # pydantic copies a default for each object

from typing import Literal

from pydantic import Field

from bookinfo_lab.resources.model.base import Base64, PolicySelector, Regex, Seconds, Spec


class StringMatch(Spec):
    """One of the three; none matches any value that is present (headers only)."""

    exact: str | None = None
    prefix: str | None = None
    regex: Regex | None = None


class PortSelector(Spec):
    number: int


class Percent(Spec):
    value: float = 0.0  # 0..100


# Gateway


class GatewayPort(Spec):
    number: int
    protocol: str
    name: str
    target_port: int | None = None


class ServerTLS(Spec):
    mode: Literal["ISTIO_MUTUAL"]


class Server(Spec):
    port: GatewayPort
    hosts: tuple[str, ...]
    name: str | None = None
    tls: ServerTLS | None = None


class GatewaySpec(Spec):
    servers: tuple[Server, ...]
    selector: dict[str, str] = {}


# VirtualService


class HTTPMatch(Spec):
    name: str | None = None
    stat_prefix: str = ""
    uri: StringMatch | None = None
    scheme: StringMatch | None = None
    method: StringMatch | None = None
    authority: StringMatch | None = None
    headers: dict[str, StringMatch] = {}
    without_headers: dict[str, StringMatch] = {}
    query_params: dict[str, StringMatch] = {}
    ignore_uri_case: bool = False
    port: int | None = None
    source_labels: dict[str, str] = {}
    source_namespace: str | None = None
    gateways: tuple[str, ...] = ()


class Destination(Spec):
    host: str
    subset: str | None = None
    port: PortSelector | None = None


class HeaderOperations(Spec):
    set: dict[str, str] = {}
    add: dict[str, str] = {}
    remove: tuple[str, ...] = ()


class Headers(Spec):
    request: HeaderOperations = HeaderOperations()
    response: HeaderOperations = HeaderOperations()


class HTTPDestination(Spec):
    destination: Destination
    weight: int = 0
    headers: Headers = Headers()


class HTTPRedirect(Spec):
    uri: str | None = None
    authority: str | None = None
    port: int | None = None
    derive_port: Literal["FROM_PROTOCOL_DEFAULT", "FROM_REQUEST_PORT"] | None = None
    scheme: str | None = None
    redirect_code: int = 301


class HTTPBody(Spec):
    string: str | None = None
    bytes: Base64 | None = None


class HTTPDirectResponse(Spec):
    status: int
    body: HTTPBody | None = None


class RegexRewrite(Spec):
    match: Regex
    rewrite: str


class HTTPRewrite(Spec):
    uri: str | None = None
    authority: str | None = None
    uri_regex_rewrite: RegexRewrite | None = None


class HTTPRetry(Spec):
    attempts: int = 0
    per_try_timeout: Seconds | None = None
    retry_on: str = ""
    retry_ignore_previous_hosts: bool = True
    retry_remote_localities: bool = False
    backoff: Seconds | None = None


class Delay(Spec):
    fixed_delay: Seconds | None = None
    percentage: Percent | None = None
    percent: int | None = None


class Abort(Spec):
    http_status: int | None = None
    percentage: Percent | None = None


class HTTPFault(Spec):
    delay: Delay | None = None
    abort: Abort | None = None


class HTTPMirror(Spec):
    destination: Destination
    percentage: Percent | None = None


class CorsPolicy(Spec):
    allow_origins: tuple[StringMatch, ...] = ()
    allow_methods: tuple[str, ...] = ()
    allow_headers: tuple[str, ...] = ()
    expose_headers: tuple[str, ...] = ()
    max_age: Seconds | None = None
    allow_credentials: bool | None = None
    unmatched_preflights: Literal["UNSPECIFIED", "FORWARD", "IGNORE"] = "UNSPECIFIED"


class HTTPRoute(Spec):
    name: str | None = None
    match: tuple[HTTPMatch, ...] = ()
    route: tuple[HTTPDestination, ...] = ()
    redirect: HTTPRedirect | None = None
    direct_response: HTTPDirectResponse | None = None
    rewrite: HTTPRewrite | None = None
    timeout: Seconds | None = None
    retries: HTTPRetry | None = None
    fault: HTTPFault | None = None
    mirror: Destination | None = None
    mirror_percentage: Percent | None = None
    mirrors: tuple[HTTPMirror, ...] = ()
    cors_policy: CorsPolicy | None = None
    headers: Headers = Headers()


class VirtualServiceSpec(Spec):
    hosts: tuple[str, ...]
    gateways: tuple[str, ...] = ("mesh",)
    http: tuple[HTTPRoute, ...] = ()
    export_to: tuple[str, ...] = ("*",)


# DestinationRule


class HTTPCookie(Spec):
    name: str
    path: str | None = None
    ttl: Seconds | None = None


class RingHash(Spec):
    minimum_ring_size: int = 1024


class Maglev(Spec):
    table_size: int | None = None


class ConsistentHash(Spec):
    http_header_name: str | None = None
    http_cookie: HTTPCookie | None = None
    use_source_ip: bool | None = None
    http_query_parameter_name: str | None = None
    ring_hash: RingHash | None = None
    maglev: Maglev | None = None
    minimum_ring_size: int | None = None


class LoadBalancer(Spec):
    simple: Literal["UNSPECIFIED", "LEAST_CONN", "RANDOM", "ROUND_ROBIN", "LEAST_REQUEST"] | None = None
    consistent_hash: ConsistentHash | None = None


class TCPKeepalive(Spec):
    probes: int = 0
    time: Seconds | None = None
    interval: Seconds | None = None


class TCPSettings(Spec):
    max_connections: int | None = None
    tcp_keepalive: TCPKeepalive | None = None
    connect_timeout: Seconds | None = None
    max_connection_duration: Seconds | None = None


class HTTPSettings(Spec):
    http1_max_pending_requests: int | None = None
    http2_max_requests: int | None = None
    max_requests_per_connection: int | None = None
    max_retries: int | None = None
    idle_timeout: Seconds | None = None


class ConnectionPool(Spec):
    tcp: TCPSettings = TCPSettings()
    http: HTTPSettings = HTTPSettings()


class OutlierDetection(Spec):
    consecutive5xx_errors: int | None = Field(default=None, alias="consecutive5xxErrors")
    consecutive_gateway_errors: int | None = None
    consecutive_local_origin_failures: int | None = None
    split_external_local_origin_errors: bool = False
    interval: Seconds | None = None
    base_ejection_time: Seconds | None = None
    max_ejection_percent: int | None = None
    min_health_percent: int = 0


class ClientTLS(Spec):
    mode: Literal["DISABLE", "SIMPLE", "MUTUAL", "ISTIO_MUTUAL"] = "DISABLE"
    ca_certificates: str | None = None  # a file
    client_certificate: str | None = None
    private_key: str | None = None
    credential_name: str | None = None  # a Secret
    sni: str | None = None
    subject_alt_names: tuple[str, ...] = ()
    insecure_skip_verify: bool = False


class PortTrafficPolicy(Spec):
    port: PortSelector
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None


class TrafficPolicy(Spec):
    load_balancer: LoadBalancer | None = None
    connection_pool: ConnectionPool | None = None
    outlier_detection: OutlierDetection | None = None
    tls: ClientTLS | None = None
    port_level_settings: tuple[PortTrafficPolicy, ...] = ()


class Subset(Spec):
    name: str
    labels: dict[str, str] = {}
    traffic_policy: TrafficPolicy | None = None


class DestinationRuleSpec(Spec):
    host: str
    workload_selector: PolicySelector | None = None
    traffic_policy: TrafficPolicy | None = None
    subsets: tuple[Subset, ...] = ()
    export_to: tuple[str, ...] = ("*",)


# ServiceEntry


class ServiceEntryPort(Spec):
    number: int
    name: str
    protocol: str = "TCP"
    target_port: int | None = None


class WorkloadEntry(Spec):
    address: str = ""
    ports: dict[str, int] = {}
    labels: dict[str, str] = {}


class ServiceEntrySpec(Spec):
    hosts: tuple[str, ...]
    ports: tuple[ServiceEntryPort, ...] = ()
    location: Literal["MESH_EXTERNAL", "MESH_INTERNAL"] = "MESH_EXTERNAL"
    resolution: Literal["NONE", "STATIC", "DNS"] = "NONE"
    endpoints: tuple[WorkloadEntry, ...] = ()
    export_to: tuple[str, ...] = ("*",)


# Sidecar


class WorkloadSelector(Spec):
    labels: dict[str, str] = {}


class OutboundTrafficPolicy(Spec):
    mode: Literal["REGISTRY_ONLY", "ALLOW_ANY"] = "REGISTRY_ONLY"


class EgressListener(Spec):
    hosts: tuple[str, ...]


class SidecarSpec(Spec):
    workload_selector: WorkloadSelector | None = None
    egress: tuple[EgressListener, ...] = ()
    outbound_traffic_policy: OutboundTrafficPolicy | None = None
