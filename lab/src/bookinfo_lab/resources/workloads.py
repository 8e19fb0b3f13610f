"""The Deployments, gateways, Services and Secrets of a lab, translated from Kubernetes objects."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from secrets import choice
from typing import TypeVar

from pydantic import ValidationError

from bookinfo_lab.errors import Message, manifest_errors
from bookinfo_lab.resources import images, kubernetes, pydantic_errors, schema, topology
from bookinfo_lab.resources.conventions import INJECT, INJECT_TEMPLATES
from bookinfo_lab.resources.documents import Document, FieldPath
from bookinfo_lab.resources.images import Image

PROXY_IMAGE = "auto"
"""The image of a gateway's pod. Istio's injection replaces it by the image of the proxy."""

_AT_POD: FieldPath = ("spec", "template", "spec")
_AT_CONTAINER: FieldPath = (*_AT_POD, "containers", 0)
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_REFERENCE = re.compile(r"\$(\$|\(([^()]+)\))")


_ObjectT = TypeVar("_ObjectT", bound=kubernetes.KubernetesObject)


@dataclass(frozen=True)
class Variable:
    """One environment variable: a value, the value of a Secret, or the pod's field at `field_path`."""

    name: str
    value: str = ""
    secret: str = field(default="", repr=False)
    field_path: str = ""


@dataclass(frozen=True)
class Deployment:
    """A Deployment: the template of its pods, and their number."""

    name: str
    namespace: str
    replicas: int
    labels: Mapping[str, str]  # of its pods
    annotations: Mapping[str, str]  # of its pods
    service_account: str
    image: Image
    env: tuple[Variable, ...]
    ports: Mapping[str, int]
    sidecar: bool
    template_hash: str  # ten hexadecimal digits; a pod with another hash has an older template
    ignored_fields: tuple[str, ...]  # paths of the fields that are set and that a lab ignores


@dataclass(frozen=True)
class GatewayDeployment:
    """A gateway without an application.

    https://istio.io/latest/docs/setup/additional-setup/gateway/#deploying-a-gateway
    """

    name: str
    namespace: str
    labels: Mapping[str, str]  # of its pod
    service_account: str
    ports: Mapping[str, int]
    ignored_fields: tuple[str, ...]
    document: Document


@dataclass(frozen=True)
class Workloads:
    """The workloads to run, and the Services and Secrets that they use."""

    deployments: tuple[Deployment, ...] = ()
    gateways: tuple[GatewayDeployment, ...] = ()
    services: tuple[topology.Service, ...] = ()
    secrets: tuple[topology.Secret, ...] = ()


def parse(documents: Sequence[Document], known_images: Mapping[str, Image]) -> Workloads:
    """Return the workloads that Kubernetes objects define. The objects may refer to each other in any order.

    Raises:
        ManifestError: a kind, field or image is unsupported, or a value is invalid in Kubernetes.
    """
    for document in documents:
        _check_identity(document)
    by_kind = {
        kind: [document for document in documents if document.kind == kind]
        for kinds in kubernetes.KINDS.values()
        for kind in kinds
    }
    for document in by_kind["ServiceAccount"]:
        _validated(document, kubernetes.ServiceAccount)
    secrets = {(document.namespace, document.name): _secret(document) for document in by_kind["Secret"]}
    accounts = {(document.namespace, document.name) for document in by_kind["ServiceAccount"]}
    models = [(document, _validated_deployment(document, accounts)) for document in by_kind["Deployment"]]
    applications = [item for item in models if not _is_gateway(item[1])]
    gateways = [_gateway(document, model) for document, model in models if _is_gateway(model)]
    return Workloads(
        deployments=tuple(_deployment(document, model, known_images, secrets) for document, model in applications),
        gateways=tuple(gateway for gateway in gateways if gateway is not None),
        services=tuple(_service(document) for document in by_kind["Service"]),
        secrets=tuple(secrets.values()),
    )


