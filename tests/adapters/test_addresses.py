"""What counts as the public internet, and what an operator may allow besides."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weft.adapters.addresses import SPECIAL_V4, SPECIAL_V6, Allow, AllowedPlaceInvalid, is_public

SPECIAL = [
    "0.0.0.0", "0.1.2.3", "10.0.0.1", "10.255.255.255", "100.64.0.1", "100.127.255.255", "127.0.0.1", "127.1.2.3",
    "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170",
    "192.0.2.1", "192.31.196.1", "192.52.193.1", "192.88.99.1", "192.168.1.1", "192.175.48.1", "198.18.0.1",
    "198.19.255.255", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
    "::", "::1", "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:0:127.0.0.1",
    "64:ff9b::7f00:1", "64:ff9b::a00:1", "64:ff9b:1::1", "64:ff9b:1::808:808", "100::1", "100:0:0:1::1", "2001::1",
    "2001:0:4136:e378:8000:63bf:80ff:fffe", "2001:1::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1",
    "2001:20::1", "2001:30::1", "2001:db8::1", "2002:7f00:1::", "2002:808:808::1", "2620:4f:8000::1", "3fff::1",
    "4000::1", "5f00::1", "fc00::1", "fd12:3456::1", "fe80::1", "fe80::1%1", "fec0::1", "feff::1", "ff02::1",
    "2606:4700::5efe:7f00:1", "2606:4700::200:5efe:a00:1",
]  # fmt: skip
PUBLIC = [
    "1.1.1.1", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255", "128.0.0.1",
    "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.167.255.255", "198.17.255.255", "198.20.0.0",
    "223.255.255.255", "2606:4700:4700::1111", "2001:4860:4860::8888", "2a00:1450:4001:800::200e", "2001:200::1",
    "::ffff:8.8.8.8", "64:ff9b::808:808", "2606:4700::5efe:808:808",
]  # fmt: skip


@pytest.mark.parametrize("address", SPECIAL)
def test_special_addresses_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", PUBLIC)
def test_the_internet_is_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize("network", [*SPECIAL_V4, *SPECIAL_V6], ids=str)
def test_every_range_is_special_from_its_first_address_to_its_last(network: object) -> None:
    assert isinstance(network, type(SPECIAL_V4[0]) | type(SPECIAL_V6[0]))
    assert not is_public(network.network_address)
    assert not is_public(network.broadcast_address)


@given(st.integers(0, 2**32 - 1))
def test_what_is_private_stays_private_in_every_disguise(number: int) -> None:
    inner = IPv4Address(number)
    mapped = IPv6Address(0xFFFF << 32 | number)
    nat64 = IPv6Address(0x0064FF9B << 96 | number)
    assert is_public(mapped) == is_public(nat64) == is_public(inner)
    for hidden in (number, 0x2002 << 112 | number << 80, 0x2001 << 112 | number, 0xFFFF << 48 | number):
        assert not is_public(IPv6Address(hidden))


@given(st.integers(0, 2**128 - 1))
def test_never_more_generous_than_the_standard_library(number: int) -> None:
    """It errs in the other direction only for the forms in which IPv4 is carried."""
    address = IPv6Address(number)
    assert address.is_global or not is_public(address) or address.ipv4_mapped is not None


def test_text_that_is_no_address_is_an_error() -> None:
    with pytest.raises(ValueError, match="does not appear to be"):
        is_public("localhost")


@pytest.mark.parametrize(
    ("entry", "host", "port", "address", "permitted"),
    [
        ("127.0.0.1:9000", "127.0.0.1", 9000, "127.0.0.1", True),
        ("127.0.0.1:9000", "localhost", 9000, "127.0.0.1", True),
        ("127.0.0.1:9000", "localhost", 9000, "::ffff:127.0.0.1", True),
        ("127.0.0.1:9000", "127.0.0.1", 9001, "127.0.0.1", False),
        ("127.0.0.1:9000", "127.0.0.2", 9000, "127.0.0.2", False),
        ("127.0.0.1", "127.0.0.1", 1, "127.0.0.1", True),
        ("[::1]:9000", "::1", 9000, "::1", True),
        ("[::1]:9000", "::1", 9001, "::1", False),
        ("::1", "::1", 80, "::1", True),
        ("fd00::/8", "box", 80, "fd12::1", True),
        ("[fd00::/8]:443", "box", 443, "fd12::1", True),
        ("[fd00::/8]:443", "box", 80, "fd12::1", False),
        ("10.1.0.0/16", "box", 80, "10.1.200.3", True),
        ("10.1.0.0/16", "box", 80, "10.2.0.1", False),
        ("10.1.0.0/16:443", "box", 443, "10.1.0.1", True),
        ("10.1.0.0/16:443", "box", 80, "10.1.0.1", False),
        ("Ledger.Internal:8080", "ledger.internal.", 8080, "10.0.0.9", True),
        ("ledger.internal", "ledger.internal", 1234, "10.0.0.9", True),
        ("ledger.internal", "evil.ledger.internal", 80, "10.0.0.9", False),
        ("ledger.internal", "ledger.internal.evil.com", 80, "10.0.0.9", False),
    ],
)
def test_allowed_places(entry: str, host: str, port: int, address: str, permitted: bool) -> None:
    assert Allow.parse([entry]).permits(host, port, ip_address(address)) is permitted


def test_nothing_is_allowed_by_nothing() -> None:
    assert Allow.parse(["", "  "]) == Allow()
    assert not Allow().permits("localhost", 80, ip_address("127.0.0.1"))


@pytest.mark.parametrize(
    "entry",
    [
        "host:", "host:0", "host:65536", "host:http", ":80", "[::1", "[::1]x", "[::1]:", "10.0.0.0/33", "http://host",
        "*", "a b", "..", "user@host",
    ],
)  # fmt: skip
def test_an_unreadable_place_is_refused_with_examples(entry: str) -> None:
    with pytest.raises(AllowedPlaceInvalid, match=r"Write a host"):
        Allow.parse([entry])
