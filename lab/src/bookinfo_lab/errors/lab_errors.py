"""Every error about a running lab and its environment."""

from collections.abc import Sequence

from bookinfo_lab.errors import listed, message, quoted

# Applied objects


@message
def unknown_kind_name(kind: str, known: Sequence[str]) -> tuple[str, str]:
    return f"unknown kind {quoted(kind)}", f"use {listed(known)}"


@message
def resource_not_found(kind: str, name: str) -> tuple[str, str]:
    return f"{kind}/{name} not found", "`bookinfo get` lists the applied objects"


@message
def ambiguous_deployment(name: str, namespaces: Sequence[str]) -> tuple[str, str]:
    return (
        f"deployment/{name} exists in the namespaces {listed(namespaces, 'and')}",
        "apply the right one with its number of replicas",
    )


# Images


@message
def invalid_image(file: str, image: str) -> tuple[str, str]:
    return f"{file}: invalid entry {quoted(image)}", "use `package`, and optionally `directory` and `env`"


# Start and stop


@message
def lab_already_running(name: str, pid: int | None) -> tuple[str, str]:
    return (
        f"lab {quoted(name)} is already running (process {pid})",
        "stop it with `bookinfo down`, or start another with --lab NAME",
    )


@message
def lab_not_running(name: str) -> tuple[str, str]:
    return f"lab {quoted(name)} is not running", "start it with `bookinfo up`"


@message
def lab_exited(exit_code: int, log: str) -> tuple[str, str]:
    return f"the lab exited with code {exit_code}", f"see {log}"


@message
def lab_not_ready(name: str, timeout_seconds: float, log: str) -> tuple[str, str]:
    return f"lab {quoted(name)} is not ready after {timeout_seconds:g} s", f"see {log}"


@message
def lab_does_not_stop(name: str, pid: int, last_lines: str) -> tuple[str, str]:
    return f"lab {quoted(name)} (process {pid}) does not stop", f"see the end of its log: {last_lines}"


@message
def process_crashed(name: str, crashes: int, failure: str) -> tuple[str, str]:
    return f"{name} crashed {crashes} times while it started: it {failure}", "see its log with `bookinfo logs`"


@message
def process_not_ready(name: str, timeout_seconds: float, state: str, last_lines: str) -> tuple[str, str]:
    return (
        f"{name} is not ready after {timeout_seconds:g} s ({state})",
        f"see the end of its log: {last_lines or 'it is empty'}",
    )


# Pods and workloads


@message
def too_many_pods(pods: int, limit: int) -> tuple[str, str]:
    return f"{pods} pods are too many", f"use at most {limit} in a lab"


@message
def workload_not_found(name: str, known: Sequence[str]) -> tuple[str, str]:
    return f"workload {quoted(name)} not found", f"use {listed(known)}"


# Addresses and ports


@message
def no_address_left(network: str) -> tuple[str, str]:
    return f"every address of {network} is in use", "run fewer replicas"


@message
def loopback_not_available(address: str, reason: str) -> tuple[str, str]:
    return (
        f"cannot listen on {address} ({reason})",
        "use Linux, where all of 127.0.0.0/8 is loopback, or `docker compose up`",
    )


@message
def no_address_range(network: str, port: int) -> tuple[str, str]:
    return f"no address range of {network} is free", f"stop the process that uses port {port} on every address"


@message
def port_in_use(host: str, port: int) -> tuple[str, str]:
    return (
        f"{host}:{port} is already in use",
        "choose another port with --gateway-port, or `make run UP=--gateway-port=8090`",
    )


@message
def port_not_permitted(host: str, port: int) -> tuple[str, str]:
    return f"{host}:{port} is not permitted", "choose a port above 1023 with --gateway-port"


@message
def port_not_available(host: str, port: int, reason: str) -> tuple[str, str]:
    return f"cannot listen on {host}:{port} ({reason})", "choose another port with --gateway-port"


@message
def port_used_on_every_address(address: str, port: int) -> tuple[str, str]:
    return (
        f"port {port} of {address} is already in use",
        "stop the program that listens on every address (see `ss -ltnp`)",
    )


@message
def address_not_available(address: str, port: int, reason: str) -> tuple[str, str]:
    return f"cannot listen on port {port} of {address} ({reason})", "see `ss -ltnp`"


# Envoy


@message
def envoy_not_executable(path: str) -> tuple[str, str]:
    return f"BOOKINFO_ENVOY={path} is not an executable program", "set it to the path of an Envoy"


@message
def envoy_not_found() -> tuple[str, str]:
    return (
        "Envoy not found: PyPI has none for this platform, and PATH does not contain one",
        "set BOOKINFO_ENVOY, or run Bookinfo in containers with `docker compose up`",
    )


@message
def envoy_not_runnable(path: str, origin: str, reason: str) -> tuple[str, str]:
    return f"cannot run {path} (from {origin}): {reason}", "set BOOKINFO_ENVOY to the path of an Envoy"


@message
def not_an_envoy(path: str, origin: str) -> tuple[str, str]:
    return (
        f"{path} (from {origin}) is not an Envoy: `{path} --version` prints no version",
        "set BOOKINFO_ENVOY to the path of an Envoy",
    )


@message
def too_few_inotify_instances(envoys: int, required: int, limit: str, available: int) -> tuple[str, str]:
    return (
        f"{envoys} more Envoys require {required} inotify instances, and {available} of this user's {limit} are left",
        "stop another lab or an editor, or run `sudo sysctl fs.inotify.max_user_instances=512`",
    )


@message
def configuration_rejected(proxy: str, reason: str) -> tuple[str, str]:
    return f"the Envoy of {proxy} rejected its configuration: {reason}", "nothing was changed"


@message
def update_rejected(proxy: str, subscriptions: Sequence[str], reason: str) -> tuple[str, str]:
    return f"the Envoy of {proxy} rejected {listed(subscriptions, 'and')}: {reason}", "the change was rolled back"


@message
def configuration_not_delivered(proxies: Sequence[str]) -> tuple[str, str]:
    return (
        f"the Envoys of {listed(proxies, 'and')} do not use the new configuration yet",
        "see their logs with `bookinfo logs --sidecar`",
    )
