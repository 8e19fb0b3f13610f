"""Reads the manifests of scenarios."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bookinfo_lab import repository
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.scenarios.model import GeneratedManifest, Manifest, ScaledDeployment, Traffic


class Manifests:
    """The manifests in the repository `home`.

    A generated manifest is generated once, so that every step applies the same objects. In ambient mode a manifest of
    istio/ambient replaces the one of the same name in istio/security.
    """

    def __init__(self, home: Path, *, ambient: bool = False) -> None:
        self._home = home
        self._ambient = ambient
        self._cache: dict[Manifest, list[Document]] = {}

    def documents(self, manifests: Iterable[Manifest]) -> list[Document]:
        """Return the objects of the manifests, in order.

        Raises:
            ManifestError: a manifest cannot be read.
        """
        return [document for manifest in manifests for document in self._documents(manifest)]

    def with_token(self, traffic: Traffic) -> Traffic:
        """Return the traffic with its token, if it has one, in the authorization header."""
        if not traffic.token:
            return traffic
        bearer = f"Bearer {(self._home / traffic.token).read_text().strip()}"
        return replace(traffic, headers=(*traffic.headers, ("authorization", bearer)), token="")

    def _documents(self, manifest: Manifest) -> list[Document]:
        if manifest not in self._cache:
            match manifest:
                case GeneratedManifest():
                    self._cache[manifest] = read_documents(manifest.generate(), manifest.command)
                case ScaledDeployment():
                    self._cache[manifest] = [self._scaled(manifest)]
                case _:
                    path = self._path(manifest)
                    self._cache[manifest] = read_documents((self._home / path).read_text(), path)
        return self._cache[manifest]

    def _path(self, manifest: str) -> str:
        ambient = manifest.replace("istio/security/", "istio/ambient/")
        return ambient if self._ambient and (self._home / ambient).exists() else manifest

    def _scaled(self, scaled: ScaledDeployment) -> Document:
        (document,) = (
            document
            for document in self._documents(repository.WORKLOADS)
            if (document.kind, document.name) == ("Deployment", scaled.deployment)
        )
        body = {**document.body, "spec": {**document.body["spec"], "replicas": scaled.replicas}}
        return read_documents(json.dumps(body), f"scale {scaled.deployment}")[0]
