"""Ports: free, busy, and what to do about it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest

from weft.ops import ports


@pytest.fixture
def busy() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        yield int(listener.getsockname()[1])


def test_a_busy_port_is_refused_with_the_command_that_works(busy: int) -> None:
    with pytest.raises(ports.PortBusy, match=rf"Port {busy} on 127.0.0.1 .* weft up --port (\d+)") as refused:
        ports.choose("127.0.0.1", busy)
    suggestion = int(refused.value.message.rpartition(" ")[2])
    assert ports.is_free("127.0.0.1", suggestion)


def test_nobody_typed_the_port_of_metrics_so_the_next_one_will_do(busy: int) -> None:
    chosen = ports.choose_near("127.0.0.1", busy)
    assert chosen != busy
    assert ports.choose_near("127.0.0.1", 0) == 0


def test_two_listeners_do_not_choose_the_same_port(busy: int) -> None:
    first = ports.choose_near("127.0.0.1", busy)
    second = ports.choose_near("127.0.0.1", busy, besides=first)
    assert len({busy, first, second}) == 3
    assert ports.choose_near("127.0.0.1", second, besides=second) != second


def test_zero_is_any_free_port() -> None:
    assert ports.is_free("127.0.0.1", ports.choose("127.0.0.1", 0))


@pytest.mark.parametrize("host", ["192.0.2.1", "no.such.host.invalid"])
def test_a_host_that_is_not_here_is_refused(host: str) -> None:
    with pytest.raises(ports.HostInvalid, match="Use an address of this machine"):
        ports.choose(host, 8080)


def test_loopback() -> None:
    assert all(map(ports.is_loopback, ["127.0.0.1", "127.8.8.8", "::1", "localhost"]))
    assert not any(map(ports.is_loopback, ["0.0.0.0", "::", "192.168.0.1", "weft.example"]))


def test_health_of_nobody_is_none(busy: int) -> None:
    assert ports.health("127.0.0.1", busy, "/healthz", timeout=0.05) is None
