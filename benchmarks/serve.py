"""Ten clients of `fsearch serve` at once, with a hundred questions each: errors, and how long an answer takes.

The questions are phrases that were never asked before, each on a connection of its own, as a browser may. The workspace
is the demo's portraits.
"""

from __future__ import annotations

import argparse
import http.client
import shutil
import socket
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import numpy as np
import uvicorn
from benchmarks.measure import machine

import fsearch
from fsearch.search.demo import run_demo
from fsearch.search.web.server import application
from fsearch.search.web.views import Views

CLIENTS, IMAGES, TOKEN = 10, 1_200, "benchmark"
SKIN, WORN, PLACE = (
    ["dark skin", "light skin", "very dark skin", "a beard", "bald", "grey hair", "long hair", "a smile"],
    ["a hat", "sunglasses", "glasses", "a scarf", "no hat", "a straw hat", "a beard", "curly hair"],
    ["at night", "in dim light", "outdoors", "on a beach", "in a city", "in bright light", "in a forest", "in snow"],
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--questions", type=int, default=100, help="of each client, 100 at most")
    parser.add_argument("--workspace", type=Path, help="a workspace of fsearch demo to copy, in place of a new one")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        ws = fsearch.open(Path(name) / "w")
        if given.workspace is None:
            run_demo(ws, Path(name) / "portraits", count=IMAGES)
        else:
            shutil.copytree(given.workspace, ws.root)
        ws.trust()
        measure(Views(ws, None), min(given.questions, 100), ws.info().images)


def measure(views: Views, questions: int, images: int) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = uvicorn.Server(uvicorn.Config(application(views, TOKEN), port=port, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.02)
    phrases = [f"a person with {a} and {b} {c}" for a in SKIN for b in WORN for c in PLACE]
    phrases = [*phrases, *(f"{p} and a smile" for p in phrases)][: CLIENTS * questions]

    def client(number: int) -> list[tuple[int, float]]:
        return [ask(port, phrase) for phrase in phrases[number::CLIENTS]]

    began = time.perf_counter()
    with ThreadPoolExecutor(CLIENTS) as pool:
        answers = [answer for several in pool.map(client, range(CLIENTS)) for answer in several]
    took = time.perf_counter() - began
    server.should_exit = True
    errors = sum(status != 200 for status, _ in answers)
    median, high = np.quantile([s for _, s in answers], [0.5, 0.95])
    print(f"serve: {CLIENTS} clients at once, {questions} new phrases each, {images:,} portraits ({machine()})")
    print(f"  {errors} errors; p50 {median:.2f} s, p95 {high:.2f} s, {len(answers) / took:.1f} a second, {took:.0f} s")


def ask(port: int, phrase: str) -> tuple[int, float]:
    began = time.perf_counter()
    con = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    con.request("GET", f"/ask?q={quote(phrase)}", headers={"Cookie": f"fsearch={TOKEN}"})
    with con.getresponse() as response:
        response.read()
        status = response.status
    con.close()
    return status, time.perf_counter() - began


if __name__ == "__main__":
    main()
