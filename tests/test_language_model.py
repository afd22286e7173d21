"""A language model proposes phrases: against a real server on loopback that plays scripted answers."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.search.discovery.language_model import KEY, PHRASES, LanguageModel, read_phrases
from fsearch.search.workspace import Workspace

PHRASE = "a photo of a dark skinned person"  # in words that the demo's encoder knows, and in no list


class Played:
    """A server and what it was sent: `answers` are the contents of its completions, the last one again and again."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers, self.url = answers, ""
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []


@contextmanager
def played(*answers: Any) -> Iterator[Played]:
    """Answers are texts; bytes are sent as they are; a number is a status."""
    state = Played(list(answers))

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def send(self, data: bytes, status: int = 200) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            self.send(json.dumps({"data": [{"id": "played"}]}).encode(), 200 if self.path == "/v1/models" else 404)

        def do_POST(self) -> None:
            state.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            state.headers.append(dict(self.headers))
            answer = state.answers[min(len(state.bodies), len(state.answers)) - 1]
            if isinstance(answer, int):
                return self.send(b"{}", answer)
            if isinstance(answer, bytes):
                return self.send(answer)
            self.send(json.dumps({"choices": [{"message": {"content": answer}}]}).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="module")
def mine(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("model") / "w"
    shutil.copytree(fitted, root)
    return fsearch.open(root)


def test_its_phrases_are_tried_and_judged_like_any_other(mine: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(KEY, "secret-1")
    with played(
        f'Sure! ["{PHRASE}", "a harpsichord", "dark skin"]', '["a pale person in bright light"]', "[]"
    ) as server:
        found = mine.discover(llm=server.url)
    assert PHRASE in [a.text for a in found if a.origin == "llm"]
    assert len(server.bodies) == 3
    assert server.bodies[0]["model"] == "played"
    first, second = (body["messages"][0]["content"] for body in server.bodies[:2])
    assert "dark skin: +" in first  # aggregates of the proposing half
    assert ".png" not in first + second
    assert f"{PHRASE}: +" in second
    assert "1 phrases of the language model are in words the encoder lacks" in found.notes
    assert any("brought no new phrase" in n for n in found.notes)
    assert server.headers[0]["Authorization"] == "Bearer secret-1"
    kept = (mine.root / "catalog.duckdb").read_bytes() + json.dumps(found.as_dict()).encode()
    assert b"secret-1" not in kept


def test_it_sees_pictures_only_where_the_user_says_so(mine: Workspace) -> None:
    with played("[]") as server:
        found = mine.discover(llm=server.url, rounds=1, send_images=True)  # it is a copy, and trusted with nothing
        assert any("no picture could be read to be sent" in n for n in found.notes)
        mine.trust()
        trusted = fsearch.open(mine.root)
        trusted.discover(llm=server.url, rounds=1)
        trusted.discover(llm=server.url, rounds=1, send_images=True)
    _, without, with_them = (body["messages"][0]["content"] for body in server.bodies)
    assert isinstance(without, str)
    pictures = [part["image_url"]["url"] for part in with_them if part["type"] == "image_url"]
    assert 2 <= len(pictures) <= 12
    assert all(p.startswith("data:image/webp;base64,") and len(p) < 100_000 for p in pictures)


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        (["I cannot help with that."], "brought no new phrase"),
        (['["a\\u001b[2J person", "' + "long " * 100 + '", 7, null, ""]'], "brought no new phrase"),
        ([b"<html>"], "no JSON came back"),
        ([b"[" * 100_000], "no JSON came back"),
        ([b'{"choices": "none"}'], "brought no new phrase"),
        ([b" " * 10 * 2**20], "its answer is larger than 1 MiB"),
        ([400], "HTTP 400"),
        ([f'["{PHRASE}"]', 401], "round 2 of the language model brought nothing"),
    ],
)
def test_an_answer_of_any_form_stops_nothing(mine: Workspace, answers: list[Any], said: str) -> None:
    with played(*answers) as server:
        found = mine.discover(llm=server.url, rounds=2)
    assert found.concepts[0].head.verdict == "fails"
    (note,) = [n for n in found.notes if n.startswith("round ")]
    assert said in note
    assert "\n" not in note


def test_it_is_asked_as_often_as_said(mine: Workspace) -> None:
    answers = [json.dumps([f"{word} skin"]) for word in ("olive", "ebony", "tan", "pale")]
    with played(*answers) as server:
        mine.discover(llm=f"{server.url}/", llm_model="other", rounds=2)
    assert [body["model"] for body in server.bodies] == ["other", "other"]


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("localhost:8000", "give the address of a server, like http://localhost:8000/v1"),
        ("http://127.0.0.1:9/v1", "does not answer"),
    ],
)
def test_a_server_that_is_not_there_is_said_at_once(mine: Workspace, url: str, said: str) -> None:
    before = mine.runs.list().num_rows
    with pytest.raises(BadInputError, match=said) as caught:
        mine.discover(llm=url)
    assert "\n" not in str(caught.value)
    assert mine.runs.list().num_rows == before


def test_a_server_that_lists_no_models_needs_a_name() -> None:
    with played("[]") as server, pytest.raises(BadInputError, match="HTTP 404"):
        LanguageModel(server.url.removesuffix("/v1"))


@given(st.text(max_size=300))
def test_any_text_gives_phrases_that_can_be_printed(text: str) -> None:
    for answer in (text, json.dumps([text]), f"x{json.dumps([text, text])}y"):
        found = read_phrases(answer)
        assert len(found) <= PHRASES
        assert all(p.isprintable() and p.strip() == p != "" for p in found)
