"""What an index run holds of the images that are there: as a dict would, in a tenth of the room."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.conftest import Planted

import fsearch
from fsearch.indexer.embedding import hash_map, source_snapshot
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.embedding.hash_map import HashMap, hash_prefix, hash_text
from fsearch.indexer.embedding.pipeline import IndexReport

KEYS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)


@settings(deadline=None)
@given(st.lists(st.tuples(KEYS, st.integers(0, 9)), max_size=60), st.integers(1, 9))
def test_digests_are_a_dict(pairs: list[tuple[str, int]], recent: int) -> None:
    kept, expected = HashMap.empty(merge_every=recent), {}  # so that every number of merges is met
    for key, number in pairs:
        kept[hash_text(key)] = number
        expected[key] = number
        assert {k: kept.get(hash_text(k)) for k in expected} == expected
    assert kept.get(b"x" * 16) is None


def test_digests_that_share_a_half_are_told_apart() -> None:
    high = np.array([7, 7, 7, 2], np.uint64)
    kept = HashMap(high, np.array([3, 1, 2, 1], np.uint64), np.array([30, 10, 20, 5]))
    for low, number in ((1, 10), (2, 20), (3, 30)):
        assert kept.get((7).to_bytes(8, "big") + low.to_bytes(8, "big")) == number
    assert ((2).to_bytes(8, "big") + (3).to_bytes(8, "big")) not in kept


@given(KEYS)
def test_the_catalog_cuts_hashes_as_python_does(key: str) -> None:
    import duckdb

    with duckdb.connect() as con:
        query = f"SELECT {hash_map.halves('sha256(key)')}, 4 AS value FROM (SELECT ?::VARCHAR AS key)"
        high, low, _ = con.execute(query, [key]).fetchall()[0]
    assert high.to_bytes(8, "big") + low.to_bytes(8, "big") == hash_text(key)
    assert hash_prefix(hashlib.sha256(key.encode()).hexdigest()) == hash_text(key)


@pytest.mark.parametrize("recent", [3, 65_536])
def test_every_kind_of_change_at_once(few: Planted, tmp_path: Path, recent: int) -> None:
    folder, ws = few.folder, fsearch.open(tmp_path / "w")
    sizes = BatchSizes(merge_every=recent)

    def index() -> IndexReport:
        return ws.index(folder, sizes=sizes)

    assert index().embedded == 60
    files = sorted(folder.iterdir())
    files[0].rename(folder / "renamed.png")
    files[1].unlink()
    files[2].write_bytes(files[3].read_bytes())
    (folder / "copy.png").write_bytes(files[4].read_bytes())
    (folder / "broken.png").write_bytes(b"nothing")
    report = index()
    assert (report.renamed, report.missing, report.changed, report.duplicates) == (1, 1, 1, 2)
    assert (report.rejected, report.unchanged, report.embedded) == (1, 57, 0)
    (folder / "broken.png").unlink()
    again = index()
    assert (again.unchanged, again.missing, again.rejected) == (60, 0, 0)
    assert ws.info().rejected_total == 0


def test_a_run_hashes_each_key_once(few: Planted, monkeypatch: pytest.MonkeyPatch) -> None:
    hashed: list[str] = []

    def counted(text: str) -> bytes:
        hashed.append(text)
        return hash_text(text)

    monkeypatch.setattr(source_snapshot, "hash_text", counted)
    ws = fsearch.open("w")
    for _ in range(2):  # all new, then all unchanged
        hashed.clear()
        ws.index(few.folder)
        assert sorted(hashed) == sorted(p.name for p in few.folder.iterdir())
