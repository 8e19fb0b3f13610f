"""The checks of fields that several kinds have. Istio: pkg/config/validation/validation.go."""

from collections.abc import Iterator

from bookinfo_lab.errors import manifest_errors
from bookinfo_lab.resources.model.base import PolicySelector, Spec
from bookinfo_lab.resources.model.networking import WorkloadSelector
from bookinfo_lab.resources.model.telemetry import FilterSelector
from bookinfo_lab.resources.model.validation import values
from bookinfo_lab.resources.model.validation.values import Problem


def selectors(spec: Spec) -> Iterator[Problem]:
    """A selector, which compares labels literally: `*` is not a wildcard."""
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
                yield Problem(manifest_errors.wildcard_in_selector(key, value), (alias, name, key))


def exports(spec: Spec) -> Iterator[Problem]:
    """The `exportTo` of an object: every namespace (`*`), its own (`.`), none (`~`), or a named one."""
    for index, scope in enumerate(getattr(spec, "export_to", ())):
        if scope not in ("*", ".", "~"):
            for problem in values.label(scope, ("exportTo", index)):
                yield Problem(manifest_errors.invalid_scope(scope), problem.path)
