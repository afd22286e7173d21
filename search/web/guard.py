"""Who may see the page: whoever was given its token, from this page alone. An ASGI layer around everything served.

The token comes once in the URL and then in a cookie. A foreign Host header is refused (DNS rebinding),
and so is anything but reading whose Origin is another. The content policy allows no script, style or image from
elsewhere, and none that is written into a page.
"""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from http.cookies import SimpleCookie
from typing import Any
from urllib.parse import parse_qsl, urlencode

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

MAX_BODY = 1 << 20  # bytes of what a browser may send
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = (
    ("content-security-policy", POLICY),
    ("x-content-type-options", "nosniff"),
    ("referrer-policy", "same-origin"),  # with no-referrer, browsers send forms with the Origin "null"
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
)


@dataclass(frozen=True, slots=True)
class Guard:
    """The layer around `app`.

    Attributes
    ----------
    token : what the URL or the cookie must hold.
    hosts : host names, without a port, that the page is asked under; None for any.
    cookie : the cookie's name: two pages on one machine differ by it.
    """

    app: App
    token: str
    hosts: frozenset[str] | None
    cookie: str = "fsearch"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve what is allowed."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            return await _answer(send, *refusal)
        query = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        if any(name == "token" for name, _ in query):
            return await self._take(scope, query, send)
        if not self._same(_cookie(headers.get("cookie", ""), self.cookie)):
            return await _answer(send, 403, "Open the address that fsearch serve printed: it holds the token.")

        async def guarded(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *_encoded(HEADERS)]
            await send(message)

        await self.app(scope, receive, guarded)

    def _refusal(self, scope: Scope, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if self.hosts is not None and _name(host) not in self.hosts:
            return 421, "This page is not served under that name."
        if scope["method"] not in ("GET", "HEAD"):
            origin = headers.get("origin", "")
            if origin.split("://", 1)[-1] != host or not origin:
                return 403, "Only the page itself may change anything."
            length = headers.get("content-length", "")
            if not length.isdigit() or int(length) > MAX_BODY:
                return 413, f"At most {MAX_BODY:,} bytes."
        return None

    async def _take(self, scope: Scope, query: list[tuple[str, str]], send: Send) -> None:
        """Turn the token of a URL into a cookie, and go to the URL without it."""
        given = next(value for name, value in query if name == "token")
        if not self._same(given):
            return await _answer(send, 403, "That is not the token: fsearch serve prints the address anew.")
        rest = urlencode([(name, value) for name, value in query if name != "token"])
        root = scope.get("root_path", "")
        path = scope["path"] if scope["path"].startswith(root) else root + scope["path"]
        place = "/" + path.lstrip("/") + (f"?{rest}" if rest else "")
        cookie = f"{self.cookie}={self.token}; Path={root or '/'}; HttpOnly; SameSite=Lax"
        await _answer(send, 303, "", (("location", place), ("set-cookie", cookie)))

    def _same(self, given: str | None) -> bool:
        return given is not None and hmac.compare_digest(given.encode(), self.token.encode())


def _name(host: str) -> str:
    """A Host header without its port."""
    return (host.rsplit("]", 1)[0] + "]" if host.startswith("[") else host.rsplit(":", 1)[0]).lower()


def _cookie(header: str, name: str) -> str | None:
    cookies: SimpleCookie = SimpleCookie()
    try:
        cookies.load(header)
    except Exception:  # a browser may send anything
        return None
    return cookies[name].value if name in cookies else None


def _encoded(headers: tuple[tuple[str, str], ...]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers]


async def _answer(send: Send, status: int, text: str, more: tuple[tuple[str, str], ...] = ()) -> None:
    headers = (("content-type", "text/plain; charset=utf-8"), ("cache-control", "no-store"), *HEADERS, *more)
    await send({"type": "http.response.start", "status": status, "headers": _encoded(headers)})
    await send({"type": "http.response.body", "body": text.encode()})
