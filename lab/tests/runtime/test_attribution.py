"""Which object is behind what Envoy refuses."""

from collections.abc import Sequence

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import Document, ManifestError, read_documents
from bookinfo_lab.runtime import attribution


def documents(*specs: str) -> list[Document]:
    text = "---\n".join(
        f"apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r{number}}}\nspec: {spec}\n"
        for number, spec in enumerate(specs)
    )
    return read_documents(text, "rules.yaml")


def names(found: Sequence[Document]) -> list[str]:
    return [document.name for document in found]


A, B, C = documents("{a: 'x+'}", "{b: {regex: '(x'}, c: {regex: 'x'}}", "{a: c}")


def test_it_is_the_one_without_which_envoy_would_accept_the_others() -> None:
    assert names(attribution.behind([A, B, C], lambda given: B in given)) == ["r1"]


def test_each_of_several_is_refused_and_the_first_is_named() -> None:
    assert names(attribution.behind([A, B, C], lambda given: A in given or C in given)) == ["r0"]


def test_of_two_that_are_refused_only_together_the_later_is_named() -> None:
    assert names(attribution.behind([A, B, C], lambda given: {"r0", "r2"} <= set(names(given)))) == ["r2"]


def test_what_needs_another_object_is_judged_with_it() -> None:
    def refused(given: Sequence[Document]) -> bool:
        if A in given and C not in given:
            raise A.error(manifest_errors.subset_not_found("v9", "reviews", []))
        return A in given

    assert names(attribution.behind([A, B, C], refused)) == ["r0"]


def test_what_is_refused_without_any_of_them_is_nobodys_fault() -> None:
    assert attribution.behind([A, B], lambda _: True) == []


def test_a_running_envoys_refusal_is_of_those_that_shape_what_it_refuses() -> None:
    def made(given: Sequence[Document]) -> object:
        if C not in given:
            raise C.error(manifest_errors.host_not_found("reviews"))
        return B in given

    assert names(attribution.shaping([A, B, C], made)) == ["r1", "r2"]


def explained(reason: str, *culprits: Document) -> ManifestError:
    error = attribution.explained(culprits, reason, "correct it")
    assert error.code == "rejected-by-envoy"
    return error


def test_the_place_is_that_of_the_text_which_envoy_quotes() -> None:
    assert str(explained("missing ): (x", A, B)) == (
        "rules.yaml, line 9, spec.b.regex: rejected by Envoy: missing ): (x; correct it"
    )
    assert explained("regex '(x' has a program of 4004", B).field == "spec.b.regex"


def test_the_place_of_an_expression_is_told_by_the_line_that_cel_repeats() -> None:
    text = "spec: {accessLogging: [{}, {filter: {expression: 'response.code >=> 400'}}]}\n"
    (document,) = read_documents(f"apiVersion: a/v1\nkind: Telemetry\nmetadata: {{name: logs}}\n{text}", "logs.yaml")
    reason = "<input>:1:17: extraneous input '>' expecting {'[', '{'} | response.code >=> 400 | ................^"

    error = explained(reason, document)
    assert (error.field, error.line) == ("spec.accessLogging[1].filter.expression", 4)


def test_without_one_clear_place_it_is_the_whole_object_and_those_beside_it() -> None:
    assert (error := explained("no argument: x", A, B, C)).line == 4
    assert error.field == "spec.a"
    assert str(explained("proto constraint validation failed", B, C)).startswith(
        "rules.yaml, line 6, VirtualService r1: rejected by Envoy together with VirtualService r2: proto"
    )
