"""Who may ask: programs, and this server's own page. No TensorFlow.

A browser lets a page ask the server that it came from, and knows that server by name. The owner
of a name can have it lead to this machine (DNS rebinding); the Host header then still says that
name, so requests under a name that is not this server's are refused. An IP address leads nowhere
else. Programs can write what they like into these headers, but they need no such detour.
"""

import ipaddress
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rectloc_tf.errors import ConfigError
from rectloc_tf.serving.rest.values import ServingError

FORBIDDEN = 403
LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
# The header has a name or an address, and a port unless it is the usual one.
_HOST = re.compile(r"(?:\[([0-9a-f:.]+)\]|([\w.-]+))(?::[0-9]*)?", re.ASCII | re.IGNORECASE)
_CROSS_SITE = (b"sec-fetch-site", b"cross-site")


@dataclass(frozen=True)
class Hosts:
    """What this server is called.

    Attributes:
        names: and addresses, in small letters.
        allowed: further names, which a proxy before it may have.
        addresses: whether any IP address may be one of its own.
    """

    names: frozenset[str] = LOOPBACK
    allowed: frozenset[str] = frozenset()
    addresses: bool = False

    def has(self, host: str) -> bool:
        """Whether a Host header's value names this server, at whatever port."""
        name = _name(host)
        return name in self.names | self.allowed or (self.addresses and _is_address(name))

    def has_origin(self, origin: str, host: str | None) -> bool:
        """Whether an Origin is this server's page, asked for by `host` or through a proxy."""
        scheme, _, place = origin.partition("://")
        return scheme in ("http", "https") and (place == host or _name(place) in self.allowed)


def make_hosts(bound: str, host: str, allowed: Iterable[str]) -> Hosts:
    """What a server is called.

    Args:
        bound: the address that it listens on; unless only this machine reaches it, any address
            may be its own.
        host: the name or address that it was asked to listen on.
        allowed: further names.

    Raises:
        ConfigError: if one of them is no name.
    """
    names = [name.strip().lower() for name in allowed]
    for name in names:
        if not (re.fullmatch(r"[\w.-]+", name, re.ASCII) or _is_address(name)):
            message = "must be hosts as in http://HOST:8501/, without the port, separated by commas"
            raise ConfigError(f"--allowed_hosts={name}: {message}")
    address = ipaddress.ip_address(bound.partition("%")[0])
    own = LOOPBACK | {str(address), host.lower()}
    return Hosts(own, frozenset(names), not address.is_loopback)


def check_caller(
    headers: Sequence[tuple[bytes, bytes]], hosts: Hosts, is_page: bool = False
) -> None:
    """Refuses what a page of another site asks for in a browser.

    Args:
        headers: of the request, their names in small letters; browsers always send Host.
        hosts: what this server is called.
        is_page: whether it asks for the page itself, to which others may link.

    Raises:
        ServingError: 403, and what would be right.
    """
    given = {name: value.decode("latin-1") for name, value in headers}
    host, origin = given.get(b"host"), given.get(b"origin")
    if host is not None and not hosts.has(host):
        hint = "use localhost or its address, or start it with --allowed_hosts"
        message = f"Host {host[:100]} is not a name of this server; {hint}"
        raise ServingError(message, FORBIDDEN)
    foreign = origin is not None and not hosts.has_origin(origin, host)
    if not is_page and (foreign or _CROSS_SITE in headers):
        raise ServingError("cross-site request refused", FORBIDDEN)


def _name(host: str) -> str:
    """The name or address in a header's value, in small letters; empty if there is none."""
    found = _HOST.fullmatch(host)
    return (found[1] or found[2]).lower() if found else ""


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
