"""istio/ambient: ztunnel enforces identities at a pod, and a waypoint enforces requests to a Service.

https://istio.io/latest/docs/ambient/usage/l7-features and l4-policy list the fields that each of them supports.
"""

from pathlib import Path

import pytest
import yaml

from bookinfo_lab.scenarios.manifests import Manifests

from .conftest import ROOT, Manifest, manifests, read

POLICIES = [item for item in manifests("istio/ambient") if item.body["kind"] == "AuthorizationPolicy"]
SECURITY = {path.name: path for path in (ROOT / "istio/security").glob("*.yaml")}
COUNTERPARTS = sorted(path.name for path in (ROOT / "istio/ambient").glob("*.yaml") if path.name in SECURITY)
(WAYPOINT,) = read("istio/ambient/waypoint.yaml")


def test_waypoint_has_istios_class_and_the_name_in_the_chart() -> None:
    values = yaml.safe_load((ROOT / "charts/bookinfo/values.yaml").read_text())
    assert WAYPOINT["spec"]["gatewayClassName"] == "istio-waypoint"
    assert WAYPOINT["metadata"]["name"] == values["waypoint"]["name"]
    (listener,) = WAYPOINT["spec"]["listeners"]
    assert (listener["port"], listener["protocol"]) == (15008, "HBONE")


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_policy_has_either_a_selector_or_target_refs(policy: Manifest) -> None:
    assert ("selector" in policy.body["spec"]) != ("targetRefs" in policy.body["spec"])


@pytest.mark.parametrize("policy", [item for item in POLICIES if "selector" in item.body["spec"]], ids=str)
def test_policy_for_pods_uses_only_identities(policy: Manifest) -> None:
    for rule in policy.body["spec"]["rules"]:
        assert set(rule) == {"from"}
        assert all(set(source["source"]) == {"principals"} for source in rule["from"])


def test_pods_of_every_service_allow_only_the_waypoint() -> None:
    services = {item["metadata"]["name"] for item in read("kubernetes/bookinfo.yaml") if item["kind"] == "Service"}
    name = WAYPOINT["metadata"]["name"]
    admitted = {
        policy["spec"]["selector"]["matchLabels"]["app"]: policy["spec"]["rules"]
        for policy in read("istio/ambient/only-the-waypoint.yaml")
    }
    alone = [{"from": [{"source": {"principals": [f"cluster.local/ns/default/sa/{name}"]}}]}]
    assert admitted == dict.fromkeys(services, alone)


@pytest.mark.parametrize("policy", [item for item in POLICIES if "targetRefs" in item.body["spec"]], ids=str)
def test_target_of_a_waypoint_policy_exists(policy: Manifest) -> None:
    existing = {(item["kind"], item["metadata"]["name"]) for item in [*read("kubernetes/bookinfo.yaml"), WAYPOINT]}
    for target in policy.body["spec"]["targetRefs"]:
        assert (target["kind"], target["name"]) in existing
        assert target["group"] == ("gateway.networking.k8s.io" if target["kind"] == "Gateway" else "")


@pytest.mark.parametrize("name", COUNTERPARTS)
def test_counterpart_has_the_same_rules(name: str) -> None:
    """`bookinfo verify` uses it in place of that file, with the same claims."""
    for ours, theirs in zip(read(f"istio/ambient/{name}"), read(f"istio/security/{name}"), strict=True):
        assert ours["metadata"] == theirs["metadata"]
        assert ours["spec"].get("rules") == theirs["spec"].get("rules")
        if theirs["spec"]:
            (target,) = ours["spec"]["targetRefs"]
            assert theirs["spec"]["selector"]["matchLabels"] == {"app": target["name"]}


def test_ambient_verification_uses_the_counterpart() -> None:
    files = ["istio/security/allow-nothing.yaml", "istio/security/mtls-strict.yaml"]
    documents = Manifests(ROOT, ambient=True).documents(files)
    assert [document.source for document in documents] == ["istio/ambient/allow-nothing.yaml", files[1]]
    assert [document.source for document in Manifests(ROOT).documents(files)] == files


def test_every_authorization_policy_has_a_counterpart() -> None:
    files = {path.name for path in Path(ROOT / "istio/security").glob("allow-*.yaml")}
    assert set(COUNTERPARTS) == files
