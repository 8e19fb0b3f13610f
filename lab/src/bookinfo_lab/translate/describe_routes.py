"""The routes of a VirtualService, in sentences."""

from collections.abc import Iterator

from bookinfo_lab.resources.model.networking import (
    Destination,
    HTTPFault,
    HTTPMatch,
    HTTPRoute,
    StringMatch,
    VirtualServiceSpec,
)


def routes(spec: VirtualServiceSpec) -> Iterator[str]:
    """Yield one line for each HTTP route: when it matches, and what it does."""
    for http in spec.http:
        conditions = " or ".join(_match(match) for match in http.match)
        yield f"{f'when {conditions}, ' if conditions else ''}{', '.join(_effects(http))}"


def _match(match: HTTPMatch) -> str:
    fields = {"uri": match.uri, "method": match.method, "scheme": match.scheme, "authority": match.authority}
    parts = [f"{name} {_string_match(value)}" for name, value in fields.items() if value is not None]
    parts += [f"header {name} {_string_match(value)}" for name, value in match.headers.items()]
    parts += [f"not header {name} {_string_match(value)}" for name, value in match.without_headers.items()]
    parts += [f"query parameter {name} {_string_match(value)}" for name, value in match.query_params.items()]
    parts += [f"the caller's label {name} is {value}" for name, value in match.source_labels.items()]
    parts += [f"port is {match.port}"] if match.port else []
    parts += [f"gateway is {' or '.join(match.gateways)}"] if match.gateways else []
    return " and ".join(parts) or "any request"


def _string_match(value: StringMatch) -> str:
    if value.exact is not None:
        return f"is {value.exact}"
    if value.prefix is not None:
        return f"starts with {value.prefix}"
    return f"matches {value.regex}" if value.regex is not None else "is present"


def _effects(http: HTTPRoute) -> Iterator[str]:
    yield from _fault(http.fault)
    if http.redirect is not None:
        yield f"redirect {http.redirect.redirect_code}"
    if http.direct_response is not None:
        yield f"direct response {http.direct_response.status}"
    total = sum(item.weight for item in http.route)
    for item in http.route:
        share = f"{item.weight * 100 / total:g} % " if len(http.route) > 1 and total else ""
        yield f"{share}to {_destination(item.destination)}"
    if http.timeout is not None:
        yield f"timeout {http.timeout:g} s"
    if http.retries is not None:
        yield f"up to {http.retries.attempts} {'retry' if http.retries.attempts == 1 else 'retries'}"
    mirrors = [mirror.destination for mirror in http.mirrors]
    for mirror in [http.mirror, *mirrors] if http.mirror else mirrors:
        yield f"mirrored to {_destination(mirror)}"


def _fault(fault: HTTPFault | None) -> Iterator[str]:
    if fault is not None and fault.delay is not None:
        share = fault.delay.percentage.value if fault.delay.percentage else fault.delay.percent or 0
        yield f"{share:g} % delayed by {fault.delay.fixed_delay or 0:g} s"
    if fault is not None and fault.abort is not None:
        share = fault.abort.percentage.value if fault.abort.percentage else 0
        yield f"{share:g} % aborted with {fault.abort.http_status}"


def _destination(destination: Destination) -> str:
    return f"{destination.host} subset {destination.subset}" if destination.subset else destination.host
