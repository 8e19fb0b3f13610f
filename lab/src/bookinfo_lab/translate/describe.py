"""Which rules hold for a workload, in words."""

from collections.abc import Iterator

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.model.networking import (
    Destination,
    HTTPFault,
    HTTPMatch,
    HTTPRoute,
    StringMatch,
    VirtualServiceSpec,
)
from bookinfo_lab.resources.topology import Gateway, Proxy, Topology, Workload
from bookinfo_lab.translate import (
    admission_describe,
    authorization,
    gateway_api_describe,
    rate_limit,
    virtual_services,
)
from bookinfo_lab.translate.mesh import Host, Mesh, holds_for, selects
from bookinfo_lab.translate.peer_authentication import mutual_tls_mode
from bookinfo_lab.translate.sidecar_scope import allows_unknown_hosts, visible_hosts
from bookinfo_lab.translate.telemetry import Direction, access_logging, sampled, tracing_is_ruled
from bookinfo_lab.translate.traffic_policy import Policy, destination_rule, policy

_MODES = {
    "PERMISSIVE": "takes mutual TLS and plaintext",
    "STRICT": "takes mutual TLS only",
    "DISABLE": "takes plaintext only",
}


def describe(topology: Topology, rules: Rules, proxy: Proxy) -> list[str]:
    """One line for each thing that holds for `proxy`: for calls to it, by it, and in general."""
    mesh = Mesh(topology, rules)
    lines: list[str] = []
    if isinstance(proxy, Workload) and not proxy.sidecar:
        return ["it has no sidecar: no rule holds for it, and its calls carry no identity"]
    if isinstance(proxy, Workload):
        lines += _inbound(mesh, proxy)
    lines += _admission(rules, proxy)
    lines += _outbound(mesh, proxy) if isinstance(proxy, Workload) else _edge(mesh, proxy)
    lines += _observation(mesh, proxy)
    return lines


def _inbound(mesh: Mesh, workload: Workload) -> Iterator[str]:
    for port in sorted(set(workload.ports.values())):
        mode = mutual_tls_mode(mesh.rules, workload, port)
        yield f"port {port} {_MODES[mode]} ({mode})"
    for host in mesh.hosts.values():
        if any(endpoint.address == workload.address for group in host.endpoints.values() for endpoint in group):
            yield f"it is an instance of {host.name}"
            rule = destination_rule(mesh, workload, host)
            names = [item.name for item in rule.spec.subsets if selects(item.labels, workload)] if rule else []
            if rule and names:
                yield f"{rule} puts it into subset {', '.join(names)} of {host.name}"


def _admission(rules: Rules, proxy: Proxy) -> Iterator[str]:
    held = authorization.policies_for(rules, proxy)
    for rule in held:
        yield from (f"{rule} {line}" for line in admission_describe.policy(rule.spec))
    if any(rule.spec.action == "ALLOW" for rule in held):
        yield "what no policy allows is refused with 403"
    for item in rules.request_authentications:
        if holds_for(item, proxy):
            yield f"{item} verifies tokens of {', '.join(jwt.issuer for jwt in item.spec.jwt_rules)}"
    yield from (f"{item} {admission_describe.limit(held)}" for item, held in rate_limit.limits(rules, proxy))


def _outbound(mesh: Mesh, workload: Workload) -> Iterator[str]:
    for host in visible_hosts(mesh, workload):
        yield from gateway_api_describe.outbound(mesh, workload, host)
        rule = virtual_services.for_host(mesh.rules, workload.namespace, host.name)
        if rule is not None:
            yield from (f"calls of {host.name}: {rule}: {line}" for line in _routes(rule.spec))
        yield from _policies(mesh, workload, host)
    unknown = "pass" if allows_unknown_hosts(mesh.rules, workload) else "are refused with 502"
    yield f"calls of hosts that the registry does not know {unknown}"


def _policies(mesh: Mesh, workload: Workload, host: Host) -> Iterator[str]:
    rule = destination_rule(mesh, workload, host)
    if rule is None:
        return
    for subset in ("", *(item.name for item in rule.spec.subsets)):
        for port in host.ports:
            parts = list(_policy(policy(rule, port.number, subset)))
            if parts:
                target = f"subset {subset} of {host.name}" if subset else host.name
                yield f"calls of {target}: {rule}: {', '.join(parts)}"


