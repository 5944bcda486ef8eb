"""
Which addresses may be spoken to, and the URL of one call.

In: a door and a path. Out: a URL whose host is the door's literal IP address. Never resolves a name; refuses
addresses where a cloud keeps credentials, and all that are no single pod's. Raises Permanent.
"""

from __future__ import annotations

import functools
import ipaddress
import re

from remediator.model.calls import Door
from remediator.model.errors import Permanent

_METADATA = frozenset(
    map(ipaddress.ip_address, ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254"))
)
"""Clouds' own services outside 169.254.0.0/16: Alibaba, Azure, Oracle, and AWS and Google over IPv6."""
_TRANSLATED = tuple(
    map(ipaddress.ip_network, ("::/96", "::ffff:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48", "2002::/16"))
)
"""IPv6 forms of IPv4 addresses: another spelling of what is refused above."""
_PATH = re.compile(r"/[!$-.0-~/]*\Z")
"""Printable ASCII after a slash, without quotes, fragment and space; what is not must be percent-encoded."""
_BACKWARDS = re.compile(r"(?i)(?:^|/)(?:\.|%2e){1,2}(?:/|\?|\Z)|\\|//")


def url_of(door: Door, path: str, *, allow_loopback: bool) -> str:
    if door.scheme not in ("http", "https"):
        raise Permanent(f"{_at(door)}: the scheme {door.scheme[:20]!r} is neither http nor https")
    if not 0 < door.port < 65536:
        raise Permanent(f"{_at(door)}: {door.port} is no port")
    if not _PATH.match(path) or _BACKWARDS.search(path.partition("?")[0]):
        raise Permanent(f"{_at(door)}: {path[:80]!r} is no path; begin with / and percent-encode")
    return f"{door.scheme}://{_host(door, allow_loopback=allow_loopback)}:{door.port}{path}"


def _host(door: Door, *, allow_loopback: bool) -> str:
    try:
        host, is_allowed = _judged(door.address, allow_loopback=allow_loopback)
    except ValueError as error:
        raise Permanent(f"{_at(door)}: {door.address[:80]!r} is not an IP address, and no name is looked up") from error
    if not is_allowed:
        raise Permanent(f"{_at(door)}: {door.address[:80]} is not an address a pod may have; nothing was sent")
    return host


@functools.lru_cache(maxsize=1024)
def _judged(text: str, *, allow_loopback: bool) -> tuple[str, bool]:
    """The host of a URL, and whether it may be spoken to; ValueError for what is no address. A pod is asked often."""
    address = ipaddress.ip_address(text)
    refused = (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
        or any(address in network for network in _TRANSLATED if network.version == address.version)
        or "%" in text
        or int(address) == 0xFFFFFFFF
    )
    if address.is_loopback:
        refused = not allow_loopback
    return f"[{address}]" if address.version == 6 else str(address), not refused


def _at(door: Door) -> str:
    return f"door of {door.pod}"
