"""Reading manifests: what is taken, and how each mistake is told."""

import json

import pytest

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.documents import MAX_BYTES, ManifestError, dotted, read_documents

ONE = """
apiVersion: v1
kind: Service
metadata:
  name: reviews
spec:
  ports:
    - port: 9080
"""
PORT = manifest_errors.duplicate_port(9080)
OBJECT = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\n"


def test_documents_are_read_in_order_and_empty_ones_left_out() -> None:
    documents = read_documents(f"---\n{ONE}\n---\n---\n{ONE.replace('reviews', 'ratings')}", "a.yaml")

    assert [(document.kind, document.name, document.index) for document in documents] == [
        ("Service", "reviews", 0),
        ("Service", "ratings", 2),
    ]


def test_the_namespace_is_default_unless_the_document_names_one() -> None:
    other = ONE.replace("name: reviews", "name: reviews\n  namespace: other")

    assert [document.namespace for document in read_documents(f"{ONE}---{other}", "a.yaml")] == ["default", "other"]


def test_a_list_is_flattened() -> None:
    text = "apiVersion: v1\nkind: List\nitems:\n" + "".join(
        f"  - {{apiVersion: v1, kind: Service, metadata: {{name: {name}}}}}\n" for name in ("a", "b")
    )

    assert [document.name for document in read_documents(text, "list.yaml")] == ["a", "b"]


def test_json_objects_may_follow_each_other_and_escape_as_json_does() -> None:
    bodies = [{"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "told": "😀"} for name in "ab"]

    documents = read_documents("\n".join(map(json.dumps, bodies)), "a.json")

    assert [document.body for document in documents] == bodies


def test_what_looks_like_a_date_stays_text() -> None:
    (document,) = read_documents(ONE + "  released: 2024-01-02\n", "a.yaml")

    assert document.body["spec"]["released"] == "2024-01-02"


@pytest.mark.parametrize("text", ["12:30", "=", "1:30.5"])
def test_what_yaml_1_1_alone_takes_for_something_else_is_text_as_for_kubectl(text: str) -> None:
    assert read_documents(f"{OBJECT}spec: {{a: {text}}}", "a.yaml")[0].body["spec"] == {"a": text}


def test_a_merge_key_adds_what_an_object_does_not_say_itself() -> None:
    text = (
        f"{OBJECT}one: &one {{a: 1, b: 1}}\ntwo: &two {{<<: *one, b: 2, c: 2}}\n"
        "spec: {c: 3, <<: *two}\nseveral: {<<: [*one, *two]}\nquoted: {'<<': 1}\n"
    )

    body = read_documents(text, "a.yaml")[0].body

    assert body["spec"] == {"a": 1, "b": 2, "c": 3}
    assert body["several"] == {"a": 1, "b": 1, "c": 2}
    assert body["quoted"] == {"<<": 1}


def test_a_key_that_is_a_number_or_a_truth_value_is_text_as_for_kubectl() -> None:
    (document,) = read_documents(ONE + "  9080: {a: b}\n  true: c\n  1.5: d\n", "a.yaml")

    assert document.body["spec"] == {"ports": [{"port": 9080}], "9080": {"a": "b"}, "true": "c", "1.5": "d"}
    assert document.line(("spec", "9080", "a")) == 9


def test_error_has_file_line_field_problem_and_fix() -> None:
    (document,) = read_documents(ONE, "services.yaml")

    error = document.error(PORT, ("spec", "ports", 0, "port"))

    assert str(error) == "services.yaml, line 8, spec.ports[0].port: port 9080 occurs more than once; keep one"
    assert (error.code, error.field, error.line) == ("duplicate-port", "spec.ports[0].port", 8)


def test_error_about_a_whole_object_has_its_kind_and_name() -> None:
    (document,) = read_documents(ONE, "services.yaml")

    assert str(document.error(PORT)).startswith("services.yaml, line 2, Service reviews: ")


def test_error_in_json_has_the_number_of_the_document() -> None:
    _, second = read_documents('{"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}' * 2, "a.json")

    assert str(second.error(PORT, ("spec",))).startswith("a.json, document 2 (Service a), spec: ")


def test_path_is_written_with_dots_and_brackets() -> None:
    assert dotted(("spec", "http", 0, "route")) == "spec.http[0].route"


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("", "no-objects"),
        ("\x00", "invalid-yaml"),
        ("&a " + "[" * 5000, "invalid-yaml"),
        (ONE + "#" * MAX_BYTES, "file-too-large"),
    ],
)
def test_unreadable_file_is_rejected_in_one_line(text: str, code: str) -> None:
    """The other errors are in the golden files of test_error_messages.py."""
    with pytest.raises(ManifestError) as caught:
        read_documents(text, "bad.yaml")

    assert caught.value.code == code
    assert str(caught.value).startswith("bad.yaml")
    assert "\n" not in str(caught.value)


def test_aliases_that_expand_to_millions_of_values_are_rejected() -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ManifestError) as caught:
        read_documents("\n".join(levels), "bomb.yaml")
    assert caught.value.code == "too-many-values"
