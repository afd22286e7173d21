"""`fsearch serve`: the pages over HTTP, for this machine alone unless told otherwise. Starlette and uvicorn live here.

Reading needs no lock and goes on beside a writer; asking takes its turn, since models and index are loaded once.
"""

from __future__ import annotations

import ipaddress
import secrets
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fsearch.indexer.errors import BadInputError, FsearchError, NotReadyError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.search.web.guard import MAX_BODY, Guard
from fsearch.search.web.templating import TEMPLATES, render
from fsearch.search.web.views import Views

STATIC = Path(__file__).parent / "static"
_FILES = {"style.css": TEMPLATES / "style.css", "page.css": STATIC / "page.css", "page.js": STATIC / "page.js"}
_FILES |= {name: STATIC / name for name in ("htmx.min.js", "icon.svg", "map.js", "work.js")}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}
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
    from starlette.applications import Starlette
    from starlette.routing import Route

    pages = _Pages(views, root_path)
    routes = [
        Route("/", pages.page(lambda q, p: views.run(None, None))),
        Route("/run/{run:int}", pages.page(lambda q, p: views.run(p["run"], None))),
        Route("/run/{run:int}/{rank:int}", pages.page(lambda q, p: views.run(p["run"], p["rank"]))),
        Route("/ask", pages.page(lambda q, p: views.ask(q.get("q", ""), q.get("where"), _whole(q, "k", 1)))),
        Route("/worst", pages.page(lambda q, p: views.worst(_whole(q, "page", 0)), "worst.html")),
        Route("/sql", pages.page(lambda q, p: views.sql(q.get("q", "")), "sql.html")),
        Route("/map", pages.page(lambda q, p: views.map_page(*_map_asked(q), q.get("area", "")), "map.html")),
        Route("/map/points", pages.points),
        Route("/map/selection", pages.page(lambda q, p: views.selection(q.get("area", "")), "_selection.html")),
        Route("/made", pages.page(lambda q, p: views.made(_whole(q, "run", 0) or None), "made.html")),
        Route("/compare", pages.page(lambda q, p: views.compare(_whole(q, "a", 0), _whole(q, "b", 0)), "compare.html")),
        Route("/rank", pages.rank, methods=["POST"]),
        Route("/work/{number:int}", pages.page(lambda q, p: views.work(p["number"]), "work.html")),
        Route("/work/{number:int}/events", views.jobs),
        Route("/work/{number:int}/stop", pages.stop, methods=["POST"]),
        Route("/vote", pages.vote, methods=["POST"]),
        Route("/thumb/{image:int}", pages.picture(160)),
        Route("/image/{image:int}", pages.picture(None)),
        Route("/static/{name}", pages.static),
    ]
    hosts = LOOPBACK if _is_loopback(host) else None
    return Guard(Starlette(routes=routes), token, hosts, cookie)


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


