"""What to run, read from Kubernetes' Deployments, Services, ServiceAccounts and Secrets.

Strict: every field of an object is used, or is one of those declared `NoEffect` below (a lab has no kubelet), or is an
error. Field meanings: https://kubernetes.io/docs/reference/kubernetes-api/
"""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import choice
from typing import Annotated, Any, Literal, TypeVar

from pydantic import Base64Str, BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from bookinfo_lab.errors import Message, manifest_errors
from bookinfo_lab.resources import images, pydantic_errors, schema, topology
from bookinfo_lab.resources.conventions import INJECT, INJECT_TEMPLATES
from bookinfo_lab.resources.documents import Document, FieldPath, dotted
from bookinfo_lab.resources.images import Image

KINDS = {"v1": ("Secret", "Service", "ServiceAccount"), "apps/v1": ("Deployment",)}
"""The Kubernetes kinds that a lab takes, by apiVersion."""

PROXY_IMAGE = "auto"
"""The image that such a pod names: Istio's injection puts the proxy's in its place."""

_MARK = "has no effect in a lab"
NoEffect = Annotated[Any, _MARK]
"""A field that is accepted and has no effect here."""

_AT_POD: FieldPath = ("spec", "template", "spec")
_AT_CONTAINER: FieldPath = (*_AT_POD, "containers", 0)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_REFERENCE = re.compile(r"\$(\$|\(([^()]+)\))")


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, alias_generator=to_camel)


class _Metadata(_Model):
    name: str
    namespace: str = "default"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    creation_timestamp: NoEffect = None
    finalizers: NoEffect = None
    generation: NoEffect = None
    managed_fields: NoEffect = None
    owner_references: NoEffect = None
    resource_version: NoEffect = None
    uid: NoEffect = None


class _Object(_Model):
    api_version: str
    kind: str
    metadata: _Metadata


class _ServiceAccount(_Object):
    automount_service_account_token: NoEffect = None
    image_pull_secrets: NoEffect = None
    secrets: NoEffect = None


class _Secret(_Object):
    data: dict[str, Base64Str] = {}
    string_data: dict[str, str] = {}
    type: NoEffect = None
    immutable: NoEffect = None


class _ServicePort(_Model):
    port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: Literal["TCP"] = "TCP"
    target_port: int | str | None = None
    app_protocol: NoEffect = None
    node_port: NoEffect = None


class _ServiceSpec(_Model):
    ports: list[_ServicePort] = Field(min_length=1)
    selector: dict[str, str] = Field(min_length=1)
    type: Literal["ClusterIP", "NodePort", "LoadBalancer"] = "ClusterIP"
    session_affinity: Literal["None"] = "None"
    allocate_load_balancer_node_ports: NoEffect = None
    cluster_ip: NoEffect = Field(None, alias="clusterIP")
    cluster_ips: NoEffect = Field(None, alias="clusterIPs")
    external_traffic_policy: NoEffect = None
    internal_traffic_policy: NoEffect = None
    ip_families: NoEffect = None
    ip_family_policy: NoEffect = None
    publish_not_ready_addresses: Literal[False] = False


class _Service(_Object):
    spec: _ServiceSpec
    status: NoEffect = None


class _KeyReference(_Model):
    name: str
    key: str
    optional: bool = False


class _FieldReference(_Model):
    field_path: Literal["metadata.name", "metadata.namespace", "status.podIP", "spec.serviceAccountName"]
    api_version: NoEffect = None


class _EnvSource(_Model):
    secret_key_ref: _KeyReference | None = None
    field_ref: _FieldReference | None = None


class _Env(_Model):
    name: str = Field(min_length=1)
    value: str | None = None
    value_from: _EnvSource | None = None


class _ContainerPort(_Model):
    container_port: int = Field(ge=1, le=65535)
    name: str = ""
    protocol: Literal["TCP"] = "TCP"


class _Container(_Model):
    name: str
    image: str
    env: list[_Env] = []
    ports: list[_ContainerPort] = []
    image_pull_policy: NoEffect = None
    lifecycle: NoEffect = None
    liveness_probe: NoEffect = None
    readiness_probe: NoEffect = None
    resources: NoEffect = None
    security_context: NoEffect = None
    startup_probe: NoEffect = None
    termination_message_path: NoEffect = None
    termination_message_policy: NoEffect = None
    volume_mounts: NoEffect = None
    working_dir: NoEffect = None


