"""What is applied to a lab."""

from dataclasses import replace

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.resources.store import ObjectStore, display_kinds, duplicate_warnings


def documents(*kinds_and_names: str, version: str = "networking.istio.io/v1", spec: str = "{}") -> list[Document]:
    text = "---\n".join(
        f"apiVersion: {version}\nkind: {kind}\nmetadata: {{name: {name}}}\nspec: {spec}\n"
        for kind, _, name in (item.partition("/") for item in kinds_and_names)
    )
    return read_documents(text, "rules.yaml")


def verbs(changes: object) -> list[str]:
    assert isinstance(changes, list)
    return [str(change) for change in changes]


def test_an_object_is_created_then_unchanged_then_configured() -> None:
    objects, first = ObjectStore().apply(documents("VirtualService/reviews"))
    objects, second = objects.apply(documents("VirtualService/reviews"))
    objects, third = objects.apply(documents("VirtualService/reviews", spec="{hosts: [reviews]}"))
    assert verbs(first + second + third) == [
        "virtualservice/reviews created",
        "virtualservice/reviews unchanged",
        "virtualservice/reviews configured",
    ]
    assert len(objects.documents) == 1


def test_another_version_of_the_api_is_the_same_object() -> None:
    objects, _ = ObjectStore().apply(documents("VirtualService/reviews"))
    objects, changes = objects.apply(documents("VirtualService/reviews", version="networking.istio.io/v1beta1"))
    assert len(objects.documents) == 1
    assert verbs(changes) == ["virtualservice/reviews configured"]


def test_the_same_name_in_another_group_is_another_object() -> None:
    objects, _ = ObjectStore().apply(documents("Gateway/g"))
    objects, _ = objects.apply(documents("Gateway/g", version="gateway.networking.k8s.io/v1"))
    assert len(objects.documents) == 2


def test_an_object_that_is_given_twice_is_applied_twice_as_kubectl_does() -> None:
    first, second = documents("VirtualService/reviews"), documents("VirtualService/reviews", spec="{hosts: [reviews]}")
    objects, changes = ObjectStore().apply(first + second)
    assert verbs(changes) == ["virtualservice/reviews created", "virtualservice/reviews configured"]
    assert objects.select("vs", "reviews")[0].body["spec"] == {"hosts": ["reviews"]}


def test_an_object_that_two_places_have_otherwise_is_told_with_the_one_that_counts() -> None:
    first = documents("VirtualService/details", "VirtualService/reviews")
    (second,) = documents("VirtualService/reviews", spec="{hosts: [reviews]}")
    other = replace(second, source="more.yaml")

    assert duplicate_warnings([*first, other]) == [
        (
            "warning: virtualservice/reviews is defined in rules.yaml, line 6, and differently in more.yaml, line 1; "
            "the last definition is used"
        )
    ]
    assert duplicate_warnings([*first, *first]) == []


def test_a_kind_that_is_none_is_told_with_those_that_there_are() -> None:
    with pytest.raises(LabError, match=r"use .*deployment, destinationrule, ") as caught:
        ObjectStore().select("nonsense", None)
    assert caught.value.code == "unknown-kind-name"


def test_deleting_tells_what_was_not_there() -> None:
    objects, _ = ObjectStore().apply(documents("VirtualService/reviews"))
    objects, changes = objects.delete(documents("VirtualService/reviews", "VirtualService/ratings"))
    assert verbs(changes) == ["virtualservice/reviews deleted", "virtualservice/ratings not found"]
    assert not objects.documents


def test_istios_kinds_are_told_from_kubernetes_and_from_strange_ones() -> None:
    mixed = documents("VirtualService/a") + documents("Service/b", version="v1") + documents("Pot/c", version="tea/v1")
    objects, _ = ObjectStore().apply(mixed)
    assert [document.name for document in objects.rules] == ["a"]
    assert [document.name for document in objects.workloads] == ["b", "c"]


@pytest.mark.parametrize("kind", ["vs", "virtualservice", "VirtualServices", "virtualservices"])
def test_kinds_have_short_and_plural_names(kind: str) -> None:
    objects, _ = ObjectStore().apply(documents("VirtualService/a", "DestinationRule/a", "VirtualService/b"))
    assert [document.name for document in objects.select(kind, None)] == ["a", "b"]
    assert [document.kind for document in objects.select(kind, "a")] == ["VirtualService"]


def test_plurals_follow_english() -> None:
    objects, _ = ObjectStore().apply(documents("AuthorizationPolicy/a", "ServiceEntry/b"))
    assert [document.name for document in objects.select("authorizationpolicies", None)] == ["a"]
    assert [document.name for document in objects.select("serviceentries", None)] == ["b"]


def test_a_name_that_is_not_applied_is_an_error() -> None:
    with pytest.raises(LabError) as caught:
        ObjectStore().select("vs", "reviews")
    assert caught.value.code == "resource-not-found"


def test_a_deployment_of_several_namespaces_is_not_scaled_by_its_name() -> None:
    first, second = documents("Deployment/a", version="apps/v1"), documents("Deployment/a", version="apps/v1")
    objects, _ = ObjectStore().apply([*first, *(replace(document, namespace="other") for document in second)])
    with pytest.raises(LabError) as caught:
        objects.scale("a", 3)
    assert caught.value.code == "ambiguous-deployment"


def test_scaling_changes_the_replicas_alone() -> None:
    objects, _ = ObjectStore().apply(documents("Deployment/a", version="apps/v1", spec="{replicas: 1, other: x}"))
    objects, changes = objects.scale("a", 3)
    assert objects.select("deploy", "a")[0].body["spec"] == {"replicas": 3, "other": "x"}
    assert verbs(changes) == ["deployment/a configured"]


def test_what_excludes_each_other_is_exchanged_at_once() -> None:
    objects, _ = ObjectStore().apply(documents("VirtualService/reviews"))
    objects, changes = objects.apply_and_delete(documents("Gateway/g"), documents("VirtualService/reviews"))
    assert [document.kind for document in objects.rules] == ["Gateway"]
    assert verbs(changes) == ["virtualservice/reviews deleted", "gateway/g created"]


def test_an_objects_age_is_the_change_that_first_brought_it() -> None:
    objects, _ = ObjectStore().apply(documents("VirtualService/a", "VirtualService/b"))
    objects, _ = objects.apply(documents("VirtualService/c"))
    objects, _ = objects.apply(documents("VirtualService/a", spec="{hosts: [a]}"))
    assert {document.name: document.created for document in objects.rules} == {"a": 1, "b": 1, "c": 2}


def test_a_kind_that_two_groups_have_is_shown_with_its_group() -> None:
    bodies = [
        {"apiVersion": "networking.istio.io/v1", "kind": "Gateway"},
        {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "Gateway"},
        {"apiVersion": "v1", "kind": "Service"},
    ]
    assert display_kinds(bodies) == [
        "Gateway.networking.istio.io",
        "Gateway.gateway.networking.k8s.io",
        "Service",
    ]
