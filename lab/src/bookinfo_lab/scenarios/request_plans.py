"""Translates traffic to request plans for `bookinfo_client.send`."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from bookinfo_client.send import RequestPlan, send
from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.model import Browser, Traffic


def browser_plan(gateway: str, traffic: Traffic, proxies: Mapping[str, str]) -> RequestPlan:
    """Return the plan for a browser's traffic to `gateway`, a URL without a path. Signing in sends one request first.

    Raises:
        LabError: the user cannot sign in.
    """
    assert isinstance(traffic.caller, Browser)  # noqa: S101 - for mypy
    headers = dict(traffic.headers)
    if traffic.caller.agent:
        headers["user-agent"] = traffic.caller.agent
    if traffic.caller.user:
        headers["cookie"] = _sign_in(gateway, traffic.caller.user, proxies)
    return replace(pod_plan(traffic), url=gateway + traffic.url, headers=headers)


def pod_plan(traffic: Traffic) -> RequestPlan:
    """Return the plan for a pod's traffic."""
    return RequestPlan(
        url=traffic.url,
        method=traffic.method,
        headers=dict(traffic.headers),
        count=traffic.count,
        concurrency=traffic.concurrency,
        per_second=traffic.per_second,
        timeout=traffic.timeout,
    )


def dns_client_plan(traffic: Traffic) -> RequestPlan:
    """Return the plan for a pod that resolves names by DNS before its sidecar sees a request.

    A host that only the mesh knows is sent to the address of `dns_name`, with the host in the Host header. The sidecar
    routes by that header, as it would route a request to the host itself.
    """
    plan = pod_plan(traffic)
    if not traffic.dns_name:
        return plan
    parts = urlsplit(traffic.url)
    url = parts._replace(netloc=traffic.dns_name).geturl()
    return replace(plan, url=url, headers={**plan.headers, "Host": parts.netloc})


def _sign_in(gateway: str, user: str, proxies: Mapping[str, str]) -> str:
    (result,) = send(RequestPlan(f"{gateway}/login?username={user}", method="POST"), proxies)
    cookie = result.headers.get("set-cookie", "").partition(";")[0]
    if result.status != 302 or not cookie:
        raise LabError(f"{user} cannot sign in at {gateway}: {result.error or f'status {result.status}'}")
    return cookie