class _PodSpec(_Model):
    containers: list[_Container] = Field(min_length=1, max_length=1)
    service_account_name: str | None = None
    service_account: str | None = None  # its older name
    restart_policy: Literal["Always"] = "Always"
    affinity: NoEffect = None
    automount_service_account_token: NoEffect = None
    dns_policy: NoEffect = None
    enable_service_links: NoEffect = None
    image_pull_secrets: NoEffect = None
    node_selector: NoEffect = None
    priority_class_name: NoEffect = None
    scheduler_name: NoEffect = None
    security_context: NoEffect = None
    termination_grace_period_seconds: NoEffect = None
    tolerations: NoEffect = None
    topology_spread_constraints: NoEffect = None
    volumes: NoEffect = None


class _TemplateMetadata(_Model):
    labels: dict[str, str] = Field(min_length=1)
    annotations: dict[str, str] = {}
    creation_timestamp: NoEffect = None


class _Template(_Model):
    metadata: _TemplateMetadata
    spec: _PodSpec


class _Selector(_Model):
    match_labels: dict[str, str] = Field(min_length=1)


class _DeploymentSpec(_Model):
    selector: _Selector
    template: _Template
    replicas: int = Field(1, ge=0)
    min_ready_seconds: NoEffect = None
    progress_deadline_seconds: NoEffect = None
    revision_history_limit: NoEffect = None
    strategy: NoEffect = None


class _Deployment(_Object):
    spec: _DeploymentSpec
    status: NoEffect = None


_Read = TypeVar("_Read", bound=_Object)


@dataclass(frozen=True)
class Variable:
    """One environment variable: a value, or a Secret's, or the pod's field at `field_path`."""

    name: str
    value: str = ""
    secret: str = field(default="", repr=False)
    field_path: str = ""


@dataclass(frozen=True)
class Deployment:
    """Pods of one kind, and how many of them."""

    name: str
    namespace: str
    replicas: int
    labels: Mapping[str, str]  # its pods'
    annotations: Mapping[str, str]  # its pods'
    service_account: str
    image: Image
    env: tuple[Variable, ...]
    ports: Mapping[str, int]
    sidecar: bool
    template_hash: str  # ten hexadecimal digits; a pod of another hash is of an older template
    without_effect: tuple[str, ...]  # paths of the fields that were given and have no effect in a lab


@dataclass(frozen=True)
class GatewayDeployment:
    """A gateway's proxy: https://istio.io/latest/docs/setup/additional-setup/gateway/#deploying-a-gateway."""

    name: str
    namespace: str
    labels: Mapping[str, str]  # its pod's
    service_account: str
    ports: Mapping[str, int]
    without_effect: tuple[str, ...]
    document: Document


@dataclass(frozen=True)
class Workloads:
    """All that is to run, and the Services by which it is called."""

    deployments: tuple[Deployment, ...] = ()
    gateways: tuple[GatewayDeployment, ...] = ()
    services: tuple[topology.Service, ...] = ()
    secrets: tuple[topology.Secret, ...] = ()


def parse(documents: Sequence[Document], known_images: Mapping[str, Image]) -> Workloads:
    """Read Kubernetes objects, which may refer to each other in any order.

    Raises:
        ManifestError: an unknown kind, field or image, or a value that Kubernetes would refuse.
    """
    for document in documents:
        _check_identity(document)
    by_kind = {
        kind: [document for document in documents if document.kind == kind]
        for kinds in KINDS.values()
        for kind in kinds
    }
    for document in by_kind["ServiceAccount"]:
        _validated(document, _ServiceAccount)
    secrets = {(document.namespace, document.name): _secret(document) for document in by_kind["Secret"]}
    accounts = {(document.namespace, document.name) for document in by_kind["ServiceAccount"]}
    checked = [(document, _checked_deployment(document, accounts)) for document in by_kind["Deployment"]]
    applications = [item for item in checked if not _is_gateway(item[1])]
    gateways = [_gateway(document, model) for document, model in checked if _is_gateway(model)]
    return Workloads(
        deployments=tuple(_deployment(document, model, known_images, secrets) for document, model in applications),
        gateways=tuple(gateway for gateway in gateways if gateway is not None),
        services=tuple(_service(document) for document in by_kind["Service"]),
        secrets=tuple(secrets.values()),
    )


