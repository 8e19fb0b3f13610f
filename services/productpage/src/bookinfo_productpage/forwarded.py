"""Which peers may say how the browser came: `X-Forwarded-Proto` is believed from these alone."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Self


@dataclass(frozen=True)
class TrustedPeers:
    """Networks, and whether a peer on the Unix socket is trusted: it has no address."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    unix: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """From a comma-separated list. Raises ValueError naming the part that is no address."""
        parts = [part.strip() for part in text.split(",") if part.strip()]
        return cls(tuple(ip_network(part) for part in parts if part != "unix"), "unix" in parts)

    def __contains__(self, peer: str | None) -> bool:
        if peer is None:
            return self.unix
        try:
            address = ip_address(peer)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


def came_by_https(scope: Mapping[str, Any], trusted: TrustedPeers) -> bool:
    """Whether the browser's own connection was encrypted, as far as can be known."""
    if scope["scheme"] == "https":
        return True
    client = scope.get("client")
    if (client[0] if client else None) not in trusted:
        return False
    claimed = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return bool(claimed == b"https")
