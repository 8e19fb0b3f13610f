"""The input of every translation function."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from bookinfo_lab.resources.model import Rules
from bookinfo_lab.resources.topology import Topology
from bookinfo_lab.translate.registry import Host, build_registry


@dataclass(frozen=True)
class MeshSnapshot:
    """The topology and the rules at one point in time. Istio: PushContext, pilot/pkg/model/push_context.go."""

    topology: Topology
    rules: Rules

    @cached_property
    def hosts(self) -> Mapping[str, Host]:
        """Every host of the service registry, by its full name."""
        return build_registry(self.topology, self.rules)