def _check_identity(document: Document) -> None:
    if document.kind not in kubernetes.KINDS.get(document.api_version, ()):
        known = [f"{version} {kind}" for version, kinds in kubernetes.KINDS.items() for kind in kinds]
        same = [name for name in (*known, *schema.newest()) if name.endswith(f" {document.kind}")]
        supported = f"use {', '.join(known)} or a kind of Istio or of the Gateway API"
        fix = f"did you mean {' or '.join(same)}?" if same else supported
        raise document.error(manifest_errors.unsupported_kind(document.api_version, document.kind, fix), ("kind",))
    # Names become directory names and host names.
    if not _NAME.fullmatch(document.name):
        raise document.error(manifest_errors.invalid_name(document.name), ("metadata", "name"))
    if not _NAME.fullmatch(document.namespace):
        raise document.error(manifest_errors.invalid_namespace(document.namespace), ("metadata", "namespace"))


def _validated(document: Document, model: type[_ObjectT]) -> _ObjectT:
    try:
        return model.model_validate(dict(document.body))
    except ValidationError as error:
        message, path = pydantic_errors.first_error(error, unknown_fields=True)
        raise document.error(message, path) from None


def _secret(document: Document) -> topology.Secret:
    model = _validated(document, kubernetes.Secret)
    return topology.Secret(document.name, document.namespace, model.data | model.string_data)


def _service(document: Document) -> topology.Service:
    spec = _validated(document, kubernetes.Service).spec
    if len(spec.ports) > 1 and len({port.name for port in spec.ports} - {""}) < len(spec.ports):
        raise document.error(manifest_errors.unnamed_ports(), ("spec", "ports"))
    ports = tuple(topology.ServicePort(port.port, port.name, port.target_port or port.port) for port in spec.ports)
    return topology.Service(document.name, document.namespace, ports, spec.selector)


def _validated_deployment(document: Document, accounts: set[tuple[str, str]]) -> kubernetes.Deployment:
    model = _validated(document, kubernetes.Deployment)
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


def _is_gateway(model: kubernetes.Deployment) -> bool:
    return model.spec.template.metadata.annotations.get(INJECT_TEMPLATES) == "gateway"


def _account(template: kubernetes.Template) -> str:
    return template.spec.service_account_name or template.spec.service_account or "default"


def _ports(template: kubernetes.Template) -> dict[str, int]:
    ports = template.spec.containers[0].ports
    return {port.name or str(port.container_port): port.container_port for port in ports}


def _gateway(document: Document, model: kubernetes.Deployment) -> GatewayDeployment | None:
    """Return the gateway, or None if it has no replicas."""
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
        ignored_fields=tuple(kubernetes.ignored_fields(model)),
        document=document,
    )


def _deployment(
    document: Document,
    model: kubernetes.Deployment,
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
    injection = (template.metadata.labels.get(INJECT), template.metadata.annotations.get(INJECT))
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
        sidecar="false" not in injection,
        template_hash=digest,
        ignored_fields=tuple(kubernetes.ignored_fields(model)),
    )


def _variables(
    document: Document,
    env: Sequence[kubernetes.Env],
    secrets: Mapping[tuple[str, str], topology.Secret],
    path: FieldPath,
) -> Iterator[Variable]:
    for index, variable in enumerate(env):
        source = variable.value_from
        variable_path = (*path, index)
        if source is None:
            yield Variable(variable.name, value=variable.value or "")
        elif variable.value is not None or len(source.model_fields_set) != 1:
            options = ["value", "valueFrom.fieldRef", "valueFrom.secretKeyRef"]
            values = (variable.value, source.field_ref, source.secret_key_ref)
            present = [name for name, value in zip(options, values, strict=True) if value is not None]
            raise document.error(manifest_errors.exactly_one_of(options, present), variable_path)
        elif source.field_ref:
            yield Variable(variable.name, field_path=source.field_ref.field_path)
        elif source.secret_key_ref:
            reference = source.secret_key_ref
            secret = secrets.get((document.namespace, reference.name))
            if secret and reference.key in secret.data:
                yield Variable(variable.name, secret=secret.data[reference.key])
            elif not reference.optional:
                raise document.error(
                    _secret_error(reference, document.namespace, found=secret is not None), variable_path
                )


def _secret_error(reference: kubernetes.KeyReference, namespace: str, *, found: bool) -> Message:
    if found:
        return manifest_errors.key_not_found(reference.name, [reference.key])
    return manifest_errors.object_not_found("Secret", reference.name, namespace, "set optional: true")


def pod(deployment: Deployment, address: str) -> topology.Workload:
    """Return a new pod of the Deployment, with a name as in Kubernetes, not ready yet."""
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
    """Return the environment that a pod's image and its Deployment define. `$(NAME)` refers to an earlier variable."""
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
