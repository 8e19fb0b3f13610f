"""What types cannot say about fields that several kinds have. Istio: pkg/config/validation/validation.go."""

from collections.abc import Iterator

from bookinfo_lab.resources.model.base import PolicySelector, Spec
from bookinfo_lab.resources.model.networking import WorkloadSelector
from bookinfo_lab.resources.model.telemetry import FilterSelector
from bookinfo_lab.resources.model.validation import values
from bookinfo_lab.resources.model.validation.values import Problem


def selectors(spec: Spec) -> Iterator[Problem]:
    """A selector compares labels as they are: `*` is no wildcard in it."""
    for field, alias in (("selector", "selector"), ("workload_selector", "workloadSelector")):
        match getattr(spec, field, None):
            case PolicySelector(match_labels=labels):
                name = "matchLabels"
            case WorkloadSelector(labels=labels) | FilterSelector(labels=labels):
                name = "labels"
            case _:
                continue
        for key, value in labels.items():
            if not key or "*" in key + value:
                yield Problem(
                    f"a selector has no wildcard, and this has {key}={value}",
                    (alias, name, key),
                    "write the label's value, or leave the selector out",
                )


def exports(spec: Spec) -> Iterator[Problem]:
    """What `exportTo` names: every namespace (`*`), the object's own (`.`), none (`~`), or one."""
    for index, scope in enumerate(getattr(spec, "export_to", ())):
        if scope not in ("*", ".", "~"):
            for problem in values.label(scope, ("exportTo", index)):
                yield Problem(f"{scope[:80]!r} is not a namespace", problem.path, "write one, or * or .")