def _check_identity(document: Document) -> None:
    if document.kind not in KINDS.get(document.api_version, ()):
        known = [f"{version} {kind}" for version, kinds in KINDS.items() for kind in kinds]
        same = [name for name in (*known, *schema.newest()) if name.endswith(f" {document.kind}")]
        supported = f"use {', '.join(known)} or a kind of Istio or of the Gateway API"
        fix = f"did you mean {' or '.join(same)}?" if same else supported
        raise document.error(manifest_errors.unsupported_kind(document.api_version, document.kind, fix), ("kind",))
    # Names become directory names and host names.
    if not _NAME.fullmatch(document.name):
        raise document.error(manifest_errors.invalid_name(document.name), ("metadata", "name"))
    if not _NAME.fullmatch(document.namespace):
        raise document.error(manifest_errors.invalid_namespace(document.namespace), ("metadata", "namespace"))


def _validated(document: Document, model: type[_Read]) -> _Read:
    try:
        return model.model_validate(dict(document.body))
    except ValidationError as error:
        message, path = pydantic_errors.first_error(error, unknown_fields=True)
        raise document.error(message, path) from None


def _secret(document: Document) -> topology.Secret:
    model = _validated(document, _Secret)
    return topology.Secret(document.name, document.namespace, model.data | model.string_data)


def _service(document: Document) -> topology.Service:
    spec = _validated(document, _Service).spec
    if len(spec.ports) > 1 and len({port.name for port in spec.ports} - {""}) < len(spec.ports):
        raise document.error(manifest_errors.unnamed_ports(), ("spec", "ports"))
    ports = tuple(topology.ServicePort(port.port, port.name, port.target_port or port.port) for port in spec.ports)
    return topology.Service(document.name, document.namespace, ports, spec.selector)


def _checked_deployment(document: Document, accounts: set[tuple[str, str]]) -> _Deployment:
    model = _validated(document, _Deployment)
    spec, template = model.spec, model.spec.template
    if not spec.selector.match_labels.items() <= template.metadata.labels.items():
        raise document.error(manifest_errors.selector_mismatch(), ("spec", "selector", "matchLabels"))
    account = _account(template)
    if account != "default" and (document.namespace, account) not in accounts:
        raise document.error(
            manifest_errors.object_not_found("ServiceAccount", account, document.namespace),
            (*_AT_POD, "serviceAccountName"),
        )
    if _is_gateway(model) != (template.spec.containers[0].image == PROXY_IMAGE):
        raise document.error(
            manifest_errors.incomplete_gateway_pod(PROXY_IMAGE, INJECT_TEMPLATES), (*_AT_CONTAINER, "image")
        )
    return model


def _is_gateway(model: _Deployment) -> bool:
    return model.spec.template.metadata.annotations.get(INJECT_TEMPLATES) == "gateway"


def _account(template: _Template) -> str:
    return template.spec.service_account_name or template.spec.service_account or "default"


def _ports(template: _Template) -> dict[str, int]:
    ports = template.spec.containers[0].ports
    return {port.name or str(port.container_port): port.container_port for port in ports}


def _gateway(document: Document, model: _Deployment) -> GatewayDeployment | None:
    """The gateway, unless it is to have no pod."""
    template = model.spec.template
    if model.spec.replicas > 1:
        raise document.error(manifest_errors.gateway_replicas(model.spec.replicas), ("spec", "replicas"))
    if model.spec.replicas == 0:
        return None
    return GatewayDeployment(
        name=document.name,
        namespace=document.namespace,
        labels=template.metadata.labels,
        service_account=_account(template),
        ports=_ports(template),
        without_effect=tuple(_without_effect(model)),
        document=document,
    )


