"""What comes in is bounded: an endpoint's answer in bytes and seconds, YAML in size and meaning, files in kind."""

from __future__ import annotations

import gzip
import json
import os
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest
from loopback import begin, send, server
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox import endpoint
from fsearch.indexer.losses.blackbox.endpoint import Endpoint
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.resolve import open_source
from fsearch.search.hypotheses import read_hypotheses

GOOD = {"name": "m", "inputs": [{"name": "x", "shape": [-1, 3, 8, 8], "datatype": "FP32"}], "outputs": []}


def slowly(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    handler.wfile.write(b"{")
    for _ in range(600):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.1)


def endlessly(handler: BaseHTTPRequestHandler) -> None:
    begin(handler)
    while True:
        handler.wfile.write(b" " * 2**16)


def a_bomb(handler: BaseHTTPRequestHandler) -> None:
    send(handler, gzip.compress(b" " * 2**28), Content_Encoding="gzip")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (slowly, r"its answer took longer than 1 s"),
        (endlessly, "its answer is larger than 4 MiB"),
        (a_bomb, "does not answer"),
        (lambda h: send(h, b"[" * 10**5), "does not answer"),
    ],
)
def test_an_endpoint_is_bounded_in_bytes_and_seconds(answer: Any, message: str) -> None:
    with server(answer) as url:
        with pytest.raises(BadInputError, match=message) as caught:
            Endpoint(f"{url}/v2/models/m", InputOptions(), retries=0, timeout=1.0)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "metadata",
    [
        {"inputs": "x"},
        {"inputs": [1]},
        {"inputs": [{"shape": [1]}]},
        {"inputs": [{"name": "x", "shape": 5, "datatype": "FP32"}]},
        {"inputs": {"name": "x"}},
        {**GOOD, "outputs": [None]},
        {**GOOD, "outputs": "x"},
        [],
    ],
)
def test_metadata_of_any_form_is_one_line(metadata: Any) -> None:
    with (
        server(lambda h: send(h, json.dumps(metadata).encode())) as url,
        pytest.raises(BadInputError, match="Open Inference Protocol v2") as caught,
    ):
        Endpoint(f"{url}/v2/models/m", InputOptions(), retries=0)
    assert "\n" not in str(caught.value)
    assert endpoint.__doc__


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("- &a x\n- *a\n", "an alias .* is refused"),
        ("- text: hat\n  group: &a [&b [x, x], *b, *b]\n", "an alias .* is refused"),
        ("- text: hat\n  group: [[x]]\n", "a group or a template is a text, not list"),
        ("- text: hat\n  template: {a: b}\n", "a group or a template is a text, not dict"),
        ("- !!python/object/apply:os.system [ls]\n", "is not YAML"),
        ("[" * 100_000, "is not YAML"),
    ],
)
def test_yaml_stands_for_no_more_than_it_says(content: str, message: str) -> None:
    Path("h.yaml").write_text(content)
    with pytest.raises(BadInputError, match=message) as caught:
        read_hypotheses(Path("h.yaml"))
    assert "\n" not in str(caught.value)


def test_words_in_yaml_stay_words() -> None:
    Path("h.yaml").write_text("- 12:30:45\n- yes\n- 2020-01-01\n- text: a hat\n  group: 1_000\n- 0x10\n")
    found = read_hypotheses(Path("h.yaml"))
    assert [h.text for h in found] == ["12:30:45", "yes", "2020-01-01", "a hat", "0x10"]
    assert found[3].group == "1_000"


def test_special_files_in_a_folder_of_images_are_quarantined() -> None:
    folder = Path("images")
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "good.png")
    (folder / "self.png").symlink_to("self.png")
    (folder / "ring1.png").symlink_to("ring2.png")
    (folder / "ring2.png").symlink_to("ring1.png")
    (folder / "gone.png").symlink_to("nowhere.png")
    os.mkfifo(folder / "pipe.png")
    with (folder / "sparse.png").open("wb") as file:
        file.truncate(10 * 2**30)
    (folder / "zero.png").symlink_to("/dev/zero")
    source = open_source(str(folder))
    reasons = {}
    for item in source.items():
        try:
            item.read()
        except (RejectedImageError, OSError) as error:
            reasons[item.key] = str(error)
    assert set(reasons) == {p.name for p in folder.iterdir()} - {"good.png"}
    assert "the limit is" in reasons["sparse.png"]
    assert "not a regular file" in reasons["pipe.png"]
