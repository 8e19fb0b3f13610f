"""What callers send, as plans for the sender."""

from collections.abc import Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from bookinfo_client.send import Plan, send
from bookinfo_lab.errors import LabError
from bookinfo_lab.scenarios.model import Browser, Traffic


def browser_plan(gateway: str, traffic: Traffic, proxies: Mapping[str, str]) -> Plan:
    """The plan for a browser's traffic to `gateway`, a URL without a path. Signing in takes a request of its own.

    Raises:
        LabError: the user cannot sign in.
    """
    assert isinstance(traffic.caller, Browser)  # noqa: S101 - mypy cannot know
    headers = dict(traffic.headers)
    if traffic.caller.agent:
        headers["user-agent"] = traffic.caller.agent
    if traffic.caller.user:
        headers["cookie"] = _sign_in(gateway, traffic.caller.user, proxies)
    return replace(pod_plan(traffic), url=gateway + traffic.url, headers=headers)


def pod_plan(traffic: Traffic) -> Plan:
    """The plan for a pod's traffic."""
    return Plan(
        url=traffic.url,
        method=traffic.method,
        headers=dict(traffic.headers),
        count=traffic.count,
        concurrency=traffic.concurrency,
        per_second=traffic.per_second,
        timeout=traffic.timeout,
    )


def looked_up_plan(traffic: Traffic) -> Plan:
    """The plan for a pod whose application looks names up before its sidecar sees a request.

    What only the mesh knows goes to the address of `known_as`. The sidecar decides by the Host header, as it would
    have done for the name itself.
    """
    plan = pod_plan(traffic)
    if not traffic.known_as:
        return plan
    parts = urlsplit(traffic.url)
    url = parts._replace(netloc=traffic.known_as).geturl()
    return replace(plan, url=url, headers={**plan.headers, "Host": parts.netloc})


def _sign_in(gateway: str, user: str, proxies: Mapping[str, str]) -> str:
    (result,) = send(Plan(f"{gateway}/login?username={user}", method="POST"), proxies)
    cookie = result.headers.get("set-cookie", "").partition(";")[0]
    if result.status != 302 or not cookie:
        raise LabError(f"{user} cannot sign in at {gateway}: {result.error or result.status}")
    return cookie
