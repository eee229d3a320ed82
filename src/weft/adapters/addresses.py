"""Which addresses of the network a tenant's workflow may reach.

Everything in the special-purpose registries of the IANA is refused, whatever the registry says of its reachability:
those ranges lead to this machine, this network, documentation, or some provider's inside. Python 3.11's own
`is_global` is not used: it takes `192.0.0.8`, `2002:7f00:1::`, `fec0::1`, `::127.0.0.1` and `64:ff9b::7f00:1` for
public. Sources: the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890 and its successors), the
multicast ranges (RFC 5771, RFC 4291), and the deprecated IPv6 forms that systems still understand.

An IPv6 address that carries an IPv4 address is judged by both.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from weft.core.errors import Invalid

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SPECIAL_V4: Final = tuple(
    IPv4Network(written)
    for written in (
        "0.0.0.0/8",  # "this network"; 0.0.0.0 reaches the own machine
        "10.0.0.0/8",  # private use
        "100.64.0.0/10",  # shared address space of carriers
        "127.0.0.0/8",  # loopback
        "169.254.0.0/16",  # link local; instance metadata of clouds
        "172.16.0.0/12",  # private use
        "192.0.0.0/24",  # protocol assignments: DS-Lite, dummy, anycast to the nearest relay
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT relays
        "192.88.99.0/24",  # 6to4 relays, deprecated
        "192.168.0.0/16",  # private use
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarking
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved; 255.255.255.255 is the broadcast
    )
)

GLOBAL_UNICAST: Final = IPv6Network("2000::/3")
"""The only part of IPv6 that is assigned to hosts of the internet. What lies outside is special or not assigned."""

SPECIAL_V6: Final = tuple(
    IPv6Network(written)
    for written in (
        "::/128",  # unspecified; reaches the own machine
        "::1/128",  # loopback
        "::/96",  # IPv4-compatible, deprecated
        "::ffff:0:0:0/96",  # IPv4-translated (RFC 2765)
        "64:ff9b:1::/48",  # NAT64 inside one network
        "100::/64",  # discard only
        "100:0:0:1::/64",  # dummy prefix
        "2001::/23",  # protocol assignments: Teredo, benchmarking, AMT, ORCHID, drone identities
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4, deprecated
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
        "5f00::/16",  # segment routing
        "fc00::/7",  # unique local
        "fe80::/10",  # link local
        "fec0::/10",  # site local, deprecated
        "ff00::/8",  # multicast
    )
)

NAT64: Final = IPv6Network("64:ff9b::/96")
MAPPED: Final = IPv6Network("::ffff:0:0/96")
_ISATAP: Final = frozenset({0x00005EFE, 0x02005EFE})

BAD_PORTS: Final = frozenset(
    {0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95}
    | {101, 102, 103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179}
    | {389, 427, 465, 512, 513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636}
    | {989, 990, 993, 995, 1719, 1720, 1723, 2049, 3306, 3659, 4045, 4190, 5060, 5061, 5432, 6000}
    | {6379, 6566, 6665, 6666, 6667, 6668, 6669, 6679, 6697, 10080, 11211}
)
"""Ports of services that are not HTTP but could be made to obey text in a request: those that browsers refuse
(WHATWG Fetch, "bad port"), and of databases."""


class AllowedPlaceInvalid(Invalid):
    code = "allowed_place_invalid"

    def __init__(self, written: str) -> None:
        super().__init__(
            f"'{written}' is not a place that calls could be allowed to. Write a host (`ledger.internal`), a host "
            "and port (`127.0.0.1:9000`, `[::1]:9000`), or a network (`10.1.0.0/16`, `10.1.0.0/16:443`)."
        )


def is_public(address: str | Address) -> bool:
    """Whether an address belongs to the public internet. Raises ValueError for text that is no address."""
    ip = ip_address(address) if isinstance(address, str) else address
    if isinstance(ip, IPv4Address):
        return not any(ip in network for network in SPECIAL_V4)
    if ip.scope_id is not None:
        return False
    if ip in MAPPED or ip in NAT64:
        return is_public(_last_32_bits(ip))
    if ip not in GLOBAL_UNICAST or any(ip in network for network in SPECIAL_V6):
        return False
    tunnelled = int(ip) >> 32 & 0xFFFFFFFF in _ISATAP
    return not tunnelled or is_public(_last_32_bits(ip))


def plain(ip: Address) -> Address:
    """The IPv4 address that a mapped IPv6 address (`::ffff:10.0.0.1`) is another spelling of; others unchanged."""
    return ip.ipv4_mapped or ip if isinstance(ip, IPv6Address) else ip


def _last_32_bits(ip: IPv6Address) -> IPv4Address:
    return IPv4Address(int(ip) & 0xFFFFFFFF)


@dataclass(frozen=True, slots=True)
class Place:
    """One entry of the allow list: a name or a network, with a port or with all of them."""

    host: str | None
    network: Network | None
    port: int | None

    def covers(self, host: str, port: int, ip: Address) -> bool:
        if self.port is not None and self.port != port:
            return False
        if self.network is not None:
            return ip.version == self.network.version and ip in self.network
        return self.host == host


@dataclass(frozen=True, slots=True)
class Allow:
    """Private places that calls may reach all the same, as the operator decided."""

    places: tuple[Place, ...] = ()

    @classmethod
    def parse(cls, entries: Iterable[str]) -> Allow:
        """From the setting's words; raises `AllowedPlaceInvalid`.

        A name allows whatever it resolves to, so whoever controls its DNS is trusted. An address or a network is
        compared with what a name resolved to.
        """
        return cls(tuple(_place(entry.strip()) for entry in entries if entry.strip()))

    def permits(self, host: str, port: int, ip: Address) -> bool:
        """`host` as it stands in the URL, `ip` what it resolved to."""
        name, address = host.rstrip(".").lower(), plain(ip)
        return any(place.covers(name, port, address) for place in self.places)


def _place(written: str) -> Place:
    rest, port = _without_port(written)
    network = _network(rest)
    if network is not None:
        return Place(None, network, port)
    host = rest.rstrip(".").lower()
    if not host or not all(part and part.replace("-", "").replace("_", "").isalnum() for part in host.split(".")):
        raise AllowedPlaceInvalid(written)
    return Place(host, None, port)


def _without_port(written: str) -> tuple[str, int | None]:
    """The entry without its port. A bare IPv6 address has colons of its own and needs brackets to take a port."""
    if written.startswith("["):
        inside, bracket, after = written[1:].partition("]")
        if not bracket or (after and not after.startswith(":")):
            raise AllowedPlaceInvalid(written)
        return inside, _port(after[1:], written) if after else None
    if written.count(":") != 1:
        return written, None
    rest, _, after = written.partition(":")
    return rest, _port(after, written)


def _port(digits: str, written: str) -> int:
    if digits.isascii() and digits.isdigit() and len(digits) <= 5 and 0 < int(digits) <= 65535:
        return int(digits)
    raise AllowedPlaceInvalid(written)


def _network(written: str) -> Network | None:
    try:
        return ip_network(written, strict=False)
    except ValueError:
        return None
