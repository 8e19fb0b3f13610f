"""Every error about a manifest.

- *unknown*: the API does not define it
- *unsupported*: the API defines it, and the lab does not implement it
- *invalid*: the API does not allow this value

The location (file, line and field) comes from the document: see `bookinfo_lab.resources.documents.ManifestError`.
"""

from collections.abc import Iterable, Sequence

from bookinfo_lab.errors import listed, message, quoted

LABEL_RULE = "use up to 63 of a-z, 0-9 and -, with a letter or digit at each end"

# Files and documents


@message
def file_too_large(limit_mib: int) -> tuple[str, str]:
    return f"the file is larger than {limit_mib} MiB", "split it into several files"


@message
def invalid_yaml(reason: str) -> tuple[str, str]:
    return f"invalid YAML: {reason}", "correct the syntax"


@message
def no_objects() -> tuple[str, str]:
    return "the file contains no object", "add at least one, with apiVersion, kind and metadata"


@message
def too_many_values(limit: int) -> tuple[str, str]:
    return f"the document has more than {limit} values", "replace its aliases by values, or split it"


@message
def duplicate_object(location: str) -> tuple[str, str]:
    return f"the same object is also in {location}", "remove or rename one of them"


# Kinds, names and fields


@message
def unknown_kind(kind: str, group: str, fix: str) -> tuple[str, str]:
    return f"unknown kind {quoted(kind)} in API group {group}", fix


@message
def unknown_version(kind: str, version: str, known: Sequence[str]) -> tuple[str, str]:
    return f"unknown API version {quoted(version)} of {kind}", f"use {listed(known)}"


@message
def unsupported_kind(api_version: str, kind: str, fix: str) -> tuple[str, str]:
    return f"unsupported kind {quoted(kind)} of {api_version}", fix


@message
def invalid_name(name: str, rule: str = LABEL_RULE) -> tuple[str, str]:
    return f"invalid name {quoted(name)}", rule


@message
def invalid_namespace(namespace: str) -> tuple[str, str]:
    return f"invalid namespace {quoted(namespace)}", LABEL_RULE


@message
def unknown_field(field: str, fix: str) -> tuple[str, str]:
    return f"unknown field {quoted(field)}", fix


_FEATURES = {
    "delegate": "delegation to another VirtualService",
    "grpcStatus": "gRPC faults",
    "jwksUri": "fetching keys",
    "localityLbSetting": "locality load balancing",
    "retry": "retries of an HTTPRoute",
    "warmup": "slow start",
}


@message
def unsupported_field(field: str, reason: str = "") -> tuple[str, str]:
    reason = reason or f"the lab does not implement {_FEATURES.get(field, 'it')}"
    return f"unsupported field {quoted(field)}", f"remove it: {reason}"


@message
def unknown_or_unsupported_field(field: str) -> tuple[str, str]:
    return f"unknown or unsupported field {quoted(field)}", "correct its name, or remove it"


@message
def missing_field(field: str) -> tuple[str, str]:
    return f"required field {quoted(field)} is missing", "add it"


@message
def empty_list(field: str) -> tuple[str, str]:
    return f"{quoted(field)} is missing or empty", "add an item"


@message
def mutually_exclusive(fields: Sequence[str]) -> tuple[str, str]:
    return f"{listed([quoted(field) for field in fields], 'and')} are mutually exclusive", "keep one"


@message
def exactly_one_of(options: Sequence[str], present: Sequence[str]) -> tuple[str, str]:
    found = listed(present, "and") if present else "none"
    return f"expected exactly one of {listed(options)}, got {found}", "keep one" if present else "add one"


@message
def at_least_one_of(options: Sequence[str]) -> tuple[str, str]:
    return f"expected {listed([quoted(option) for option in options])}, got neither", "add one"


@message
def required_by_type(kind: str, field: str) -> tuple[str, str]:
    return f"type {kind} requires the field {quoted(field)}", "add it, or correct the type"


