"""Fetch over HTTP: bounded in bytes, seconds and redirects, from where `web_address` allows it.

Seconds are those of waiting for the server, and are counted at the socket: neither headers nor content can drip for
ever. Proxies of the environment are not used; content is taken as it is sent, as what is compressed may be of any size.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import io
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from fsearch.indexer.sources.web_address import Hosts, Place, WebError

SECONDS = 60.0  # that one file may take, or LEAST bytes of a stream
LEAST = 2**16
_HEADERS = 2**20  # bytes that may come before the content
_CONNECT_SECONDS = 10.0
_ADDRESSES = 4  # of a host that are tried
_REDIRECTS = 5
_REDIRECTED = (301, 302, 303, 307, 308)
_AT_ONCE = 2**16
_OPEN = 4  # connections that a thread keeps for the next request


class GoneError(WebError, FileNotFoundError):
    """The server has no such file."""


def fetch(url: str, limit: int, hosts: Hosts, *, seconds: float = SECONDS) -> bytes:
    """At most `limit` bytes of a file. Raises WebError."""
    with _answer(url, hosts, _Budget(seconds)) as response:
        data = bytearray()
        while len(data) < limit and (part := response.read1(min(_AT_ONCE, limit - len(data)))):
            data += part
        if len(data) < limit and response.length:
            raise WebError(f"its answer ended {response.length:,} bytes early")
        return bytes(data)


@contextlib.contextmanager
def streaming(url: str, hosts: Hosts, *, seconds: float = SECONDS) -> Iterator[Any]:
    """A file to be read in order, however long; LEAST bytes of it must come in `seconds`. Raises WebError."""
    budget = _Budget(seconds)
    with _answer(url, hosts, budget) as response:
        budget.least, budget.spent, budget.received = LEAST, 0.0, 0
        yield response


@dataclass(slots=True)
class _Budget:
    """Seconds of waiting for an answer; where `least` bytes have come in them, they begin anew.

    Until it has `begun`, status lines and headers come, which are bounded in bytes too.
    """

    seconds: float
    least: float = float("inf")
    begun: bool = False
    spent: float = 0.0
    received: int = 0

    def left(self) -> float:
        """Seconds that the next bytes may take. Raises WebError where none are left."""
        if self.received >= self.least:
            self.spent, self.received = 0.0, 0
        if not self.begun and self.received > _HEADERS:
            raise WebError(f"its headers are larger than {_HEADERS // 2**20} MiB")
        if self.spent >= self.seconds:
            raise self.error()
        return self.seconds - self.spent

    def error(self) -> WebError:
        what = "its answer" if self.least > LEAST else f"{LEAST // 2**10} KiB of its answer"
        return WebError(f"{what} took longer than {self.seconds:g} s")


class _Received(io.RawIOBase):
    """What a socket receives, within the budget of a request."""

    def __init__(self, owner: _Socket, budget: _Budget) -> None:
        self._owner, self._budget = owner, budget

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._owner.sock.settimeout(self._budget.left())
        began = time.monotonic()
        try:
            count = self._owner.sock.recv_into(buffer)
        except TimeoutError as error:
            raise self._budget.error() from error
        self._budget.spent += time.monotonic() - began
        self._budget.received += count
        return count

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._owner.release()


class _Socket:
    """The part of a socket that http.client uses. It is closed when neither connection nor answer need it."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock, self.budget = sock, _Budget(SECONDS)
        self._closed, self._readers = False, 0

    def sendall(self, data: Any) -> None:
        self.sock.settimeout(_CONNECT_SECONDS)
        self.sock.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Received(self, self.budget))

    def close(self) -> None:
        self._closed = True
        self._close_unused()

    def __del__(self) -> None:  # a thread that kept it has ended
        self.sock.close()

    def release(self) -> None:
        self._readers -= 1
        self._close_unused()

    def _close_unused(self) -> None:
        if self._closed and not self._readers:
            self.sock.close()


