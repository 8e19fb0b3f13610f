"""Every error about a running lab and its environment."""

from collections.abc import Sequence

from bookinfo_lab.errors import listed, message, quoted

# Applied objects


@message
def unknown_kind_name(kind: str, known: Sequence[str]) -> tuple[str, str]:
    return f"unknown kind {quoted(kind)}", f"use {listed(known)}"


@message
def resource_not_found(kind: str, name: str) -> tuple[str, str]:
    return f"{kind}/{name} not found", "`bookinfo get` lists the applied objects"


@message
def ambiguous_deployment(name: str, namespaces: Sequence[str]) -> tuple[str, str]:
    return (
        f"deployment/{name} exists in the namespaces {listed(namespaces, 'and')}",
        "apply the right one with its number of replicas",
    )


# Images


@message
def invalid_image(file: str, image: str) -> tuple[str, str]:
    return f"{file}: invalid entry {quoted(image)}", "use `package`, and optionally `directory` and `env`"