@message
def not_allowed_by_type(kind: str, field: str) -> tuple[str, str]:
    return f"type {kind} does not allow the field {quoted(field)}", "remove it, or correct the type"


# Types and values


@message
def wrong_type(expected: str, actual: str, fix: str) -> tuple[str, str]:
    return f"expected {expected}, got {actual}", fix


@message
def invalid_value(value: object, fix: str) -> tuple[str, str]:
    return f"invalid value {quoted(value)}", fix


@message
def unsupported_value(value: object, supported: Iterable[object]) -> tuple[str, str]:
    return f"unsupported value {quoted(value)}", f"use {listed(list(map(str, supported)))}: the lab implements no other"


@message
def out_of_range(value: float, low: float, high: float | None = None) -> tuple[str, str]:
    return (
        f"{value:.12g} is out of range",
        f"use {low:.12g} or more" if high is None else f"use {low:.12g} to {high:.12g}",
    )


@message
def duplicate_item(item: str) -> tuple[str, str]:
    return f"{quoted(item)} occurs more than once", "keep one: only the first would be used"


@message
def duplicate_name(kind: str, name: str) -> tuple[str, str]:
    return f"two {kind}s have the name {quoted(name)}", "rename one"


@message
def duplicate_port(port: int) -> tuple[str, str]:
    return f"port {port} occurs more than once", "keep one"


@message
def empty_string() -> tuple[str, str]:
    return "an empty string matches nothing", "remove it"


@message
def empty_match(field: str, remedy: str) -> tuple[str, str]:
    return f"{quoted(field)} is empty and matches nothing", remedy


@message
def invalid_duration(value: object) -> tuple[str, str]:
    return f"invalid duration {quoted(value)}", "use a number with a unit, such as 0.5s, 100ms or 1m"


@message
def duration_too_long(value: str, limit_hours: int) -> tuple[str, str]:
    return f"duration {quoted(value[:40])} is too long", f"use {limit_hours}h or less"


@message
def duration_too_short() -> tuple[str, str]:
    return "the duration is shorter than 1ms", "use 1ms or more, or remove the field"


@message
def not_whole_seconds() -> tuple[str, str]:
    return "the duration is not a whole number of seconds", "use 1s or more, without a fraction"


@message
def invalid_gateway_api_duration(value: object) -> tuple[str, str]:
    return f"invalid duration {quoted(value)}", "use whole numbers with a unit, such as 500ms or 1m30s (GEP-2257)"


@message
def empty_regex() -> tuple[str, str]:
    return "the regular expression is empty", "use .* to match any text"


@message
def invalid_base64(value: str) -> tuple[str, str]:
    return f"invalid base64 {quoted(value[:40])}", "encode the value, or use the field string"


@message
def invalid_host(host: str) -> tuple[str, str]:
    return f"invalid host {quoted(host)}", "use a DNS name such as reviews or *.example.com, without a port"


@message
def invalid_header_name(name: str) -> tuple[str, str]:
    return f"invalid header name {quoted(name)}", "use letters, digits and dashes"


@message
def invalid_port(port: str) -> tuple[str, str]:
    return f"invalid port {quoted(port)}", "use a number"


@message
def invalid_ip_block(block: str) -> tuple[str, str]:
    return f"invalid IP address or CIDR block {quoted(block)}", "use a value such as 127.0.0.1 or 127.0.0.0/8"


@message
def invalid_path(path: str, fix: str) -> tuple[str, str]:
    return f"invalid path {quoted(path)}", fix


@message
def unsupported_wildcard(host: str) -> tuple[str, str]:
    return f"unsupported wildcard {quoted(host)}", "list each host: the lab does not resolve wildcards"


@message
def wildcard_not_allowed(host: str) -> tuple[str, str]:
    return f"wildcard {quoted(host)} is not allowed here", "use one host name"


