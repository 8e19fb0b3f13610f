"""The tool that makes the schema's data file, on declarations of the kind that it reads."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

DECLARATIONS = """
import { IObjectMeta } from "somewhere";
export interface IThing {
    /**
     * A description: with { braces } and "quotes".
     */
    "spec"?: {
        "hosts": Array<string>;
        "labels"?: {
            [key: string]: string;
        };
        "mode"?: "ON" | "OFF";
        "port"?: number | string;
        "match"?: Array<{
            "exact"?: string;
            "prefix"?: string;
        } & (Exclude<{
            "exact"?: string;
        }, {
            "prefix"?: string;
        }> | {
            "exact": string;
            "prefix"?: string;
        } | {
            "exact"?: string;
            "prefix": string;
        })>;
    };
    "metadata"?: IObjectMeta;
}
"""


@pytest.fixture(scope="module")
def tool(repository_path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_schema", repository_path / "lab/tools/generate_schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def repository_path() -> Path:
    return Path(__file__).parents[3]


def test_fields_types_and_enumerations_are_kept_and_descriptions_are_not(tool: ModuleType) -> None:
    text = {"exact": "string", "prefix": "string"}

    assert tool.parse_interface(DECLARATIONS)["fields"]["spec"] == {
        "fields": {
            "hosts": {"array": "string"},
            "labels": {"map": "string"},
            "mode": {"enum": ["ON", "OFF"]},
            "port": {"either": ["number", "string"]},
            "match": {"array": {"fields": text, "required": [], "oneof": [["exact", "prefix"]]}},
        },
        "required": ["hosts"],
    }


def test_the_istio_version_is_that_of_the_crds(tool: ModuleType) -> None:
    source = '"https://raw.example/istio/istio/{}/manifests/charts/base/files/crd-all.gen.yaml"'

    assert tool.istio_version(source.format("1.30.1")) == "1.30.1"
    for older in (source.format("1.28.9"), "no version"):
        with pytest.raises(ValueError, match=r"not 1\.29 or newer"):
            tool.istio_version(older)


def test_types_that_are_declared_elsewhere_are_put_in_place_with_what_they_extend(tool: ModuleType) -> None:
    references = tool.References(
        [
            (
                'export interface IOuter extends ns_Base {\n  "inner"?: Array<ns_Inner>;\n}\n'
                "export type { IOuter as ns_Outer, Outer as nsOuter };"
            ),
            (
                'export interface IBase {\n  "name": ns_Name;\n  "from"?: ApiMetaV1LabelSelector;\n}\n'
                "export type { IBase as ns_Base, Base as nsBase };"
            ),
            "export type IName = string;\nexport type { IName as ns_Name, Name as nsName };",
            (
                'export interface IInner {\n  "code"?: 301 | 302;\n  "other"?: Unknown;\n}\n'
                "export type { IInner as ns_Inner, Inner as nsInner };"
            ),
        ]
    )

    assert references.type("ns_Outer") == {
        "fields": {
            "name": "string",
            "from": {"fields": {"matchLabels": {"map": "string"}, "matchExpressions": "any"}, "required": []},
            "inner": {"array": {"fields": {"code": {"enum": [301, 302]}, "other": "any"}, "required": []}},
        },
        "required": ["name"],
    }