def _deployment(
    document: Document,
    model: _Deployment,
    known_images: Mapping[str, Image],
    secrets: Mapping[tuple[str, str], topology.Secret],
) -> Deployment:
    template = model.spec.template
    container = template.spec.containers[0]
    image = known_images.get(images.repository_name(container.image))
    if image is None:
        raise document.error(
            manifest_errors.unsupported_image(container.image, list(known_images)), (*_AT_CONTAINER, "image")
        )
    digest = hashlib.sha256(json.dumps(document.body["spec"]["template"], sort_keys=True).encode()).hexdigest()[:10]
    marks = (template.metadata.labels.get(INJECT), template.metadata.annotations.get(INJECT))
    return Deployment(
        name=document.name,
        namespace=document.namespace,
        replicas=model.spec.replicas,
        labels=template.metadata.labels,
        annotations=template.metadata.annotations,
        service_account=_account(template),
        image=image,
        env=tuple(_variables(document, container.env, secrets, (*_AT_CONTAINER, "env"))),
        ports=_ports(template),
        sidecar="false" not in marks,
        template_hash=digest,
        without_effect=tuple(_without_effect(model)),
    )


def _variables(
    document: Document, env: Sequence[_Env], secrets: Mapping[tuple[str, str], topology.Secret], path: FieldPath
) -> Iterator[Variable]:
    for index, variable in enumerate(env):
        source = variable.value_from
        at = (*path, index)
        if source is None:
            yield Variable(variable.name, value=variable.value or "")
        elif variable.value is not None or len(source.model_fields_set) != 1:
            options = ["value", "valueFrom.fieldRef", "valueFrom.secretKeyRef"]
            values = (variable.value, source.field_ref, source.secret_key_ref)
            present = [name for name, value in zip(options, values, strict=True) if value is not None]
            raise document.error(manifest_errors.exactly_one_of(options, present), at)
        elif source.field_ref:
            yield Variable(variable.name, field_path=source.field_ref.field_path)
        elif source.secret_key_ref:
            reference = source.secret_key_ref
            secret = secrets.get((document.namespace, reference.name))
            if secret and reference.key in secret.data:
                yield Variable(variable.name, secret=secret.data[reference.key])
            elif not reference.optional:
                raise document.error(_secret_error(reference, document.namespace, found=secret is not None), at)


def _secret_error(reference: _KeyReference, namespace: str, *, found: bool) -> Message:
    if found:
        return manifest_errors.key_not_found(reference.name, [reference.key])
    return manifest_errors.object_not_found("Secret", reference.name, namespace, "set optional: true")


def _without_effect(model: BaseModel, path: FieldPath = ()) -> Iterator[str]:
    for name, declared in type(model).model_fields.items():
        if name not in model.model_fields_set:
            continue
        value = getattr(model, name)
        at = (*path, declared.alias or name)
        if _MARK in declared.metadata:
            yield dotted(at)
        for index, item in enumerate(value) if isinstance(value, list) else ((None, value),):
            if isinstance(item, BaseModel):
                yield from _without_effect(item, at if index is None else (*at, index))


def pod(deployment: Deployment, address: str) -> topology.Workload:
    """A new pod of the deployment, named as Kubernetes names them, not ready yet."""
    suffix = "".join(choice("bcdfghjklmnpqrstvwxz2456789") for _ in range(5))
    return topology.Workload(
        name=f"{deployment.name}-{deployment.template_hash}-{suffix}",
        deployment=deployment.name,
        namespace=deployment.namespace,
        labels=deployment.labels,
        service_account=deployment.service_account,
        address=address,
        ports=deployment.ports,
        sidecar=deployment.sidecar,
        ready=False,
        annotations=deployment.annotations,
    )


def environment(deployment: Deployment, workload: topology.Workload) -> dict[str, str]:
    """A pod's environment as its image and its Deployment give it; `$(NAME)` refers to what stands before."""
    fields = {
        "metadata.name": workload.name,
        "metadata.namespace": workload.namespace,
        "status.podIP": workload.address,
        "spec.serviceAccountName": workload.service_account,
    }
    env = dict(deployment.image.env)
    for variable in deployment.env:
        if variable.field_path:
            env[variable.name] = fields[variable.field_path]
        else:
            env[variable.name] = variable.secret or _expanded(variable.value, env)
    return env


def _expanded(value: str, env: Mapping[str, str]) -> str:
    return _REFERENCE.sub(lambda match: "$" if match[1] == "$" else env.get(match[2], match[0]), value)