@message
def unsupported_protocol(protocol: str, supported: Sequence[str]) -> tuple[str, str]:
    return f"unsupported protocol {quoted(protocol)}", f"use {listed(supported)}"


@message
def unmodifiable_header(name: str, fix: str) -> tuple[str, str]:
    return f"header {quoted(name)} cannot be modified", fix


# Selectors and scopes


@message
def wildcard_in_selector(label: str, value: str) -> tuple[str, str]:
    return f"a selector cannot contain a wildcard, got {label}={value}", "use the label's value, or remove the selector"


@message
def invalid_scope(namespace: str) -> tuple[str, str]:
    return f"invalid namespace {quoted(namespace)}", 'use a namespace, "*" or "."'


@message
def missing_scope(host: str) -> tuple[str, str]:
    return f"host {quoted(host)} has no namespace", f"use a form such as ./{host} or */{host}"


@message
def short_host(host: str) -> tuple[str, str]:
    return f"short name {quoted(host)} is not allowed here", f"use {host}.default.svc.cluster.local"


@message
def unsupported_reference(kind: str, supported: str) -> tuple[str, str]:
    return f"unsupported reference to {quoted(kind)}", f"use {supported}"


# VirtualService


@message
def wildcard_host_in_mesh() -> tuple[str, str]:
    return 'host "*" is not allowed for the gateway "mesh"', "name the host, or another gateway"


@message
def overlapping_hosts(host: str, other: str) -> tuple[str, str]:
    return f"hosts {quoted(host)} and {quoted(other)} overlap", "keep one"


@message
def total_weight_too_large(total: int, limit: int) -> tuple[str, str]:
    return f"the weights add up to {total}, more than {limit}", "use smaller weights"


@message
def all_weights_zero() -> tuple[str, str]:
    return "every weight is 0, so no request has a destination", "give one destination a weight"


@message
def redirect_without_target() -> tuple[str, str]:
    return "the redirect has no target", "add uri, authority, scheme or port"


@message
def claim_routing() -> tuple[str, str]:
    return "unsupported match of a token's claims", "use an AuthorizationPolicy: the lab does not route by claims"


# DestinationRule


@message
def credential_without_selector() -> tuple[str, str]:
    return (
        "sidecars ignore credentialName without a workloadSelector",
        "select the calling workloads by workloadSelector.matchLabels",
    )


@message
def incomplete_mutual_tls() -> tuple[str, str]:
    return (
        "mode MUTUAL requires clientCertificate and privateKey, or credentialName",
        "add them, or use mode ISTIO_MUTUAL",
    )


@message
def certificates_with_istio_mutual() -> tuple[str, str]:
    return "mode ISTIO_MUTUAL uses the certificates of the mesh", "remove the certificate files"


# Gateway, listener, ServiceEntry


@message
def https_without_tls() -> tuple[str, str]:
    return 'protocol HTTPS requires the field "tls"', "add it, or use HTTP"


@message
def tls_without_https(protocol: str) -> tuple[str, str]:
    return f'the field "tls" requires protocol HTTPS, got {protocol}', "remove it, or use HTTPS"


@message
def unsupported_gateway_class(name: str, supported: str) -> tuple[str, str]:
    return f"unsupported GatewayClass {quoted(name)}", f"use {supported}: the lab has no other"


@message
def port_with_two_protocols(port: int) -> tuple[str, str]:
    return f"port {port} already has another protocol", "use another port"


@message
def duplicate_listener() -> tuple[str, str]:
    return "another listener has the same port and hostname", "change one of the two"


@message
def certificate_count(count: int) -> tuple[str, str]:
    return f"expected one certificate, got {count}", "reference one Secret"


@message
def endpoints_without_resolution() -> tuple[str, str]:
    return "endpoints have no effect with resolution NONE", "use STATIC or DNS"


@message
def endpoint_without_ip(address: str) -> tuple[str, str]:
    return f"resolution STATIC requires an IP address, got {quoted(address)}", "use an IP address, or resolution DNS"


