"""The trusted peers: only their `X-Forwarded-Proto` header is used."""

from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import Any, Self


@dataclass(frozen=True)
class TrustedPeers:
    """Trusted networks, and whether a peer on the Unix socket is trusted. Such a peer has no address."""

    networks: tuple[IPv4Network | IPv6Network, ...]
    unix: bool

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse a comma-separated list. Raises ValueError for an invalid network."""
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


def is_https(scope: Mapping[str, Any], trusted: TrustedPeers) -> bool:
    """Return whether the browser uses https, according to the connection or to a trusted peer."""
    if scope["scheme"] == "https":
        return True
    client = scope.get("client")
    if (client[0] if client else None) not in trusted:
        return False
    protocol = next((value for name, value in scope["headers"] if name == b"x-forwarded-proto"), b"")
    return bool(protocol == b"https")