def _policy(held: Policy) -> Iterator[str]:
    if held.load_balancer is not None:
        hashed = held.load_balancer.consistent_hash is not None
        yield "balanced by consistent hash" if hashed else f"balanced by {held.load_balancer.simple or 'LEAST_REQUEST'}"
    if held.connection_pool is not None:
        yield "connection pool limited"
    if held.outlier_detection is not None:
        yield "sick instances ejected"
    if held.tls is not None:
        yield f"TLS {held.tls.mode}"


def _edge(mesh: Mesh, gateway: Gateway) -> Iterator[str]:
    if gateway.resource:
        yield from gateway_api_describe.edge(mesh, gateway)
        return
    rules = mesh.rules
    for address in sorted(set(gateway.ports.values())):
        offered = virtual_services.servers(rules, gateway, address)
        for rule in virtual_services.of_gateways(rules, virtual_services.references(offered), gateway.namespace):
            hosts = ", ".join(virtual_services.served_hosts(rule, offered))
            where = f"requests for {hosts} at {address[0]}:{address[1]}"
            yield from (f"{where}: {rule}: {line}" for line in _routes(rule.spec))


def _routes(spec: VirtualServiceSpec) -> Iterator[str]:
    for http in spec.http:
        conditions = " or ".join(_match(match) for match in http.match)
        yield f"{f'when {conditions}, ' if conditions else ''}{', '.join(_effects(http))}"


def _effects(http: HTTPRoute) -> Iterator[str]:
    yield from _fault(http.fault)
    if http.redirect is not None:
        yield f"redirected with {http.redirect.redirect_code}"
    if http.direct_response is not None:
        yield f"answered with {http.direct_response.status}"
    total = sum(item.weight for item in http.route)
    for item in http.route:
        share = f" ({item.weight * 100 / total:g} %)" if len(http.route) > 1 and total else ""
        yield f"to {_name(item.destination)}{share}"
    if http.timeout is not None:
        yield f"within {http.timeout:g} s"
    if http.retries is not None:
        yield f"retried up to {_count(http.retries.attempts, 'time')}"
    mirrors = [mirror.destination for mirror in http.mirrors]
    for mirror in [http.mirror, *mirrors] if http.mirror else mirrors:
        yield f"mirrored to {_name(mirror)}"


def _fault(fault: HTTPFault | None) -> Iterator[str]:
    if fault is not None and fault.delay is not None:
        share = fault.delay.percentage.value if fault.delay.percentage else fault.delay.percent or 0
        yield f"{share:g} % delayed by {fault.delay.fixed_delay or 0:g} s"
    if fault is not None and fault.abort is not None:
        share = fault.abort.percentage.value if fault.abort.percentage else 0
        yield f"{share:g} % aborted with {fault.abort.http_status}"


def _match(match: HTTPMatch) -> str:
    texts = {"uri": match.uri, "method": match.method, "scheme": match.scheme, "authority": match.authority}
    parts = [f"{name} {_text(value)}" for name, value in texts.items() if value is not None]
    parts += [f"header {name} {_text(value)}" for name, value in match.headers.items()]
    parts += [f"header {name} not {_text(value)}" for name, value in match.without_headers.items()]
    parts += [f"query {name} {_text(value)}" for name, value in match.query_params.items()]
    parts += [f"the caller's {name} is {value}" for name, value in match.source_labels.items()]
    parts += [f"port is {match.port}"] if match.port else []
    parts += [f"gateway is {' or '.join(match.gateways)}"] if match.gateways else []
    return " and ".join(parts) or "anything"


def _text(value: StringMatch) -> str:
    if value.exact is not None:
        return f"is {value.exact}"
    if value.prefix is not None:
        return f"begins with {value.prefix}"
    return f"matches {value.regex}" if value.regex is not None else "is there"


def _name(destination: Destination) -> str:
    return f"{destination.host} {destination.subset}" if destination.subset else destination.host


def _observation(mesh: Mesh, proxy: Proxy) -> Iterator[str]:
    for logging in access_logging(mesh, proxy):
        if not logging.disabled:
            yield f"requests are logged{f' if {logging.filter.expression}' if logging.filter else ''}"
    if not tracing_is_ruled(mesh, proxy):
        return
    directions: tuple[tuple[Direction, str], ...] = (("SERVER", "that come in"), ("CLIENT", "that go out"))
    for direction, which in directions[: 1 if isinstance(proxy, Gateway) else 2]:
        share = sampled(mesh, proxy, direction)
        yield f"{share or 0:g} % of requests {which} are traced"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
