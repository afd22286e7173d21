"""Which index there is, what it finds, and that it says so truly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from tests.conftest import Planted

import fsearch
from fsearch.indexer.device import Device
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.rows import write_settings
from fsearch.indexer.storage.shards import write_shard
from fsearch.indexer.storage.vectors import Vectors, blocks
from fsearch.indexer.vector_index import gpu, sync
from fsearch.indexer.vector_index.build import make
from fsearch.indexer.vector_index.exact_search import scan
from fsearch.indexer.vector_index.index import VectorIndex, exact_index, read_index
from fsearch.indexer.vector_index.recall import tune
from fsearch.indexer.vector_index.spec import EXACT_ROWS, IndexKind, choose
from fsearch.indexer.workspace.check import find_problems
from fsearch.indexer.workspace.encoder_spec import EncoderSpec
from fsearch.indexer.workspace.repair import repair
from fsearch.indexer.workspace.store import Store

DIM, ROWS, LISTS = 32, 20_000, 150
KINDS = [IndexKind("ivf-fp16", LISTS, 2 * DIM), IndexKind("ivf-sq8", LISTS, DIM), IndexKind("ivf-pq", LISTS, DIM // 2)]


def clustered(rows: int, seed: int = 0, dim: int = DIM) -> np.ndarray:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).standard_normal((60, dim))
    found = centres[rng.integers(60, size=rows)] + 0.5 * rng.standard_normal((rows, dim))
    return (found / np.linalg.norm(found, axis=1, keepdims=True)).astype(np.float16)


def texts(count: int, seed: int = 1) -> np.ndarray:
    found = clustered(count, seed).astype(np.float32) + np.float32(0.8)  # another cone
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def truth(vectors: np.ndarray, queries: np.ndarray, k: int, allowed: np.ndarray | None = None) -> np.ndarray:
    cosines = queries.astype(np.float32) @ vectors.astype(np.float32).T
    if allowed is not None:
        cosines[:, ~allowed] = -2
    return np.argsort(-cosines, axis=1, kind="stable")[:, :k]


def share(found: np.ndarray, true: np.ndarray) -> float:
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, true, strict=True)]))


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return clustered(ROWS)


@pytest.fixture(scope="module", params=KINDS, ids=lambda k: k.name)
def index(request: pytest.FixtureRequest, vectors: np.ndarray) -> VectorIndex:
    made = VectorIndex(request.param, make(request.param, DIM, lambda n: vectors[:n].astype(np.float32)), vectors)
    made.add(blocks(vectors))
    tune(made, vectors, 0.95, texts(64))
    return made


@pytest.mark.parametrize(
    ("rows", "memory", "name"),
    [
        (0, 1.0, "exact"),
        (EXACT_ROWS, 0.001, "exact"),
        (EXACT_ROWS + 1, 1.0, "ivf-fp16"),
        (1_000_000, 4.0, "ivf-fp16"),
        (1_000_000, 0.6, "ivf-sq8"),
        (1_000_000, 0.2, "ivf-pq"),
        (10_000_000, 6.0, "ivf-sq8"),
        (10_000_000, 12.0, "ivf-fp16"),
        (10_000_001, 12.0, "ivf-sq8"),
        (100_000_000, 16.0, "ivf-pq"),
    ],
)
def test_the_kind_follows_rows_and_memory(rows: int, memory: float, name: str) -> None:
    assert choose(rows, 512, memory).name == name


@given(st.integers(EXACT_ROWS + 1, 10**9), st.sampled_from([64, 512, 640, 768, 1024]), st.floats(0.01, 1000))
def test_the_kind_fits_the_memory_or_is_refused(rows: int, dim: int, memory: float) -> None:
    try:
        kind = choose(rows, dim, memory)
    except BadInputError:
        assert rows * (dim // 16 + 8) > memory * 2**30
        return
    assert rows * (kind.code_size + 8) <= memory * 2**30
    assert 39 * kind.nlist <= kind.training_rows <= 1_000_000


def test_the_recall_that_is_told_is_the_recall_there_is(index: VectorIndex, vectors: np.ndarray) -> None:
    told = tune(index, vectors, 0.95, texts(64))
    assert told.worst >= 0.95
    for queries in (clustered(300, 7).astype(np.float32), texts(300, 8)):
        for k in (100, 2048):
            assert share(index.search(queries, k)[1], truth(vectors, queries, k)) > 0.95 - 0.03


def test_no_fewer_lists_would_do(index: VectorIndex, vectors: np.ndarray) -> None:
    told = tune(index, vectors, 0.95, texts(64))
    chosen = index.nprobe
    assert 1 < chosen < LISTS
    rng = np.random.default_rng([0, 53])
    picks = np.sort(rng.choice(ROWS, 64, replace=False))
    groups = [vectors[picks].astype(np.float32), texts(64)]
    found = [share(index.search(q, 2048, nprobe=chosen - 1)[1], truth(vectors, q, 2048)) for q in groups]
    assert min(found) < 0.95 <= told.far


def test_similarities_are_those_of_the_shards(index: VectorIndex, vectors: np.ndarray) -> None:
    queries = texts(20)
    similarities, rows = index.search(queries, 50)
    cosines = queries @ vectors.astype(np.float32).T
    np.testing.assert_allclose(similarities, np.take_along_axis(cosines, rows, axis=1), atol=1e-5)
    assert (np.diff(similarities, axis=1) <= 0).all()


@pytest.mark.parametrize("kept_share", [0.003, 0.02, 0.3])
def test_a_filter_costs_no_recall(index: VectorIndex, vectors: np.ndarray, kept_share: float) -> None:
    queries = texts(60, 5)
    allowed = np.random.default_rng(4).random(ROWS) < kept_share
    k = min(200, int(allowed.sum()))
    found = index.search(queries, 200, allowed)[1]
    assert found.shape == (60, k)
    assert allowed[found].all()
    assert share(found, truth(vectors, queries, k, allowed)) > 0.95


def test_a_filter_on_what_is_far_from_the_query_costs_no_recall(index: VectorIndex, vectors: np.ndarray) -> None:
    axis = clustered(1, 3)[0].astype(np.float32)
    side = vectors.astype(np.float32) @ axis
    allowed = side < np.quantile(side, 0.4)  # nothing that is near to the query
    queries = axis + 0.05 * clustered(30, 6).astype(np.float32)
    queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    found = index.search(queries, 300, allowed)[1]
    assert allowed[found].all()
    assert share(found, truth(vectors, queries, 300, allowed)) > 0.9


def test_more_than_the_lists_looked_at_hold_is_found_all_the_same(index: VectorIndex) -> None:
    rows = index.search(texts(5), 3000, nprobe=1)[1]
    assert (rows >= 0).all()
    assert all(len(set(r)) == 3000 for r in rows.tolist())


def again(index: VectorIndex, vectors: np.ndarray, file: Path, device: Device = "cpu") -> VectorIndex:
    """The same index over other vectors, or on another device."""
    index.save(file)
    found = read_index(file, vectors, device)  # type: ignore[arg-type]
    assert found is not None
    return found


def test_what_the_index_lacks_is_found_in_the_shards(index: VectorIndex, vectors: np.ndarray, tmp_path: Path) -> None:
    more = np.concatenate([vectors, clustered(500, 12)])
    lagging = again(index, more, tmp_path / "i")
    queries = more[-20:].astype(np.float32)
    assert (lagging.search(queries, 1)[1][:, 0] == np.arange(ROWS + 480, ROWS + 500)).all()
    allowed = np.arange(len(more)) >= ROWS
    assert (lagging.search(queries, 600, allowed)[1] >= ROWS).all()
    assert len(lagging) == ROWS + 500


def test_codes_too_coarse_are_said_to_be(vectors: np.ndarray) -> None:
    noise = np.random.default_rng(0).standard_normal((ROWS, DIM)).astype(np.float16)
    noise /= np.linalg.norm(noise.astype(np.float32), axis=1, keepdims=True)
    kind = IndexKind("ivf-pq", LISTS, 2)
    index = VectorIndex(kind, make(kind, DIM, lambda n: noise[:n].astype(np.float32)), noise)
    index.add(blocks(noise))
    recall = tune(index, noise, 0.95)
    assert recall.worst < 0.95
    assert index.nprobe > LISTS // 2


@settings(max_examples=60, deadline=None)
@given(data=st.data(), sizes=st.lists(st.integers(1, 9), min_size=1, max_size=6))
def test_vectors_read_like_one_array(
    data: st.DataObject, sizes: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.create(tmp_path_factory.mktemp("v") / "w", EncoderSpec("e", None, "0" * 64, 8))
    whole = clustered(sum(sizes), data.draw(st.integers(0, 9)), 8)
    cuts = np.split(whole, np.cumsum(sizes)[:-1])
    shards = [write_shard(store.layout, i, part) for i, part in enumerate(cuts)]
    vectors, n = Vectors(store.layout, shards, 8), len(whole)
    assert vectors.shape == whole.shape
    rows = np.array(data.draw(st.lists(st.integers(0, n - 1), max_size=12)), np.int64)
    assert np.array_equal(vectors[rows], whole[rows])
    cut = slice(
        *(data.draw(st.none() | st.integers(-n - 1, n + 1)) for _ in range(2)),
        data.draw(st.sampled_from([None, 2, -1])),
    )
    assert np.array_equal(vectors[cut], whole[cut])
    assert np.array_equal(vectors.at(rows)[cut], whole[rows][cut])
    mask = np.array(data.draw(st.lists(st.booleans(), min_size=n, max_size=n)))
    assert np.array_equal(vectors[mask], whole[mask])


def test_a_scan_is_the_truth() -> None:
    vectors, queries = clustered(3000), texts(9)
    allowed = np.random.default_rng(0).random(3000) < 0.4
    for mask in (None, allowed):
        parts = (vectors[i : i + 700] for i in range(0, 3000, 700))
        similarities, rows = scan(parts, queries, 40, allowed=mask)
        assert np.array_equal(rows, truth(vectors, queries, 40, mask))
        assert (np.diff(similarities, axis=1) <= 0).all()


# --- the file in a workspace


def filled(root: Path, rows: int) -> Store:
    """A workspace with the embeddings of more images than an exact index is kept for."""
    store = Store.create(root, EncoderSpec("e", None, "0" * 64, DIM))
    append(store, clustered(rows))
    return store


def append(store: Store, more: np.ndarray) -> None:
    shards = store.shards()
    start, number = sum(s.rows for s in shards), len(shards)
    for first in range(0, len(more), 50_000):
        shard = write_shard(store.layout, number, more[first : first + 50_000])
        with store.catalog.write() as con:
            con.execute(
                "INSERT INTO shards (shard, first_row, rows, sha256) VALUES (?, ?, ?, ?)",
                [shard.number, start, shard.rows, shard.sha256],
            )
        start, number = start + shard.rows, number + 1


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = filled(tmp_path_factory.mktemp("large") / "w", EXACT_ROWS + 20_000)
    with store.writer():
        store.sync_index(lambda: texts(64))
    return store


def test_a_large_workspace_has_an_index_that_says_what_it_finds(large: Store) -> None:
    told = sync.read_stats(large.catalog)
    assert told is not None
    assert told.kind == "ivf-fp16"
    assert told.rows == told.measured_rows == EXACT_ROWS + 20_000
    assert told.bytes == large.layout.index.stat().st_size
    assert min(told.recall_100, told.recall_2048) >= 0.95
    assert not told.missed
    index, whole, queries = large.index(), large.vectors()[:], texts(100, 9)
    assert index.nprobe == told.probes < told.lists
    assert share(index.search(queries, 2048)[1], truth(whole, queries, 2048)) > 0.93
    assert find_problems(large) == []


def test_an_index_that_is_missing_is_not_missed(large: Store, tmp_path: Path) -> None:
    queries, whole = texts(10, 3), large.vectors()
    away = large.layout.index.rename(tmp_path / "away")
    try:
        found = large.index()
        assert found.rows == 0
        assert np.array_equal(found.search(queries, 30)[1], scan(blocks(whole), queries, 30)[1])
    finally:
        away.rename(large.layout.index)


def test_the_index_is_topped_up_measured_and_rebuilt_as_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = filled(tmp_path / "w", 60_000)
    with store.writer():
        assert store.sync_index(lambda: texts(64)).kind.name == "exact"
    append(store, clustered(50_000, 1))
    assert len(store.index()) == 110_000  # a reader sees what the file lacks
    measured: list[int] = []
    real = tune
    monkeypatch.setattr(
        sync, "tune", lambda index, vectors, *a: measured.append(len(vectors)) or real(index, vectors, *a)
    )
    with store.writer():
        assert store.sync_index(lambda: texts(64)).kind.name == "ivf-fp16"
        append(store, clustered(2_000, 2))
        assert store.sync_index(lambda: texts(64)).rows == 112_000
        assert measured == [110_000]  # two in a hundred more change no recall
        append(store, clustered(30_000, 3))
        store.sync_index(lambda: texts(64))
        assert measured == [110_000, 142_000]
        before = store.layout.index.stat().st_mtime_ns
        store.sync_index(lambda: texts(64))
        assert store.layout.index.stat().st_mtime_ns == before  # nothing to do
        wanting = store.with_settings(memory_gib=0.006)
        with store.catalog.write() as con:
            write_settings(con, wanting.settings)
        assert wanting.sync_index(lambda: texts(64)).kind.name == "ivf-sq8"
        assert Store.open(store.layout.root).index_config == sync.IndexConfig(0.006)
        told = sync.read_stats(store.catalog)
        assert wanting.with_settings(recall=0.99).sync_index(lambda: texts(64)).nprobe > told.probes  # type: ignore[union-attr]
        with pytest.raises(BadInputError, match=r"--memory-gib 0\.0001: an index of 142,000 vectors needs"):
            wanting.with_settings(memory_gib=0.0001).sync_index(lambda: texts(64))
    queries = texts(30, 6)
    found = Store.open(store.layout.root).index().search(queries, 100)[1]
    assert share(found, truth(store.vectors()[:], queries, 100)) > 0.95


def test_a_flipped_byte_in_coarse_codes_is_noticed_and_mended(tmp_path: Path) -> None:
    store = filled(tmp_path / "w", EXACT_ROWS + 5_000)
    with store.writer():
        store = store.with_settings(memory_gib=0.005)
        assert store.sync_index().kind.name == "ivf-sq8"
        assert find_problems(store) == []
        content = bytearray(store.layout.index.read_bytes())
        content[len(content) // 2] ^= 4
        store.layout.index.write_bytes(content)
        (problem,) = find_problems(store)
        assert str(problem) == f"{store.layout.index}: its bytes are not those that were saved"
        repair(store, [problem])
        assert find_problems(store) == []
        # the coarse codes are no copy of the shards: what cannot be had back to the bit is set aside
        path = store.layout.shard(0)
        path.write_bytes(path.read_bytes()[:-4] + b"abcd")
        assert "set aside" in repair(store, find_problems(store))[0]


@pytest.mark.parametrize("keep", [0, 10, 200, 5_000, 100_000])
@pytest.mark.parametrize("mapped", [True, False])
def test_a_torn_index_file_is_never_read(large: Store, tmp_path: Path, keep: int, mapped: bool) -> None:
    path = tmp_path / "torn.faiss"
    path.write_bytes(large.layout.index.read_bytes()[:keep])
    assert read_index(path, large.vectors(), mapped=mapped) is None


def test_a_small_index_is_read_mapped_too(tmp_path: Path) -> None:
    store = filled(tmp_path / "w", 5_000)
    with store.writer():
        store.sync_index()
    assert Catalog(store.layout).settings()["dim"] == str(DIM)
    queries = texts(5)
    assert np.array_equal(store.index().search(queries, 9)[1], truth(store.vectors()[:], queries, 9))
    assert exact_index(store.vectors(), DIM).search(queries, 9)[1].shape == (5, 9)


def test_whatever_makes_an_index_anew_measures_it_with_phrases(few: Planted) -> None:
    """An index that was set by images alone would look at too few lists for phrases, and call that enough."""
    ws = fsearch.open("w")
    ws.index(few.folder)
    store = Store.open(ws.root)
    with store.catalog.write() as con:
        write_settings(con, {"index": sync.IndexConfig(exact_rows=20).as_json()})
    copy = few.folder / "copy.png"
    Image.new("RGB", (96, 96), "maroon").save(copy)
    ws.index(few.folder)

    def measured_with() -> int:
        told = sync.read_stats(store.catalog)
        assert told is not None
        assert told.kind == "ivf-fp16"
        return told.queries

    images = min(64, len(few.portraits))
    assert measured_with() > images
    next(few.folder.iterdir()).unlink()
    ws.index(few.folder)
    ws.compact()
    assert measured_with() > images - 1
    store.layout.index.write_bytes(b"nonsense")
    assert ws.check(repair=True).sound
    assert measured_with() > images - 1


def many(count: int = 300) -> np.ndarray:
    """As many queries as make it worth to copy an index to a GPU."""
    return np.concatenate([clustered(count // 2, 8).astype(np.float32), texts(count - count // 2, 9)])


@pytest.mark.skipif(gpu.use_gpu("auto"), reason="there is a GPU")
def test_what_a_gpu_cannot_do_is_done_on_the_cpu(
    index: VectorIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said that there is one; FAISS finds that there is none when it is asked."""
    monkeypatch.setattr(gpu, "use_gpu", lambda _: True)
    made = make(index.kind, DIM, lambda n: vectors[:n].astype(np.float32), device="cuda")
    here = VectorIndex(index.kind, made, vectors, "cuda")
    here.add(blocks(vectors))
    tune(here, vectors, 0.95, texts(64))
    found, queries = here.search(many(), 100), many()
    assert share(found[1], truth(vectors, queries, 100)) > 0.9
    assert here.search(many(), 100)[1].tolist() == found[1].tolist()
    said = [r.message for r in caplog.records]
    assert f"an index of {LISTS} vectors stays on the CPU: Invalid GPU device 0" in said[0]
    assert f"an index of {ROWS} vectors stays on the CPU" in said[1]
    assert len(said) == 2  # it is tried once


