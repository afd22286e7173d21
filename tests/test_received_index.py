"""A received index file: FAISS reads none whose sizes do not agree, and rows that are not there are never answered."""

from __future__ import annotations

import os
import random
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import faiss
import numpy as np
import pytest

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.vector_index.build import make
from fsearch.indexer.vector_index.file_format import is_sound
from fsearch.indexer.vector_index.index import VectorIndex, read_index
from fsearch.indexer.vector_index.spec import IndexKind

DIM, ROWS, LISTS = 64, 700, 7
KINDS = {
    "exact": IndexKind("exact", 0, 4 * DIM),
    "ivf-fp16": IndexKind("ivf-fp16", LISTS, 2 * DIM),
    "ivf-sq8": IndexKind("ivf-sq8", LISTS, DIM),
    "ivf-pq": IndexKind("ivf-pq", LISTS, DIM // 4),
}
rng = np.random.default_rng(4)
VECTORS = rng.normal(size=(ROWS, DIM)).astype(np.float16)
VECTORS /= np.linalg.norm(VECTORS, axis=1, keepdims=True)
QUERIES = VECTORS[:5].astype(np.float32)

# What a reader does with a file, in a process of its own. The last word of its output says that it is still alive.
READING = """
import random, sys
from pathlib import Path
import faiss, numpy as np
sys.path.insert(0, sys.argv[1])
from test_received_index import QUERIES, ROWS, VECTORS, mutated
from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.vector_index.index import read_index
faiss.omp_set_num_threads(1)
good, path, read, answered = Path(sys.argv[2]).read_bytes(), Path("mutated.faiss"), 0, 0
for seed in range(int(sys.argv[3]), int(sys.argv[4])):
    path.write_bytes(mutated(good, random.Random(seed)))
    for mapped in (True, False):
        index = read_index(path, VECTORS, "cpu", mapped=mapped)
        if index is None:
            continue
        read += 1
        for work in (
            lambda: index.search(QUERIES, 20)[1],
            lambda: index.search(QUERIES, 20, np.arange(ROWS) % 3 == 0)[1],
            lambda: index.search(QUERIES, ROWS)[1],
            lambda: index.reconstruct(0, index.rows) is not None and np.zeros(1),
        ):
            try:
                rows = work()
                assert rows.min() >= 0 and rows.max() < ROWS
                answered += 1
            except WorkspaceError as error:
                assert "check --repair" in str(error)
print(read, answered, "alive")
"""


@pytest.fixture(scope="module", params=KINDS)
def good(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as it is saved."""
    kind = KINDS[request.param]
    index = VectorIndex(kind, make(kind, DIM, lambda n: VECTORS[:n].astype(np.float32)), VECTORS)
    index.add([VECTORS])
    if kind.nlist:
        index.nprobe = 3
    path = tmp_path_factory.mktemp("index") / f"{request.param}.faiss"
    index.save(path)
    return path


def mutated(data: bytes, dice: random.Random) -> bytes:
    """A file with something wrong: bytes, numbers or the length; more often where headers are."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        here = dice.choice((dice.randrange(128), dice.randrange(len(changed)), _near_lists(data, dice)))
        kind = dice.randrange(5)
        if kind == 0:
            changed[here % len(changed)] = dice.randrange(256)
        elif kind == 1:
            changed[here : here + 8] = struct.pack(
                "<q", dice.choice((-1, 0, 1, 2, 63, 700, 2**31, 2**40, 2**62, -(2**63)))
            )
        elif kind == 2:
            changed[here : here + 4] = dice.choice(
                (b"IxFI", b"IwSq", b"IwPQ", b"IxPT", b"IxHN", b"ilod", b"sprs", b"\xff" * 4)
            )
        elif kind == 3:
            del changed[here : here + dice.choice((1, 8, 1000, len(data)))]
        else:
            changed[here:here] = bytes(dice.choice((1, 8, 1000)))
        changed = changed or bytearray(1)
    return bytes(changed)


def _near_lists(data: bytes, dice: random.Random) -> int:
    return max(0, data.rfind(b"ilar") + dice.randrange(-160, 120))


def test_what_is_saved_is_sound_and_is_read(good: Path) -> None:
    assert is_sound(good, ROWS, DIM)
    assert is_sound(good, ROWS + 1, DIM)  # one that lags
    assert not is_sound(good, ROWS - 1, DIM)
    assert not is_sound(good, ROWS, DIM // 2)
    for mapped in (True, False):
        index = read_index(good, VECTORS, "cpu", mapped=mapped)  # type: ignore[arg-type]
        assert index is not None
        assert index.search(QUERIES, 1, nprobe=LISTS)[1][:, 0].tolist() == list(range(5))


def test_lists_of_which_most_are_empty_are_sound(tmp_path: Path) -> None:
    kind = KINDS["ivf-fp16"]
    index = VectorIndex(kind, make(kind, DIM, lambda n: VECTORS[:n].astype(np.float32)), VECTORS[:3])
    index.add([VECTORS[:1], VECTORS[:1], VECTORS[:1]])
    index.save(tmp_path / "few.faiss")
    assert b"sprs" in (tmp_path / "few.faiss").read_bytes()
    assert is_sound(tmp_path / "few.faiss", 3, DIM)


def test_mutated_files_crash_nothing(good: Path, tmp_path: Path) -> None:
    count = int(os.environ.get("FSEARCH_FUZZ", "400"))
    command = [sys.executable, "-c", READING, str(Path(__file__).parent), str(good), "0", str(count)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    read, answered, alive = done.stdout.split()
    assert alive == "alive"
    assert int(read) > count // 20  # most are refused, some are read: those with other vectors
    assert int(answered) > count // 20


def at(data: bytes, mark: bytes, shift: int, layout: str, *values: int) -> bytes:
    """The data with other numbers `shift` bytes behind the last place of `mark`."""
    changed = bytearray(data)
    struct.pack_into(layout, changed, data.rindex(mark) + shift, *values)
    return bytes(changed)


CRAFTED: dict[str, Callable[[bytes], bytes]] = {
    "a list longer than the file": lambda d: at(d, b"full", 12, "<QQ", 2**40, 2**64 - 2**40),
    "more lists than sizes": lambda d: at(d, b"ilar", 4, "<Q", 8),
    "another code size": lambda d: at(d, b"ilar", 12, "<Q", 1),
    "a list number out of range": lambda d: at(at(d, b"full", 0, "<4s", b"sprs"), b"sprs", 4, "<Q", 14),  # type: ignore[arg-type]
    "more centroids than there are": lambda d: at(d, b"IxFI", 8, "<q", 2**40),
    "a quantizer of another kind": lambda d: d.replace(b"IxFI", b"IxPT"),
    "more probes than lists": lambda d: d[:45] + struct.pack("<Q", 2**63) + d[53:] if b"ilar" in d else d,
    "vectors that are not there": lambda d: d[:8] + struct.pack("<q", 2**40) + d[16:],
    "fewer than no vectors": lambda d: d[:8] + struct.pack("<q", -1) + d[16:],
    "another metric": lambda d: d[:33] + struct.pack("<i", 1) + d[37:],
    "bytes behind the end": lambda d: d + b"x",
    "a byte less": lambda d: d[:-1],
    "nothing": lambda d: b"",
    "an index of indexes": lambda d: b"IxMp" * 1000,
}


@pytest.mark.parametrize("name", CRAFTED)
def test_crafted_files_are_refused_before_faiss_reads_them(name: str, good: Path, tmp_path: Path) -> None:
    data = good.read_bytes()
    try:
        changed = CRAFTED[name](data)
    except ValueError:
        pytest.skip("this kind has no lists")
    if changed == data:
        pytest.skip("this kind has no such field")
    path = tmp_path / "crafted.faiss"
    path.write_bytes(changed)
    assert not is_sound(path, ROWS, DIM)
    assert read_index(path, VECTORS) is None  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, ROWS, 2**40, 3])
def test_rows_that_are_not_there_or_twice_are_one_line(number: int, good: Path, tmp_path: Path) -> None:
    if good.stem == "exact":
        pytest.skip("its rows have no numbers")
    data = bytearray(good.read_bytes())
    struct.pack_into("<q", data, len(data) - 8, number)  # the last row of the last list
    path = tmp_path / "rows.faiss"
    path.write_bytes(data)
    for mapped in (True, False):
        index = read_index(path, VECTORS, "cpu", mapped=mapped)  # type: ignore[arg-type]
        assert index is not None
        with pytest.raises(WorkspaceError, match="does not hold each row"):
            index.require_each_row()
        with pytest.raises(WorkspaceError, match="does not hold each row"):
            index.reconstruct(0, ROWS)
        with pytest.raises(WorkspaceError, match="check --repair"):
            index.search(QUERIES, 5, np.arange(ROWS) % 2 == 0)
        if number != 3:
            with pytest.raises(WorkspaceError, match="check --repair"):
                index.search(QUERIES, ROWS)


def test_other_files_than_regular_ones_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.faiss")
    for place in (tmp_path / "pipe.faiss", tmp_path, Path("/dev/zero"), tmp_path / "nowhere"):
        assert not is_sound(place, ROWS, DIM)
        assert read_index(place, VECTORS) is None  # type: ignore[arg-type]


def test_faiss_writes_what_is_taken_for_sound() -> None:
    """Should a FAISS to come write otherwise, this says so, and not that every index is damaged."""
    assert faiss.IndexFlatIP(DIM).metric_type == faiss.METRIC_INNER_PRODUCT == 0
    assert (faiss.ScalarQuantizer.QT_fp16, faiss.ScalarQuantizer.QT_8bit) == (4, 0)
