"""Invalid values: Helm rejects them, and the message states where the problem is and what to do."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from charts.tests.rendering import Helm, HelmError

CASES = yaml.safe_load(Path(__file__).with_name("invalid_values.yaml").read_text())
REASON = re.compile(r"^- (at .*)|execution error at \([^)]*\): (.*)$", re.MULTILINE)
"""The reason in an error of Helm: of its schema validation, or of the function `fail` in a template."""


@pytest.mark.parametrize("case", [*CASES["schema"], *CASES["checks"]], ids=lambda case: case["error"][:80])
def test_invalid_values_are_rejected_with_a_reason(helm: Helm, case: dict[str, Any]) -> None:
    with pytest.raises(HelmError) as caught:
        helm.render(case["values"])
    reasons = [schema or check for schema, check in REASON.findall(str(caught.value))]
    assert reasons == [case["error"]]


@pytest.mark.parametrize(
    "values",
    [
        {"image": {"registry": registry}}
        for registry in ("docker.io", "localhost:5000/", "[::1]:5000/books", "registry.example/a-team/book__info/x.y")
    ]
    + [{"image": {"tag": "sha-0a1B_2.3"}}, {"versionDefaults": {"image": {"repository": "localhost:5000/books/all"}}}]
    + [
        {"services": {"details": {"resources": None, "env": None}}},
        {"services": {"reviews": {"versions": {"candidate": {"env": {"VERSION": "v2"}}}}}},
        {"services": {"reviews": {"versions": {"v4": {"image": {"repository": "our-reviews"}}}}}},
        {"services": {"productpage": {"versions": {"v7": {}}}}},
        {"networkPolicy": {"enabled": True}, "otlp": {"endpoint": "http://collector.observability:4318/otlp"}},
    ]
    # A limit without a request is also the request.
    + [
        {
            "autoscaling": {"enabled": True},
            "services": {"details": {"resources": {"requests": {"cpu": None}, "limits": {"cpu": 1}}}},
        }
    ],
    ids=str,
)
def test_valid_values_are_accepted(helm: Helm, values: dict[str, Any]) -> None:
    assert helm.render(values)


def test_older_kubernetes_version_is_rejected(helm: Helm) -> None:
    with pytest.raises(HelmError, match=r"requires kubeVersion: >=1\.32\.0-0 which is incompatible"):
        helm.render(kubernetes="1.31.9")
