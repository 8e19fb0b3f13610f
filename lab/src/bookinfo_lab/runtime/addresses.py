"""Loopback addresses: each lab takes a /24 of 127.64.0.0/10 for itself, each workload an address of it.

Linux routes all of 127.0.0.0/8 to the loopback interface, so an address needs neither root nor set-up.
"""

import errno
import socket
import zlib
from collections import deque
from ipaddress import IPv4Network

from bookinfo_lab.errors import LabError, Message, lab_errors

NETWORK = IPv4Network("127.64.0.0/10")
_RANGES = tuple(NETWORK.subnets(new_prefix=24))
_RESERVATION_PORT = 15999


class AddressRange:
    """A /24 that no other lab on the machine has, of whichever user, until `close` or the death of this process."""

    def __init__(self, network: IPv4Network, reservation: socket.socket) -> None:
        self.network = network
        self._reservation = reservation
        # The first host is the reservation's own; the longest unused address is taken next, so that a connection
        # that somebody still holds to a stopped workload does not find another one behind it.
        self._free = deque(str(host) for host in list(network.hosts())[1:])

    def take(self) -> str:
        """An address that nobody in this lab has."""
        if not self._free:
            raise LabError(lab_errors.no_address_left(str(self.network)))
        return self._free.popleft()

    def give_back(self, address: str) -> None:
        """The address' process has ended."""
        self._free.append(address)

    def close(self) -> None:
        """Leave the range to others."""
        self._reservation.close()


def reserve(seed: str) -> AddressRange:
    """Take a free range, the same one for the same seed where it is free.

    A socket that is bound there, and never listens, is the reservation: binding is atomic, holds between users (a lock
    file would need a place that all of them may write) and ends with the process, however that ends.

    Raises:
        LabError: no range is free, or the system gives loopback no more than 127.0.0.1.
    """
    start = zlib.crc32(seed.encode()) % len(_RANGES)
    for offset in range(len(_RANGES)):
        network = _RANGES[(start + offset) % len(_RANGES)]
        reservation = socket.socket()
        try:
            reservation.bind((str(network[1]), _RESERVATION_PORT))
        except OSError as error:
            reservation.close()
            if error.errno != errno.EADDRINUSE:
                raise LabError(lab_errors.loopback_not_available(str(network[1]), str(error.strerror))) from error
        else:
            return AddressRange(network, reservation)
    raise LabError(lab_errors.no_address_range(str(NETWORK), _RESERVATION_PORT))


def claim_port(host: str, port: int) -> socket.socket:
    """Hold host:port (0: any free port) for this user's Envoy, which binds it a second time with SO_REUSEPORT.

    The socket never listens, so it takes no connection. Without it two labs could share one port in silence, because
    Envoy sets SO_REUSEPORT.

    Raises:
        LabError: the port is in use.
    """
    claim = socket.socket()
    try:
        # SO_REUSEADDR looks past connections in TIME_WAIT; cleared again, it lets nobody else in.
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        claim.bind((host, port))
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)
        claim.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        claim.close()
        raise LabError(_claim_error(host, port, error)) from error
    return claim


def _claim_error(host: str, port: int, error: OSError) -> Message:
    if error.errno == errno.EADDRINUSE:
        return lab_errors.port_in_use(host, port)
    if error.errno == errno.EACCES:
        return lab_errors.port_not_permitted(host, port)
    return lab_errors.port_not_available(host, port, str(error.strerror))


def check_free(address: str, port: int) -> None:
    """Raise LabError if nothing can listen on address:port, as when another program listens there on every address."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise LabError(lab_errors.port_used_on_every_address(address, port)) from error
            raise LabError(lab_errors.address_not_available(address, port, str(error.strerror))) from error
