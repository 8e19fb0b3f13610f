"""Every sentence about an invalid manifest, as golden files.

testdata/errors contains invalid manifests by topic: `--- # case` starts a case. The text file next to a YAML file has
the code, the location and the sentence of each case. `make goldens` regenerates the text files.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from bookinfo_lab.errors import Message, lab_errors, manifest_errors
from bookinfo_lab.resources import workloads
from bookinfo_lab.resources.documents import ManifestError, read_documents
from bookinfo_lab.resources.images import Image
from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.store import ObjectStore
from bookinfo_lab.resources.topology import Gateway, Secret, Service, ServicePort, Topology, Workload
from bookinfo_lab.runtime import gateways
from bookinfo_lab.translate import translate

ERRORS = Path(__file__).parent / "testdata" / "errors"
FILES = sorted(ERRORS.glob("*.yaml"))
CASE = "--- # case\n"

NOT_FROM_A_MANIFEST_ALONE = {
    "file-too-large",  # a file of more than 4 MiB
    "too-many-values",  # test_documents.py
    "rejected-by-envoy",  # requires a running Envoy
    "gateway-identity-changed",  # requires a running gateway
}


def service(name: str, *ports: int) -> Service:
    return Service(name, "default", tuple(ServicePort(port, f"http-{port}", "http") for port in ports), {"app": name})


def pod(app: str, version: str, number: int) -> Workload:
    name = f"{app}-{version}"
    labels = {"app": app, "version": version}
    return Workload(name, name, "default", labels, f"bookinfo-{app}", f"127.64.0.{number}", {"http": 9080})


TOPOLOGY = Topology(
    services=(service("reviews", 9080), service("ratings", 9080), service("two-ports", 80, 81)),
    workloads=(
        pod("productpage", "v1", 10),
        pod("reviews", "v1", 11),
        pod("reviews", "v2", 12),
        pod("ratings", "v1", 13),
    ),
    gateways=(
        Gateway("ingress", "istio-system", {"istio": "ingressgateway"}, "a", "127.64.0.2", {8080: ("127.0.0.1", 8080)}),
        Gateway("shop-istio", "default", {}, "a", "127.64.0.3", {80: ("127.0.0.1", 8081)}, "shop"),
    ),
    secrets=(Secret("a", "default", {"tls.crt": "", "tls.key": ""}), Secret("empty", "default", {})),
)


def cases(file: Path) -> Iterator[str]:
    """Yield each case with blank lines before it, so that errors have the line numbers of the file."""
    text = file.read_text()
    for match in re.finditer(rf"{CASE}(.*?)(?={CASE}|\Z)", text, re.DOTALL):
        yield "\n" * text.count("\n", 0, match.start(1)) + match[1]


def error_of(text: str, source: str, known_images: Mapping[str, Image]) -> ManifestError:
    """Return the error that applying `text` to a running lab raises."""
    try:
        documents = read_documents(text, source)
        rules = Rules.parse(document for document in documents if ObjectStore().apply([document])[0].rules)
        kubernetes = [document for document in documents if ObjectStore().apply([document])[0].workloads]
        objects = workloads.parse(kubernetes, known_images)
        gateways.wanted(rules, objects)
        translate(replace(TOPOLOGY, services=(*TOPOLOGY.services, *objects.services)), rules)
    except ManifestError as error:
        return error
    pytest.fail(f"{source}: this manifest is valid: {text.strip()}")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_invalid_manifest_has_its_sentence(
    file: Path, known_images: Mapping[str, Image], golden: Callable[[Path, str], None]
) -> None:
    errors = [error_of(text, file.name, known_images) for text in cases(file)]

    golden(file.with_suffix(".txt"), "\n".join(f"{error.code}\n  {error}\n" for error in errors))
    assert all("\n" not in str(error) for error in errors)


def catalog(module: object) -> dict[str, Callable[..., Message]]:
    return {name.replace("_", "-"): entry for name, entry in vars(module).items() if hasattr(entry, "__wrapped__")}


def test_every_code_occurs_in_the_golden_files() -> None:
    written = {
        line for file in FILES for line in file.with_suffix(".txt").read_text().splitlines() if line[:1].isalpha()
    }

    assert catalog(manifest_errors).keys() - NOT_FROM_A_MANIFEST_ALONE == written


def test_a_code_belongs_to_one_entry() -> None:
    assert not catalog(manifest_errors).keys() & catalog(lab_errors).keys()


def test_every_sentence_has_a_problem_and_a_fix() -> None:
    lines = [line for file in FILES for line in file.with_suffix(".txt").read_text().splitlines() if line[:2] == "  "]

    assert [line for line in lines if "; " not in line] == []
