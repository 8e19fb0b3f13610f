"""The documents of what scenarios apply."""

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from bookinfo_lab import repository
from bookinfo_lab.resources.documents import Document, read_documents
from bookinfo_lab.scenarios.model import Generated, Manifest, Scaled, Traffic


class Manifests:
    """Reads manifests below `home`; what is generated is made once, so that the same steps bring the same objects.

    In `ambient` mode those of istio/ambient take the place of those of the same name in istio/security.
    """

    def __init__(self, home: Path, *, ambient: bool = False) -> None:
        self._home = home
        self._ambient = ambient
        self._read: dict[Manifest, list[Document]] = {}

    def documents(self, manifests: Iterable[Manifest]) -> list[Document]:
        """Their objects, in order.

        Raises:
            ManifestError: one cannot be read.
        """
        return [document for manifest in manifests for document in self._documents(manifest)]

    def with_token(self, traffic: Traffic) -> Traffic:
        """The traffic with its token, if it is to have one, in its header."""
        if not traffic.token:
            return traffic
        bearer = f"Bearer {(self._home / traffic.token).read_text().strip()}"
        return replace(traffic, headers=(*traffic.headers, ("authorization", bearer)), token="")

    def _documents(self, manifest: Manifest) -> list[Document]:
        if manifest not in self._read:
            match manifest:
                case Generated():
                    self._read[manifest] = read_documents(manifest.make(), manifest.command)
                case Scaled():
                    self._read[manifest] = [self._scaled(manifest)]
                case _:
                    path = self._form(manifest)
                    self._read[manifest] = read_documents((self._home / path).read_text(), path)
        return self._read[manifest]

    def _form(self, manifest: str) -> str:
        other = manifest.replace("istio/security/", "istio/ambient/")
        return other if self._ambient and (self._home / other).exists() else manifest

    def _scaled(self, scaled: Scaled) -> Document:
        (document,) = (
            document
            for document in self._documents(repository.WORKLOADS)
            if (document.kind, document.name) == ("Deployment", scaled.deployment)
        )
        body = {**document.body, "spec": {**document.body["spec"], "replicas": scaled.replicas}}
        return read_documents(json.dumps(body), f"scale {scaled.deployment}")[0]