class _Pages:
    """The endpoints; each page is rendered in a thread."""

    def __init__(self, views: Views, root: str) -> None:
        self._views, self._root = views, root

    def page(
        self, values: Callable[[dict[str, str], dict[str, Any]], dict[str, Any]], template: str = "page.html"
    ) -> Any:
        """The endpoint of one page; what it cannot show it says in a line, in place of the page."""

        def endpoint(request: Any) -> Any:
            query = dict(request.query_params)
            try:
                found, status = values(query, request.path_params), 200
            except FsearchError as error:
                return self._error(str(error))
            part = (
                "_phrase.html" if template == "page.html" and request.headers.get("hx-target") == "phrase" else template
            )
            return self._html(part, found | self._links(found, request), status)

        return endpoint

    def _links(self, found: dict[str, Any], request: Any) -> dict[str, Any]:
        """How things are reached from this page."""
        root, run = self._root, found.get("run_id")
        asked = {"q": found["question"], "where": found["where"]}

        def href(rank: int, answer: object = None) -> str:
            return f"{root}/run/{run}/{rank}" if run else f"{root}/ask?{urlencode({**asked, 'k': rank})}"

        return {
            "root": root,
            "href": href,
            "path": request.url.path.removeprefix(root),
            "thumb": lambda image: f"{root}/thumb/{image.image_id}",
            "link": lambda image: f"{root}/image/{image.image_id}",
            "here": href(found["chosen"]).removeprefix(root) if found["chosen"] else "/",
            "ask": lambda text: f"{root}/ask?q={quote(text)}",
        }

    def _html(self, template: str, values: dict[str, Any], status: int = 200) -> Any:
        from starlette.responses import HTMLResponse

        return HTMLResponse(render(template, **values), status, {"cache-control": "no-store"})

    def _error(self, said: str) -> Any:
        values = {"root": self._root, "error": said}
        try:
            values |= self._views.frame()
        except FsearchError:  # there is nothing to frame it with
            return self._html(
                "error.html",
                values
                | {
                    "about": None,
                    "version": "",
                    "runs": (),
                    "phrases": (),
                    "path": "",
                    "chosen": None,
                    "command": None,
                    "question": "",
                    "where": "",
                    "run_id": None,
                },
                400,
            )
        return self._html("error.html", values | {"path": "/error"}, 400)

    async def rank(self, request: Any) -> Any:
        """Begin to rank what was pasted or dropped, and go to where its progress is shown."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import RedirectResponse

        try:
            form = await _form(request)
            job = await run_in_threadpool(self._views.rank, form.get("phrases", ""))
        except FsearchError as error:
            return self._error(str(error))
        return RedirectResponse(f"{self._root}/work/{job.number}", 303)

    def stop(self, request: Any) -> Any:
        """Stop a piece of work, and go to what became of it."""
        from starlette.responses import RedirectResponse

        number = request.path_params["number"]
        try:
            self._views.jobs[number].stop.set()
        except FsearchError as error:
            return self._error(str(error))
        return RedirectResponse(f"{self._root}/work/{number}", 303)

    async def vote(self, request: Any) -> Any:
        """Store a vote, and go back to the page it was given on, which is one of ours."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import RedirectResponse

        try:
            form = await _form(request)
            given = [form.get(name, "") for name in ("text", "image", "shows")]
            await run_in_threadpool(self._views.vote, *given)
        except FsearchError as error:
            return self._error(str(error))
        back = form.get("back", "")
        return RedirectResponse(self._root + (back if back.startswith(("/run/", "/ask?")) else "/"), 303)

    def points(self, request: Any) -> Any:
        """The points of the map, as numbers."""
        from starlette.responses import PlainTextResponse, Response

        try:
            data = self._views.map().points(*_map_asked(dict(request.query_params)))
        except FsearchError as error:
            return PlainTextResponse(str(error), 400)
        return Response(data, 200, {"cache-control": "no-store"}, "application/octet-stream")

    def picture(self, side: int | None) -> Any:
        """The endpoint of images."""
        from starlette.responses import PlainTextResponse, Response

        def endpoint(request: Any) -> Any:
            try:
                data = self._views.picture(request.path_params["image"], side)
            except (RejectedImageError, BadInputError) as error:
                return PlainTextResponse(str(error), 404)
            return Response(data, 200, {"cache-control": "private, max-age=3600"}, "image/webp")

        return endpoint

    def static(self, request: Any) -> Any:
        """One of the page's own files."""
        from starlette.responses import PlainTextResponse, Response

        path = _FILES.get(request.path_params["name"])
        if path is None:
            return PlainTextResponse("there is no such file", 404)
        return Response(path.read_bytes(), 200, {"cache-control": "no-cache", "content-type": _TYPES[path.suffix]})


def _map_asked(query: dict[str, str]) -> tuple[str, str]:
    """The column that the map is coloured by, and the phrase that it lights."""
    return query.get("by", "loss"), query.get("q", "").strip()


async def _form(request: Any) -> dict[str, str]:
    """The fields of a form that was sent. Raises BadInputError where they are too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BadInputError(f"at most {MAX_BODY:,} bytes")
    return {name: values[0] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}


def _whole(query: dict[str, str], name: str, otherwise: int) -> int:
    """A whole number of the query. Raises BadInputError where it is none."""
    text = query.get(name, str(otherwise))
    if not text.isdigit() or len(text) > 12:
        raise BadInputError(f"{name}={text!r}: give a whole number")
    return int(text)
