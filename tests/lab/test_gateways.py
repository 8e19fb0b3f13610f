"""Gateways that come and go with what is applied, in a real lab."""

import json
import socket
from pathlib import Path
from typing import Any

from .conftest import Bookinfo, eventually, get

REPOSITORY = Path(__file__).parents[2]
GATEWAY = str(REPOSITORY / "istio/gateway-api/gateway.yaml")
NAME = "bookinfo-gateway-istio"


def two_ports(bookinfo: Bookinfo, port: int) -> None:
    """The Gateway with one more listener."""
    text = Path(GATEWAY).read_text()
    listener = f"    - name: more\n      port: {port}\n      protocol: HTTP\n"
    bookinfo("apply", "-f", "-", stdin=text.replace("  listeners:\n", f"  listeners:\n{listener}"))


def gateway(bookinfo: Bookinfo) -> Any:
    return next((row for row in bookinfo.status()["gateways"] if row["name"] == NAME), None)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_gateway_brings_an_envoy_with_a_port_and_an_identity_and_takes_it_away_again(bookinfo: Bookinfo) -> None:
    before = len(bookinfo.processes())
    bookinfo("apply", "-f", GATEWAY)
    found = gateway(bookinfo)
    url = found["urls"]["80"]
    told = bookinfo("status")
    described = bookinfo("describe", NAME)

    assert len(bookinfo.processes()) == before + 1
    assert get(f"{url}/productpage").status == 200
    assert (get(f"{url}/static/img/icon.svg").status, get(f"{url}/staticx").text) == (200, "")
    assert f"{NAME}: port 80 is {url}" in told
    assert f"spiffe id: spiffe://cluster.local/ns/default/sa/{NAME}" in described
    assert "HTTPRoute bookinfo: when path is /productpage" in described

    bookinfo("delete", "-f", GATEWAY)

    assert gateway(bookinfo) is None
    eventually(lambda: len(bookinfo.processes()) == before)
    assert not (bookinfo.state / "bookinfo" / bookinfo.lab / "proxies" / NAME).exists()


def test_a_listeners_port_is_the_machines_own_where_that_is_free(bookinfo: Bookinfo) -> None:
    port = free_port()
    bookinfo("apply", "-f", GATEWAY)
    process = gateway(bookinfo)["pid"]
    two_ports(bookinfo, port)
    found = gateway(bookinfo)

    assert found["urls"][str(port)] == f"http://localhost:{port}"
    assert found["pid"] == process
    assert get(f"http://localhost:{port}/productpage").status == 200

    bookinfo("apply", "-f", GATEWAY)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", port))  # given back
    bookinfo("delete", "-f", GATEWAY)


def test_rejected_change_leaves_no_gateway(bookinfo: Bookinfo) -> None:
    text = Path(GATEWAY).read_text()
    regex = text.replace(
        "type: Exact\n            value: /productpage", "type: RegularExpression\n            value: '('"
    )
    before = bookinfo.processes()

    error = bookinfo("apply", "-f", "-", stdin=regex, ok=False)

    assert "spec.rules[0].matches[0].path.value: rejected by Envoy" in error
    assert gateway(bookinfo) is None
    assert bookinfo.processes() == before
    assert json.loads(bookinfo("get", "httproute", "-o", "json")) == []


def test_rules_that_exclude_each_other_are_exchanged_by_reset(bookinfo: Bookinfo) -> None:
    services = str(REPOSITORY / "kubernetes/version-services.yaml")
    routes, istio = (str(REPOSITORY / name) for name in ("istio/gateway-api/all-v1.yaml", "istio/routing/all-v1.yaml"))
    bookinfo("apply", "-f", services, "-f", routes)
    assert set(bookinfo.versions(6)) == {"v1"}
    assert "VirtualService" in bookinfo("apply", "-f", istio, ok=False)
    bookinfo("reset")
    bookinfo("apply", "-f", istio)
    assert set(bookinfo.versions(6)) == {"v1"}
    bookinfo("reset")


def test_gateways_end_with_their_lab(bookinfo: Bookinfo) -> None:
    bookinfo("apply", "-f", GATEWAY, "-f", str(REPOSITORY / "kubernetes/egress-gateway.yaml"))
    assert {row["name"] for row in bookinfo.status()["gateways"]} == {NAME, "istio-egressgateway"}
    bookinfo("down")
    assert bookinfo.processes() == []
