"""`fsearch serve`: the pages over HTTP, for this machine alone unless told otherwise.

Reading needs no lock and goes on beside a writer; asking takes its turn, since models and index are loaded once.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.search.web.endpoints import Pages
from fsearch.search.web.guard import Guard
from fsearch.search.web.views import Views

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})


def missing() -> str | None:
    """The first library of the page that is not installed; None where all are."""
    return next((name for name in ("jinja2", "starlette", "uvicorn") if find_spec(name) is None), None)


def needed() -> None:
    """Raise NotReadyError where the libraries of the page are not installed."""
    name = missing()
    if name is not None:
        raise NotReadyError(f"the page needs {name}: pip install 'fsearch-vision[web]'")


def application(
    views: Views, token: str, *, host: str = "127.0.0.1", root_path: str = "", cookie: str = "fsearch"
) -> Any:
    """The ASGI application: the pages behind their guard."""
    hosts = LOOPBACK if _is_loopback(host) else None
    return Guard(Pages(views, root_path).app(), token, hosts, cookie)


def serve(views: Views, *, host: str, port: int, root_path: str, started: Callable[[str], None]) -> None:
    """Serve until interrupted; `started` is told the address with its token. Raises BadInputError for a port in use."""
    import uvicorn

    token = secrets.token_urlsafe(24)
    app = application(views, token, host=host, root_path=root_path, cookie=f"fsearch-{port}")
    config = uvicorn.Config(app, host=host, port=port, root_path=root_path, log_level="warning", server_header=False)
    try:
        socket = config.bind_socket()
    except SystemExit as error:
        raise BadInputError(f"--port {port}: it is in use, or not yours to use; give another") from error
    shown = f"[{host}]" if ":" in host else host
    started(f"http://{shown}:{socket.getsockname()[1]}{root_path}/?token={token}")
    uvicorn.Server(config).run([socket])


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
