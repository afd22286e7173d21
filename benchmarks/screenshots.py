"""Pictures of the page and of a report for the README, of the demo's workspace: python -m benchmarks.screenshots.

Needs Chromium and playwright; each picture is a WebP of less than 300 kB, in light and dark.
"""

from __future__ import annotations

import argparse
import io
import shutil
import socket
import threading
import time
from pathlib import Path
from typing import Any

from PIL import Image

import fsearch
from fsearch.search.web.server import application
from fsearch.search.web.views import Views

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"
TOKEN = "screenshots"


def main() -> None:
    """Make the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--workspace", type=Path, default=Path(".fsearch"), help="a workspace of fsearch demo")
    workspace = fsearch.open(parser.parse_args().workspace)
    PICTURES.mkdir(exist_ok=True)
    report = workspace.runs.report(out="build-report.html").resolve()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    page = _served(Views(workspace, None), port)
    try:
        shots = {"page": f"http://127.0.0.1:{port}/?token={TOKEN}", "report": report.as_uri()}
        for name, png in _taken(shots).items():
            path = PICTURES / f"{name}.webp"
            with Image.open(io.BytesIO(png)) as picture:
                picture.save(path, "WEBP", quality=84, method=6)
            print(f"docs/pictures/{path.name} {path.stat().st_size:,} bytes")
    finally:
        page.should_exit = True
        report.unlink()


def _served(views: Views, port: int) -> Any:
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(application(views, TOKEN), port=port, log_level="warning"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.05)
    return server


def _taken(addresses: dict[str, str]) -> dict[str, bytes]:
    """A picture of each address in light and dark, as PNG."""
    from playwright.sync_api import sync_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        tab = browser.new_page(viewport={"width": 1280, "height": 860}, device_scale_factor=1.25)
        pictures = {}
        for name, address in addresses.items():
            for scheme, suffix in (("light", ""), ("dark", "-dark")):
                tab.emulate_media(color_scheme=scheme)
                tab.goto(address, wait_until="networkidle")
                tab.evaluate("document.activeElement.blur()")
                pictures[name + suffix] = tab.screenshot()
        browser.close()
    return pictures


if __name__ == "__main__":
    main()
