"""How often the catalog is opened: a question reads it in one go, and holds no connection while it computes."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from benchmarks.trace import openings_counted
from tests.conftest import Planted
from tests.support.made_sources import COUNT, shards

import fsearch
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout


@pytest.fixture
def copied(fitted: Path, tmp_path: Path) -> Path:
    """A fitted workspace of the test's own."""
    return Path(shutil.copytree(fitted, tmp_path / "copied.fsearch"))


def test_a_query_reads_the_catalog_once_and_then_tells_of_the_images_it_shows(copied: Path) -> None:
    ws = fsearch.open(copied)
    with Catalog(Layout(copied)).write() as con:
        con.execute("DELETE FROM questions")
    for asked in ({}, {"where": "eyewear = 'glasses'"}, {"by": "eyewear", "where": "skin_tone > 2"}):
        answers = []
        for place, expected in (
            (ws, ["read", "write"]),  # a new question, entered by the write that reads of the images
            (ws, ["read"]),  # again; the images are known
            (fsearch.open(copied), ["read", "read"]),  # again, of a new process
        ):
            with openings_counted() as openings:
                answers.append(place.query("dark skin tone", **asked).as_dict())
            assert openings == expected, asked
        assert answers[0] == answers[1] == answers[2]


def test_a_phrase_never_read_before_is_kept_by_the_same_write(copied: Path) -> None:
    ws = fsearch.open(copied)
    for phrase in ("a smiling face with a hat and round glasses", "a quagga"):  # of which the second is no test
        for expected in (["read", "write"], ["read"]):
            with openings_counted() as openings:
                ws.query(phrase)
            assert openings == expected, phrase
    assert ws.sql("SELECT count(*) AS n FROM text_vectors WHERE text LIKE '%quagga'")["n"].to_pylist() == [1]


def test_a_stored_ranking_is_one_write_more(copied: Path) -> None:
    ws = fsearch.open(copied)
    fsearch.open(copied).query("dark skin tone", "a hat")  # which keeps the phrases
    ws.query("a beard")  # which loads what a session keeps
    for expected in (["read", "read", "write"], ["read", "write"]):  # the second knows the images
        with openings_counted() as openings:
            ws.rank(["dark skin tone", "a hat"])
        assert openings == expected
    with openings_counted() as openings:
        ws.query("a hat")  # a stored ranking changes nothing that a question needs
    assert openings == ["read"]


def test_an_index_run_commits_twice(few: Planted) -> None:
    ws = fsearch.open("w")
    with openings_counted() as openings:
        ws.index(few.folder, few.losses, templates=["a {}"])
    assert [o for o in openings if o != "read"] == ["create", "write", "write"]
    with openings_counted() as openings:
        report = ws.index(few.folder, templates=["a {}"])
    assert report.unchanged == 60
    assert openings == ["read", "read"]  # the settings before the workspace is held for writing, the rest within


def test_losses_that_are_refused_leave_the_index_known(tmp_path: Path) -> None:
    made = shards(tmp_path / "shards")  # whose keys are not known before they are read
    wrong = tmp_path / "wrong.csv"
    wrong.write_text("image,loss\nnobody.png,1\n")
    ws = fsearch.open("w")
    with pytest.raises(fsearch.BadInputError, match=r"nobody\.png"):
        ws.index(made["held"], wrong)
    assert ws.sql("SELECT rows FROM vector_index")["rows"].to_pylist() == [COUNT]
    assert ws.sql("FROM losses").num_rows == 0


def test_reads_share_a_connection_that_a_write_closes(copied: Path) -> None:
    catalog = Catalog(Layout(copied))
    count = "SELECT count(*) FROM rejected"
    with openings_counted() as openings, catalog.shared():
        for _ in range(3):
            with catalog.read() as outer, Catalog(Layout(copied)).read() as inner:
                rows = outer.execute("SELECT image_id FROM images")
                assert inner.execute(count).fetchall() == [(0,)]
                assert len(rows.fetchall()) == 320
        with catalog.write() as con:
            con.execute("INSERT INTO rejected (source, key, reason, rejected_at) VALUES ('s', 'k', 'r', now())")
        with catalog.shared(), catalog.read() as con:
            assert con.execute(count).fetchall() == [(1,)]
        with catalog.read() as con:
            assert con.execute(count).fetchall() == [(1,)]
    assert openings == ["read", "write", "read"]


def test_another_thread_has_its_own_connection(copied: Path) -> None:
    catalog, found = Catalog(Layout(copied)), []

    def read() -> None:
        with catalog.read() as con:
            found.append(con.execute("SELECT count(*) FROM images").fetchall())

    with openings_counted() as openings, catalog.shared(), catalog.read():
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    assert found == [[(320,)]]
    assert openings == ["read", "read"]


def test_a_write_waits_for_readers_of_its_own_process(copied: Path) -> None:
    """DuckDB refuses a second connection of another kind at once, where another process would wait for its lock."""
    catalog, reading, go = Catalog(Layout(copied)), threading.Event(), threading.Event()

    def read() -> None:
        with catalog.read():
            reading.set()
            go.wait(60)

    thread = threading.Thread(target=read)
    thread.start()
    reading.wait(60)
    threading.Timer(0.3, go.set).start()
    with catalog.write() as con:
        con.execute("DELETE FROM rejected")
    assert go.is_set()
    thread.join()


WRITE = """
import sys
from pathlib import Path
from fsearch.indexer.workspace.store import Store
store = Store.open(Path(sys.argv[1]))
with store.writer(), store.catalog.write() as con:
    con.execute("DELETE FROM rejected")
"""


class Interrupted:
    """An encoder beside which another process commits while it embeds a phrase, once it is told to."""

    dim, logit_scale, told = 3, 20.0, False

    def embed_images(self, images: list[Any]) -> np.ndarray:
        return np.stack([np.asarray(i, np.float64).mean(axis=(0, 1)) for i in images])

    def embed_texts(self, texts: list[str]) -> np.ndarray:
        if self.told:  # a reader that held the catalog would keep it out for as long as it waits
            subprocess.run([sys.executable, "-c", WRITE, "w"], check=True, timeout=25)
        return np.ones((len(texts), 3))


def test_a_question_keeps_no_writer_out_while_it_computes(planted: Planted) -> None:
    encoder = Interrupted()
    ws = fsearch.open("w", encoder=encoder)
    ws.index(planted.folder, planted.losses, encoder=encoder)
    ws.fit()
    encoder.told = True
    assert len(ws.query("anything")) == 1
