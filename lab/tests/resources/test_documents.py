"""Reading manifests: what is taken, and how each mistake is told."""

import json

import pytest

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


def test_an_error_names_file_document_path_line_and_what_to_do() -> None:
    (document,) = read_documents(ONE, "services.yaml")

    error = document.error("port is wrong", ("spec", "ports", 0, "port"), "write another")

    assert str(error) == (
        "services.yaml: document 1 (Service reviews): spec.ports[0].port, line 8: port is wrong; write another"
    )


def test_a_path_is_written_as_people_do() -> None:
    assert dotted(("spec", "http", 0, "route")) == "spec.http[0].route"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no object"),
        ("# nothing\n", "holds no object"),
        ("a: [", "is not YAML"),
        ("\x00", "is not YAML"),
        ("%%%", "is not YAML"),
        ("just words", "is text, not an object"),
        ("- 1", "is a list, not an object"),
        ("{kind: Service, metadata: {name: a}}", "has no apiVersion"),
        ("{kind: List, items: [{apiVersion: v1, kind: Service, metadata: {name: a}}]}", "has no apiVersion"),
        ("{apiVersion: v1, metadata: {name: a}}", "has no kind"),
        ("{apiVersion: v1, kind: Service}", "has no metadata"),
        ("{apiVersion: v1, kind: Service, metadata: {}}", "has no metadata.name"),
        ("{apiVersion: v1, kind: Service, metadata: {name: 7}}", "has no metadata.name"),
        (ONE + "kind: Service\n", "the key 'kind' occurs twice at line 9"),
        (ONE + "  ? [a]\n  : x\n", "the key ['a'] is not text at line 9"),
        (ONE + "  null: x\n", "the key None is not text at line 9"),
        (ONE + "  8080: x\n  '8080': y\n", "the key '8080' occurs twice at line 10"),
        (ONE + "  <<: x\n", "a merge key (<<) takes an object or a list of them at line 9"),
        (ONE + "#" * MAX_BYTES, "is larger than 4 MB"),
        ("&a " + "[" * 5000, "is not YAML"),
        ('{"kind": "a"}\n{"kind": "a"', "is not YAML: did not find expected <document start> at line 2"),
        ('{"kind": "a", "kind": "b"}', "the key 'kind' occurs twice at line 1"),
    ],
)
def test_what_is_no_manifest_is_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(ManifestError) as caught:
        read_documents(text, "bad.yaml")

    assert str(caught.value).startswith("bad.yaml: ")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_aliases_that_stand_for_millions_of_values_are_refused() -> None:
    levels = ["l0: &l0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 10)}]" for n in range(1, 9)]

    with pytest.raises(ManifestError, match="more than 200000 values"):
        read_documents("\n".join(levels), "bomb.yaml")