# HTTPRoute


@message
def hostnames_for_service() -> tuple[str, str]:
    return "hostnames have no effect for a Service (GEP-1426)", "remove them: clients use the names of the Service"


@message
def section_of_service() -> tuple[str, str]:
    return "a Service has no sections", "use port instead of sectionName"


@message
def duplicate_parent() -> tuple[str, str]:
    return "this parent occurs more than once", "keep one, or give each a different sectionName"


@message
def backend_timeout_too_long() -> tuple[str, str]:
    return "backendRequest is longer than request", "use a shorter timeout"


@message
def duplicate_filter(kind: str) -> tuple[str, str]:
    return f"filter {kind} occurs more than once", "combine them into one"


@message
def prefix_replacement_without_prefix() -> tuple[str, str]:
    return "ReplacePrefixMatch requires exactly one match, of type PathPrefix", "write one rule for each match"


@message
def unsupported_backend_filter(kind: str) -> tuple[str, str]:
    return f"unsupported filter {kind} for one backend", "move it to the rule"


# Security


@message
def port_mtls_without_selector() -> tuple[str, str]:
    return "portLevelMtls requires a selector", "select workloads by matchLabels"


@message
def missing_jwks() -> tuple[str, str]:
    return (
        'required field "jwks" is missing',
        "add the issuer's public keys: the lab does not fetch them from jwksUri",
    )


@message
def invalid_jwks() -> tuple[str, str]:
    return "invalid JSON Web Key Set", 'use a value such as {"keys":[...]}'


@message
def deny_without_rules() -> tuple[str, str]:
    return "a DENY policy without rules denies nothing", "add a rule; the empty rule {} matches every request"


@message
def unknown_condition(key: str, known: Sequence[str]) -> tuple[str, str]:
    return f"unknown condition {quoted(key)}", f"use {listed(known)}"


@message
def unsupported_path_template(path: str) -> tuple[str, str]:
    return f"unsupported path template {quoted(path)}", "use a prefix such as /books/*"


# Deployments and Services


@message
def unnamed_ports() -> tuple[str, str]:
    return "a Service with several ports requires a different name for each", "name them"


@message
def selector_mismatch() -> tuple[str, str]:
    return "the selector does not match the labels of the pod template", "use the same labels in both"


@message
def incomplete_gateway_pod(image: str, annotation: str) -> tuple[str, str]:
    return (
        f"the image {image} and the annotation {annotation}: gateway require each other",
        "add the missing one, or remove both",
    )


@message
def gateway_replicas(replicas: int) -> tuple[str, str]:
    return f"unsupported number of gateway pods {replicas}", "use 1, or 0 for none"


@message
def gateway_target_port(port: int, target: int | str, lowest: int) -> tuple[str, str]:
    return (
        f"port {port} of the gateway's Service has the target port {target}",
        f"use a targetPort of {lowest} or more: processes of the lab are unprivileged",
    )


@message
def gateway_exists(name: str) -> tuple[str, str]:
    return f"gateway {quoted(name)} already exists", "rename one"


@message
def gateway_identity_changed(name: str) -> tuple[str, str]:
    return f"the running gateway {quoted(name)} has another namespace or service account", "delete it first"


@message
def unsupported_image(image: str, supported: Sequence[str]) -> tuple[str, str]:
    return f"unsupported image {quoted(image)}", f"use {listed(sorted(supported))}"


# References to other objects


@message
def object_not_found(kind: str, name: str, namespace: str, alternative: str = "correct the name") -> tuple[str, str]:
    return f"{kind} {quoted(name)} not found in namespace {namespace}", f"apply it first, or {alternative}"


@message
def host_not_found(host: str) -> tuple[str, str]:
    return f"no Service or ServiceEntry defines host {quoted(host)}", "apply one first, or correct the name"


