"""Loopback addresses and ports."""

import contextlib
import socket
import subprocess
import sys
from ipaddress import IPv4Address

import pytest

from bookinfo_lab.errors import LabError
from bookinfo_lab.runtime import addresses


def test_the_same_seed_has_the_same_range_until_another_lab_has_it() -> None:
    with contextlib.closing(addresses.reserve("me")) as first, contextlib.closing(addresses.reserve("me")) as second:
        assert not first.network.overlaps(second.network)
        assert first.network.subnet_of(addresses.NETWORK)
    with contextlib.closing(addresses.reserve("me")) as again:
        assert again.network == first.network


def test_a_range_is_free_again_when_its_lab_has_died() -> None:
    script = (
        "import os; from bookinfo_lab.runtime import addresses; "
        "print(addresses.reserve('dying').network, flush=True); os.kill(os.getpid(), 9)"
    )
    died = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    with contextlib.closing(addresses.reserve("dying")) as mine:
        assert str(mine.network) == died.stdout.strip()


def test_each_address_is_given_once_and_the_longest_unused_comes_next() -> None:
    with contextlib.closing(addresses.reserve("one")) as range_:
        taken = [range_.take() for _ in range(253)]
        assert len(set(taken)) == 253
        assert all(IPv4Address(address) in range_.network for address in taken)
        with pytest.raises(LabError, match=r"every address of .* is in use"):
            range_.take()
        range_.give_back(taken[5])
        range_.give_back(taken[3])
        assert [range_.take(), range_.take()] == [taken[5], taken[3]]


def test_a_claimed_port_is_refused_to_others_and_open_to_this_users_envoy() -> None:
    with contextlib.closing(addresses.claim_port("127.0.0.1", 0)) as claim:
        port = claim.getsockname()[1]
        with pytest.raises(LabError, match=f"127.0.0.1:{port} is already in use; choose another port"):
            addresses.claim_port("127.0.0.1", port)
        with socket.socket() as envoy:
            envoy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            envoy.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            envoy.bind(("127.0.0.1", port))
            envoy.listen()
            for _ in range(20):  # the claim takes none of the connections
                with socket.create_connection(("127.0.0.1", port), timeout=5):
                    envoy.accept()[0].close()


def test_a_port_that_is_listened_on_cannot_be_claimed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, pytest.raises(LabError, match="is already in use"):
        addresses.claim_port("127.0.0.1", other.getsockname()[1])


def test_a_program_on_every_address_is_told() -> None:
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(LabError, match=f"port {port} of 127.64.0.2 is already in use; stop the program"):
            addresses.check_free("127.64.0.2", port)
    addresses.check_free("127.64.0.2", port)
