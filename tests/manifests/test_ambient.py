"""istio/ambient: who judges what. ztunnel knows identities at a pod, a waypoint knows requests to a Service.

https://istio.io/latest/docs/ambient/usage/l7-features and l4-policy say which fields each of them heeds.
"""

from pathlib import Path

import pytest
import yaml

from bookinfo_lab.scenarios.manifests import Manifests

from .conftest import ROOT, Manifest, manifests, read

POLICIES = [item for item in manifests("istio/ambient") if item.body["kind"] == "AuthorizationPolicy"]
SECURITY = {path.name: path for path in (ROOT / "istio/security").glob("*.yaml")}
NAMESAKES = sorted(path.name for path in (ROOT / "istio/ambient").glob("*.yaml") if path.name in SECURITY)
(WAYPOINT,) = read("istio/ambient/waypoint.yaml")


def test_the_waypoint_is_of_istios_class_and_the_charts_name() -> None:
    values = yaml.safe_load((ROOT / "charts/bookinfo/values.yaml").read_text())
    assert WAYPOINT["spec"]["gatewayClassName"] == "istio-waypoint"
    assert WAYPOINT["metadata"]["name"] == values["waypoint"]["name"]
    (listener,) = WAYPOINT["spec"]["listeners"]
    assert (listener["port"], listener["protocol"]) == (15008, "HBONE")


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_a_policy_is_for_pods_or_for_the_waypoint_and_not_both(policy: Manifest) -> None:
    assert ("selector" in policy.body["spec"]) != ("targetRefs" in policy.body["spec"])


@pytest.mark.parametrize("policy", [item for item in POLICIES if "selector" in item.body["spec"]], ids=str)
def test_a_policy_for_pods_asks_for_nothing_but_identities(policy: Manifest) -> None:
    for rule in policy.body["spec"]["rules"]:
        assert set(rule) == {"from"}
        assert all(set(source["source"]) == {"principals"} for source in rule["from"])


def test_pods_of_every_service_admit_the_waypoint_alone() -> None:
    services = {item["metadata"]["name"] for item in read("kubernetes/bookinfo.yaml") if item["kind"] == "Service"}
    name = WAYPOINT["metadata"]["name"]
    admitted = {
        policy["spec"]["selector"]["matchLabels"]["app"]: policy["spec"]["rules"]
        for policy in read("istio/ambient/only-the-waypoint.yaml")
    }
    alone = [{"from": [{"source": {"principals": [f"cluster.local/ns/default/sa/{name}"]}}]}]
    assert admitted == dict.fromkeys(services, alone)


@pytest.mark.parametrize("policy", [item for item in POLICIES if "targetRefs" in item.body["spec"]], ids=str)
def test_a_policy_for_the_waypoint_is_for_something_that_there_is(policy: Manifest) -> None:
    there = {(item["kind"], item["metadata"]["name"]) for item in [*read("kubernetes/bookinfo.yaml"), WAYPOINT]}
    for target in policy.body["spec"]["targetRefs"]:
        assert (target["kind"], target["name"]) in there
        assert target["group"] == ("gateway.networking.k8s.io" if target["kind"] == "Gateway" else "")


@pytest.mark.parametrize("name", NAMESAKES)
def test_a_namesake_of_istio_security_says_the_same(name: str) -> None:
    """`bookinfo verify` takes it in that file's place, with the same claims."""
    for ours, theirs in zip(read(f"istio/ambient/{name}"), read(f"istio/security/{name}"), strict=True):
        assert ours["metadata"] == theirs["metadata"]
        assert ours["spec"].get("rules") == theirs["spec"].get("rules")
        if theirs["spec"]:
            (target,) = ours["spec"]["targetRefs"]
            assert theirs["spec"]["selector"]["matchLabels"] == {"app": target["name"]}


def test_a_verification_in_ambient_mode_takes_the_form_for_it() -> None:
    wanted = ["istio/security/allow-nothing.yaml", "istio/security/mtls-strict.yaml"]
    taken = Manifests(ROOT, ambient=True).documents(wanted)
    assert [document.source for document in taken] == ["istio/ambient/allow-nothing.yaml", wanted[1]]
    assert [document.source for document in Manifests(ROOT).documents(wanted)] == wanted


def test_every_step_of_the_lesson_on_authorization_has_its_form() -> None:
    files = {path.name for path in Path(ROOT / "istio/security").glob("allow-*.yaml")}
    assert set(NAMESAKES) == files
