"""The Kubernetes objects that a lab accepts, as typed models.

Every field is used, or is declared `Ignored` because a lab has no kubelet, or is an error.
Field meanings: https://kubernetes.io/docs/reference/kubernetes-api/
"""

from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Base64Str, BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from bookinfo_lab.resources.documents import FieldPath, dotted

KINDS = {"v1": ("Secret", "Service", "ServiceAccount"), "apps/v1": ("Deployment",)}
"""The supported kinds, by apiVersion."""

_IGNORED = "ignored in a lab"
Ignored = Annotated[Any, _IGNORED]
"""A field that a lab accepts and ignores."""


class KubernetesModel(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class Metadata(KubernetesModel):
    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: Ignored = None
    finalizers: Ignored = None
    generation: Ignored = None
    managed_fields: Ignored = None
    owner_references: Ignored = None
    resource_version: Ignored = None
    uid: Ignored = None


class KubernetesObject(KubernetesModel):
    api_version: str
    kind: str
    metadata: Metadata


class ServiceAccount(KubernetesObject):
    automount_service_account_token: Ignored = None
    image_pull_secrets: Ignored = None
    secrets: Ignored = None


class Secret(KubernetesObject):
    data: dict[str, Base64Str] = {}
    string_data: dict[str, str] = {}
    type: Ignored = None
    immutable: Ignored = None


class ServicePort(KubernetesModel):
    port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: Literal["TCP"] = "TCP"
    target_port: int | str | None = None
    app_protocol: Ignored = None
    node_port: Ignored = None


class ServiceSpec(KubernetesModel):
    ports: list[ServicePort] = Field(min_length=1)
    selector: dict[str, str] = Field(min_length=1)
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    session_affinity: Literal["None"] = "None"
    allocate_load_balancer_node_ports: Ignored = None
    cluster_ip: Ignored = Field(None, alias="clusterIP")
    cluster_ips: Ignored = Field(None, alias="clusterIPs")
    external_traffic_policy: Ignored = None
    internal_traffic_policy: Ignored = None
    ip_families: Ignored = None
    ip_family_policy: Ignored = None
    publish_not_ready_addresses: Literal[False] = False


class Service(KubernetesObject):
    spec: ServiceSpec
    status: Ignored = None


class KeyReference(KubernetesModel):
    name: str
    key: str
    optional: bool = False


class FieldReference(KubernetesModel):
    field_path: Literal["metadata.name", "metadata.namespace", "status.podIP", "spec.serviceAccountName"]
    api_version: Ignored = None


class EnvSource(KubernetesModel):
    secret_key_ref: KeyReference | None = None
    field_ref: FieldReference | None = None


class Env(KubernetesModel):
    name: str = Field(min_length=1)
    value: str | None = None
    value_from: EnvSource | None = None


class ContainerPort(KubernetesModel):
    container_port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: Literal["TCP"] = "TCP"


class Container(KubernetesModel):
    name: str
    image: str
    env: list[Env] = []
    ports: list[ContainerPort] = []
    image_pull_policy: Ignored = None
    lifecycle: Ignored = None
    liveness_probe: Ignored = None
    readiness_probe: Ignored = None
    resources: Ignored = None
    security_context: Ignored = None
    startup_probe: Ignored = None
    termination_message_path: Ignored = None
    termination_message_policy: Ignored = None
    volume_mounts: Ignored = None
    working_dir: Ignored = None


class PodSpec(KubernetesModel):
    containers: list[Container] = Field(min_length=1, max_length=1)
    service_account_name: str | None = None
    service_account: str | None = None  # the deprecated name of the same field
    restart_policy: Literal["Always"] = "Always"
    affinity: Ignored = None
    automount_service_account_token: Ignored = None
    dns_policy: Ignored = None
    enable_service_links: Ignored = None
    image_pull_secrets: Ignored = None
    node_selector: Ignored = None
    priority_class_name: Ignored = None
    scheduler_name: Ignored = None
    security_context: Ignored = None
    termination_grace_period_seconds: Ignored = None
    tolerations: Ignored = None
    topology_spread_constraints: Ignored = None
    volumes: Ignored = None


class TemplateMetadata(KubernetesModel):
    labels: dict[str, str] = Field(min_length=1)
    annotations: dict[str, str] = {}
    creation_timestamp: Ignored = None


class Template(KubernetesModel):
    metadata: TemplateMetadata
    spec: PodSpec


class Selector(KubernetesModel):
    match_labels: dict[str, str] = Field(min_length=1)


class DeploymentSpec(KubernetesModel):
    selector: Selector
    template: Template
    replicas: int = Field(1, ge=0)
    min_ready_seconds: Ignored = None
    progress_deadline_seconds: Ignored = None
    revision_history_limit: Ignored = None
    strategy: Ignored = None


class Deployment(KubernetesObject):
    spec: DeploymentSpec
    status: Ignored = None


def ignored_fields(model: BaseModel, path: FieldPath = ()) -> Iterator[str]:
    """Yield the paths of the fields of `model` that are set and that a lab ignores."""
    for name, declared in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        at = (*path, declared.alias or name)
        if _IGNORED in declared.metadata:
            yield dotted(at)
        for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(item, BaseModel):
                yield from ignored_fields(item, at if index is None else (*at, index))
