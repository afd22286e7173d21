"""The endpoints of the page: what a request asks for, and what becomes of a form. Starlette is imported here alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlencode

from fsearch.indexer.errors import BadInputError, FsearchError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.search.web.filters import EVERYTHING, Filter
from fsearch.search.web.frame import BARE
from fsearch.search.web.guard import MAX_BODY
from fsearch.search.web.templating import TEMPLATES, render
from fsearch.search.web.views import Views

STATIC = Path(__file__).parent / "static"
_FILES = {"style.css": TEMPLATES / "style.css", "page.css": STATIC / "page.css", "page.js": STATIC / "page.js"}
_FILES |= {name: STATIC / name for name in ("htmx.min.js", "icon.svg", "map.js", "work.js")}
_TYPES = {".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml"}


class Pages:
    """The endpoints; each page is rendered in a thread."""

    def __init__(self, views: Views, root: str) -> None:
        self._views, self._root = views, root

    def app(self) -> Any:
        """The ASGI application: every address of the page."""
        from starlette.applications import Starlette
        from starlette.routing import Route

        pages, views = self, self._views
        change = "comparison.html", "_change.html"
        routes = [
            Route("/", pages.page(lambda q, p: views.first(Filter.of(q)))),
            Route("/run/{run:int}", pages.page(lambda q, p: views.run(p["run"], None, Filter.of(q)))),
            Route("/run/{run:int}/{rank:int}", pages.page(lambda q, p: views.run(p["run"], p["rank"], Filter.of(q)))),
            Route("/ask", pages.page(lambda q, p: views.ask(q.get("q", ""), q.get("where"), _whole(q, "k", 1)))),
            Route("/worst", pages.page(lambda q, p: views.worst(_whole(q, "page", 0)), "worst.html")),
            Route("/sql", pages.page(lambda q, p: views.sql(q.get("q", "")), "sql.html")),
            Route("/map", pages.page(lambda q, p: views.map_page(views.asked_of_map(q)), "map.html")),
            Route("/map/points", pages.points),
            Route("/map/selection", pages.page(lambda q, p: views.selection(views.asked_of_map(q)), "_selection.html")),
            Route("/made", pages.page(lambda q, p: views.made(_whole(q, "run", 0) or None), "made.html")),
            Route("/compare", pages.page(lambda q, p: views.compare(_pair(q)), "compare.html")),
            Route("/comparison/{number:int}", pages.page(lambda q, p: views.comparison(p["number"], None), *change)),
            Route("/comparison/{number:int}/{rank:int}", pages.page(lambda q, p: views.comparison(**p), *change)),
            Route("/gate", pages.page(lambda q, p: views.gate(None), "gate.html")),
            Route("/gate/{number:int}", pages.page(lambda q, p: views.gate(p["number"]), "gate.html")),
            Route("/judge", pages.form(lambda form: f"/work/{views.judge(form).number}"), methods=["POST"]),
            Route("/rank", pages.form(lambda form: f"/work/{views.rank(form).number}"), methods=["POST"]),
            Route("/work/{number:int}", pages.page(lambda q, p: views.work(p["number"]), "work.html")),
            Route("/work/{number:int}/events", views.jobs),
            Route("/work/{number:int}/stop", pages.stop, methods=["POST"]),
            Route("/vote", pages.form(lambda form: _voted(views, form)), methods=["POST"]),
            Route("/map/keep", pages.form(views.keep_selection), methods=["POST"]),
            Route("/map/forget", pages.form(views.forget_selection), methods=["POST"]),
            Route("/thumb/{image:int}", pages.picture(160)),
            Route("/image/{image:int}", pages.picture(None)),
            Route("/static/{name}", pages.static),
        ]
        return Starlette(routes=routes)

    def page(
        self,
        values: Callable[[dict[str, str], dict[str, Any]], dict[str, Any]],
        template: str = "page.html",
        part: str = "_phrase.html",
    ) -> Any:
        """The endpoint of one page, or of the `part` of it that is about one phrase.

        What it cannot show it says in a line, in place of the page.
        """

        def endpoint(request: Any) -> Any:
            query = dict(request.query_params)
            try:
                found = values(query, request.path_params)
            except FsearchError as error:
                return self._error(str(error))
            whole = found.get("template", template)
            wanted = part if request.headers.get("hx-target") == "phrase" else whole
            return self._html(wanted, found | self._links(found, request))

        return endpoint

    def _links(self, found: dict[str, Any], request: Any) -> dict[str, Any]:
        """How things are reached from this page."""
        root, run, comparison = self._root, found.get("run_id"), found.get("comparison")
        asked, only = {"q": found["question"], "where": found["where"]}, found.get("only", EVERYTHING).query

        def href(rank: int, answer: object = None) -> str:
            if comparison:
                return f"{root}/comparison/{comparison['comparison_id']}/{rank}"
            return f"{root}/run/{run}/{rank}{only}" if run else f"{root}/ask?{urlencode({**asked, 'k': rank})}"

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
            return self._html("error.html", values | BARE | {"path": ""}, 400)
        return self._html("error.html", values | {"path": "/error"}, 400)

    def stop(self, request: Any) -> Any:
        """Stop a piece of work, and go to what became of it."""
        from starlette.responses import RedirectResponse

        number = request.path_params["number"]
        try:
            self._views.jobs[number].stop.set()
        except FsearchError as error:
            return self._error(str(error))
        return RedirectResponse(f"{self._root}/work/{number}", 303)

    def form(self, store: Callable[[dict[str, str]], str]) -> Any:
        """The endpoint of a form whose fields `store` takes; it goes on at the address, of ours, that this gives."""
        from starlette.concurrency import run_in_threadpool
        from starlette.responses import RedirectResponse

        async def endpoint(request: Any) -> Any:
            try:
                place = await run_in_threadpool(store, await _form(request))
            except FsearchError as error:
                return self._error(str(error))
            return RedirectResponse(self._root + place, 303)

        return endpoint

    def points(self, request: Any) -> Any:
        """The points of the map, as numbers."""
        from starlette.responses import PlainTextResponse, Response

        try:
            data = self._views.map().points(self._views.asked_of_map(dict(request.query_params)))
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


def _voted(views: Views, form: dict[str, str]) -> str:
    """Store a vote; the page it was given on, which is one of ours."""
    views.vote(form["text"], form["image"], form["shows"])
    return form["back"] if form["back"].startswith(("/run/", "/ask?")) else "/"


async def _form(request: Any) -> dict[str, str]:
    """The fields of a form that was sent; empty those that were not. Raises BadInputError where they are too long."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise BadInputError(f"at most {MAX_BODY:,} bytes")
    sent = parse_qs(body.decode("utf-8", "replace"))
    return defaultdict(str, {name: values[0] for name, values in sent.items()})


def _pair(query: dict[str, str]) -> tuple[int, int] | None:
    """The two runs that are compared, if any."""
    return (_whole(query, "a", 0), _whole(query, "b", 0)) if query else None


def _whole(query: dict[str, str], name: str, otherwise: int) -> int:
    """A whole number of the query. Raises BadInputError where it is none."""
    text = query.get(name, str(otherwise))
    if not text.isdigit() or len(text) > 12:
        raise BadInputError(f"{name}={text!r}: give a whole number")
    return int(text)