def test_a_gpu_is_not_asked_under_a_condition_or_for_more_than_it_takes(
    index: VectorIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(gpu, "use_gpu", lambda _: True)
    monkeypatch.setattr(gpu, "copy_to_gpu", lambda _: pytest.fail("copied to a GPU"))
    here = again(index, vectors, tmp_path / "i", "cuda")
    here.search(many(), 10, np.arange(ROWS) % 2 == 0)
    here.search(many(), 2049)
    here.search(many()[:200], 10)  # too few so far
    with pytest.raises(pytest.fail.Exception, match="copied to a GPU"):
        here.search(many()[:200], 10)


@pytest.mark.skipif(not gpu.use_gpu("auto"), reason="needs a GPU")
def test_a_gpu_searches_as_the_cpu_does(
    index: VectorIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    copies: list[object] = []
    copy = gpu.copy_to_gpu
    monkeypatch.setattr(gpu, "copy_to_gpu", lambda i: copies.append(copy(i)) or copies[-1])
    there = again(index, vectors, tmp_path / "i", "cuda")
    (near, rows), (cosines, found) = (i.search(many(), 100, nprobe=index.nprobe) for i in (index, there))
    assert len(copies) == 1
    assert copies[0] is not None
    assert share(found, rows) > 0.99
    assert np.allclose(cosines, near, atol=2e-3)


@pytest.mark.skipif(not gpu.use_gpu("auto"), reason="needs a GPU")
def test_a_gpu_builds_an_index_that_finds_as_much(index: VectorIndex, vectors: np.ndarray) -> None:
    made = make(index.kind, DIM, lambda n: vectors[:n].astype(np.float32), device="cuda")
    there = VectorIndex(index.kind, made, vectors, "cuda")
    there.add(blocks(vectors))
    assert tune(there, vectors, 0.95, texts(64)).worst >= 0.95
    assert there.nprobe <= 1.5 * index.nprobe + 2
