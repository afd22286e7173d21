"""Where requests over HTTP may go: public addresses, or the host that the user named.

A table may name anything: a cloud's metadata service, a router. So a host is looked up once, and the very address that
was looked at is connected to; a redirect is followed by the same rules, and from http to https, to no other scheme.
"""

from __future__ import annotations

import ipaddress
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, unquote, urljoin, urlsplit

_SAFE = "%/:=&?~#+!$,;'@()*[]-._"  # characters of a path that stay as they are
_NAT64 = ipaddress.ip_network("64:ff9b::/96")


class WebError(OSError):
    """What cannot be fetched, with the reason in one line."""


@dataclass(frozen=True, slots=True)
class Place:
    """An http or https URL taken apart: port by number, path with its query, `user:password` or None."""

    scheme: str
    host: str
    port: int
    path: str
    user: str | None

    @classmethod
    def of(cls, url: str) -> Place:
        """Take a URL apart. Raises WebError where it is no http or https URL."""
        try:
            parts = urlsplit(url)
            scheme, host, port = parts.scheme.lower(), parts.hostname or "", parts.port
            host = host if host.isascii() else host.encode("idna").decode()
        except (ValueError, UnicodeError) as error:
            raise WebError(f"{url[:200]!r} is no URL: {error}") from error
        if scheme not in ("http", "https") or not host:
            raise WebError(f"{url[:200]!r} is no http or https URL")
        path = quote(parts.path or "/", safe=_SAFE) + (f"?{quote(parts.query, safe=_SAFE)}" if parts.query else "")
        user = None if parts.username is None else f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        return cls(scheme, host, port or {"http": 80, "https": 443}[scheme], path, user)

    def redirected(self, url: str, location: str) -> str:
        """The URL that an answer to `url`, which is this place, leads to. Raises WebError for another scheme."""
        to = urljoin(url, location)
        scheme = urlsplit(to).scheme.lower()
        if scheme not in (self.scheme, "https"):
            raise WebError(f"it redirects from {self.scheme} to {scheme[:20]}, which is refused")
        return to


@dataclass(frozen=True, slots=True)
class Hosts:
    """Which hosts may be asked: those at public addresses; `named`, a host and port, anywhere; with `private`, any."""

    named: tuple[str, int] | None = None
    private: bool = False

    @classmethod
    def of(cls, url: str) -> Hosts:
        """For a URL that the user typed: its host may be anywhere, one that it redirects to may not."""
        at = Place.of(url)
        return cls((at.host, at.port))

    def addresses(self, at: Place) -> list[str]:
        """The addresses of a host that may be connected to. Raises WebError where there is none."""
        try:
            found = socket.getaddrinfo(at.host, at.port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:
            raise WebError(f"{at.host} is not found: {getattr(error, 'strerror', None) or error}") from error
        known = list(dict.fromkeys(str(address[0]) for *_, address in found))
        if self.private or (at.host, at.port) == self.named:
            return known
        allowed = [address for address in known if is_public(address)]
        if not allowed:
            raise WebError(f"{at.host} is at a private address, {known[0]}; --allow-private-hosts allows it")
        return allowed


def is_public(text: str) -> bool:
    """Whether an address belongs to the internet; one that holds another in it, if that does."""
    address: Any = ipaddress.ip_address(text)
    if address.version == 6:
        inner = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _NAT64:
            inner = ipaddress.ip_address(int(address) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return bool(address.is_global) and not (address.is_multicast or address.is_reserved or address.is_unspecified)