@message
def key_not_found(secret: str, keys: Sequence[str]) -> tuple[str, str]:
    return f"Secret {quoted(secret)} has no key {listed(keys)}", f"add {keys[0]}"


@message
def port_not_found(host: str, port: int, known: Iterable[int]) -> tuple[str, str]:
    return f"{host} has no port {port}", f"use {listed([str(number) for number in known])}"


@message
def port_required(host: str) -> tuple[str, str]:
    return f"{host} has several ports", "select one: port: {number: ...}"


@message
def subset_not_found(subset: str, host: str, known: Sequence[str]) -> tuple[str, str]:
    fix = f"use {listed(known)}" if known else "apply a DestinationRule that defines it first"
    return f"{host} has no subset {quoted(subset)}", fix


@message
def port_not_served(gateways: str, port: int, known: Sequence[int]) -> tuple[str, str]:
    fix = f"use {listed([str(number) for number in known])}" if known else "apply a Service with this port"
    return f"gateway {gateways} does not serve port {port}", fix


@message
def listener_not_found(gateway: str, known: Sequence[str]) -> tuple[str, str]:
    return f"{gateway} has no matching listener", f"use {listed(known)}"


@message
def namespace_not_allowed(gateway: str, namespace: str) -> tuple[str, str]:
    return (
        f"{gateway} does not allow routes of namespace {namespace}",
        "set allowedRoutes: {namespaces: {from: All}} on its listener",
    )


@message
def hostname_not_served(gateway: str, served: Sequence[str]) -> tuple[str, str]:
    return f"{gateway} serves none of the route's hostnames", f"use {listed(served)}"


@message
def access_log_provider_not_found(name: str, known: str) -> tuple[str, str]:
    return f"access log provider {quoted(name)} not found", f"use {known}: the lab has no other"


@message
def virtual_host_not_found(name: str, known: Sequence[str]) -> tuple[str, str]:
    return f"virtual host {quoted(name)} not found", f"use {listed(known)}"


# Conflicts between objects


@message
def host_already_routed(rule: str, host: str) -> tuple[str, str]:
    return f"{rule} already routes {host}", "combine both into one, or delete one: a sidecar uses only one for a host"


@message
def host_already_configured(rule: str, host: str) -> tuple[str, str]:
    return f"{rule} already configures {host}", "combine both into one, or delete one"


@message
def host_already_defined(owner: str, host: str) -> tuple[str, str]:
    return f"{owner} already defines host {host}", "define all ports of a host in one object, or delete one"


@message
def workload_already_selected(rule: str, scope: str) -> tuple[str, str]:
    return (
        f"{rule} already applies to {scope}",
        "combine both into one, or select other workloads: only one can be in effect",
    )


@message
def port_without_tls(gateway: str, port: int) -> tuple[str, str]:
    return f"{gateway} already serves port {port} without TLS", "use another port"


# EnvoyFilter

_RATE_LIMIT_ONLY = "remove it: the lab implements EnvoyFilter only for a local rate limit"


@message
def unsupported_filter_position(before: str, within: str) -> tuple[str, str]:
    return f"unsupported position of a filter: expected before {before} of {within}", _RATE_LIMIT_ONLY


@message
def unsupported_filter(supported: str) -> tuple[str, str]:
    return f"unsupported filter: expected {supported}", _RATE_LIMIT_ONLY


@message
def unsupported_route_patch() -> tuple[str, str]:
    return "unsupported patch: a route's rate limits are all that it can change", _RATE_LIMIT_ONLY


@message
def unsupported_filter_type(supported: str) -> tuple[str, str]:
    return f"unsupported filter configuration: expected {supported}", _RATE_LIMIT_ONLY


# Envoy


@message
def rejected_by_envoy(reason: str, others: Sequence[str], fix: str) -> tuple[str, str]:
    together = f" together with {listed(others, 'and')}" if others else ""
    return f"rejected by Envoy{together}: {reason}", fix
