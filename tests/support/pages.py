"""The page under way, for requests by hand and for a real browser."""

from __future__ import annotations

import contextlib
import http.client
import shutil
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import fsearch
from fsearch.search.web.server import application
from fsearch.search.web.views import Views

TOKEN = "a-token-of-the-tests"
AXE = Path(__file__).parents[1] / "data" / "axe.min.js"
RULES = "['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa']"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@dataclass(frozen=True)
class Served:
    """A page under way."""

    port: int
    root: Path

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def get(
        self, path: str, method: str = "GET", body: bytes = b"", **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request, with the cookie unless another is given."""
        con = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        sent = {"Cookie": f"fsearch={TOKEN}"} | {name.replace("_", "-"): value for name, value in headers.items()}
        with contextlib.closing(con):
            con.request(method, path, body or None, sent)
            with con.getresponse() as response:
                return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


@contextlib.contextmanager
def serving(root: Path) -> Iterator[Served]:
    import uvicorn

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    app = application(Views(fsearch.open(root), None), TOKEN)
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    try:
        yield Served(port, root)
    finally:
        server.should_exit = True
        thread.join()


def chromium_program() -> str:
    """The path of the system's Chromium; skips the test where there is none."""
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if found is None:
        pytest.skip("no Chromium here; on Debian: apt-get install chromium")
    return found


@contextlib.contextmanager
def chromium() -> Iterator[Any]:
    """The system's Chromium; skips the test where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="pip install playwright")
    found = chromium_program()
    sync_api.expect.set_options(timeout=60_000)
    with sync_api.sync_playwright() as started:
        launched = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield launched
        launched.close()


@contextlib.contextmanager
def tab_on(browser: Any, served: Served) -> Iterator[Any]:
    """A tab with the page open; it ends with what the browser complained of."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened, complaints = context.new_page(), []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("console", lambda m: complaints.append(m.text) if m.type == "error" and "404" not in m.text else None)
    opened.goto(f"{served.address}/?token={TOKEN}")
    yield opened
    context.close()
    assert not complaints


def violations(tab: Any) -> list[tuple[str, str]]:
    """What axe finds on the page that a tab shows: rule, and the first place it is broken at."""
    tab.evaluate(AXE.read_text(encoding="utf-8"))
    found = tab.evaluate(f"axe.run(document, {{runOnly: {RULES}}})")
    assert found["passes"]
    return [(v["id"], v["nodes"][0]["html"]) for v in found["violations"]]