class _Connection(http.client.HTTPConnection):
    """A connection to an address that was looked at."""

    sock: Any

    def __init__(self, at: Place, hosts: Hosts) -> None:
        super().__init__(at.host, at.port)
        self._at, self._hosts = at, hosts

    def connect(self) -> None:
        error: OSError | None = None
        for address in self._hosts.addresses(self._at)[:_ADDRESSES]:
            try:
                sock = socket.create_connection((address, self._at.port), _CONNECT_SECONDS)
            except OSError as failed:
                error = failed
                continue
            try:
                secure = self._at.scheme == "https"
                self.sock = _Socket(_tls().wrap_socket(sock, server_hostname=self._at.host) if secure else sock)
            except BaseException:
                sock.close()
                raise
            return
        raise WebError("it has no address") if error is None else error

    def ask(self, at: Place, budget: _Budget) -> http.client.HTTPResponse:
        """Status and headers of the answer, whose content is still to be read."""
        headers = {"Accept-Encoding": "identity", "User-Agent": "fsearch"}
        if at.user is not None:
            headers["Authorization"] = f"Basic {base64.b64encode(at.user.encode()).decode()}"
        if self.sock is None:
            self.connect()
        self.sock.budget, budget.begun, budget.received = budget, False, 0
        self.request("GET", at.path, headers=headers)
        response = self.getresponse()
        budget.begun = True
        return response


@cache
def _tls() -> Any:
    import ssl

    return ssl.create_default_context()


@dataclass
class _Kept(threading.local):
    """Connections of this thread that wait for another request."""

    open: dict[tuple[Any, ...], _Connection] = field(default_factory=dict)

    def keep(self, key: tuple[Any, ...], connection: _Connection) -> None:
        while len(self.open) >= _OPEN:
            self.open.pop(next(iter(self.open))).close()
        self.open[key] = connection


_KEPT = _Kept()


@contextlib.contextmanager
def _answer(url: str, hosts: Hosts, budget: _Budget) -> Iterator[http.client.HTTPResponse]:
    """The answer of status 200, after redirects. Raises WebError, also for what goes wrong within."""
    try:
        for _ in range(_REDIRECTS + 1):
            at = Place.of(url)
            key = (at.scheme, at.host, at.port, hosts)
            connection, response = _request(at, hosts, budget, key)
            try:
                to = response.headers.get("Location") if response.status in _REDIRECTED else None
                if to is None:
                    yield _checked(response)
                    if connection.sock is not None and (response.isclosed() or response.length == 0):
                        _KEPT.keep(key, connection)
                    return
            finally:
                response.close()
                if _KEPT.open.get(key) is not connection:
                    connection.close()
            url = at.redirected(url, to)
        raise WebError(f"it redirects more than {_REDIRECTS} times")
    except WebError:
        raise
    except (OSError, http.client.HTTPException, ValueError) as error:
        said = getattr(error, "strerror", None) or str(error).strip() or type(error).__name__
        raise WebError(str(said).splitlines()[0][:300]) from error


def _request(
    at: Place, hosts: Hosts, budget: _Budget, key: tuple[Any, ...]
) -> tuple[_Connection, http.client.HTTPResponse]:
    """Ask on a connection that is open, or on a new one: a server may have closed an open one meanwhile."""
    kept = _KEPT.open.pop(key, None)
    if kept is not None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            return kept, kept.ask(at, budget)
        kept.close()
    connection = _Connection(at, hosts)
    try:
        return connection, connection.ask(at, budget)
    except BaseException:
        connection.close()
        raise


def _checked(response: http.client.HTTPResponse) -> http.client.HTTPResponse:
    """The response, if it is what was asked for."""
    said = f"HTTP {response.status} {response.reason}".strip()
    if response.status in (404, 410):
        raise GoneError(said)
    if response.status != 200:
        raise WebError(said)
    encoding = response.headers.get("Content-Encoding", "identity")
    if encoding.lower() != "identity":
        raise WebError(f"its answer is compressed ({encoding[:20]}), which was not asked for")
    return response
