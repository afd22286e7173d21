"""A full disk, a folder that may not be written, and many readers beside a writer: one clear line, and nothing lost."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from subprocess import PIPE
from typing import Any

import pytest

import fsearch
from fsearch.indexer.errors import WorkspaceError

CLI = [sys.executable, "-m", "fsearch.cli"]
READER = """
import sys
import fsearch
ws = fsearch.open(sys.argv[1])
seen, commits, queries = 0, 0, 0
while queries < int(sys.argv[2]) or commits < int(sys.argv[3]):
    row = ws.sql(
        "SELECT (SELECT count(*) FROM images) AS images, (SELECT count(DISTINCT row) FROM images) AS used, "
        "(SELECT sum(rows) FROM shards) AS rows, (SELECT count(*) FROM losses) AS losses, "
        "(SELECT count(*) FROM images WHERE sha256 IS NULL OR row IS NULL) AS half"
    ).to_pylist()[0]
    assert row["half"] == 0, row
    assert row["images"] >= seen, row
    assert row["used"] == (row["rows"] or 0), row
    commits += row["images"] > seen
    queries += 1
    seen = row["images"]
print(seen, commits)
"""


def mount(*args: str) -> None:
    """Mount a file system, or skip the test where that may not be."""
    if shutil.which("mount") is None or subprocess.run(["mount", *args], capture_output=True).returncode:
        pytest.skip("no file system may be mounted here")


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    place = tmp_path / "small"
    place.mkdir()
    mount("-t", "tmpfs", "-o", "size=12m", "tmpfs", str(place))
    yield place
    subprocess.run(["umount", str(place)], check=True)


def index(folder: Path, workspace: Path, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*CLI, "index", str(folder), "-w", str(workspace)], capture_output=True, text=True, timeout=300, **options
    )


def one_line(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    assert done.stderr.count("\n") == 1, done.stderr
    assert done.stderr.startswith("fsearch: ")
    return done.stderr


@pytest.mark.slow
def test_a_full_disk_is_one_line_and_the_next_run_finishes(few: Any, small_disk: Path) -> None:
    workspace = small_disk / "w.fsearch"
    filler = small_disk / "filler"
    fsearch.open(workspace).index(fsearch.images(few.folder, limit=20))
    before = fsearch.open(workspace).sql("SELECT key, sha256 FROM images ORDER BY key").to_pylist()
    free = shutil.disk_usage(small_disk).free
    for left in (0, 2_000, 20_000):
        filler.write_bytes(bytes(max(0, free - left)))
        one_line(index(few.folder, workspace))
        assert fsearch.open(workspace).sql("SELECT key, sha256 FROM images ORDER BY key").to_pylist()[:20] == before
        filler.unlink()
    assert index(few.folder, workspace).returncode == 0
    ws = fsearch.open(workspace)
    assert ws.info().images == 60
    assert ws.check().sound


@pytest.mark.slow
@pytest.mark.parametrize("limit", [4_096, 20_000, 600_000])
def test_a_file_that_may_not_grow_is_one_line(limit: int, few: Any, tmp_path: Path) -> None:
    """The same by a limit on the size of files, which needs no rights."""

    def limited() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))

    workspace = tmp_path / "w.fsearch"
    one_line(index(few.folder, workspace, preexec_fn=limited))
    assert index(few.folder, workspace).returncode == 0
    assert fsearch.open(workspace).info().images == 60
    assert fsearch.open(workspace).check().sound


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_one_line(few: Any, tmp_path: Path, fitted: Path) -> None:
    root = tmp_path / "copy.fsearch"
    shutil.copytree(fitted, root)
    for path in [root, *root.rglob("*")]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    assert "ermission" in one_line(index(few.folder, root))
    assert fsearch.open(root).query("dark skin tone")[0].verdict == "fails"  # reading needs no right to write
    for path in [root, *root.rglob("*")]:
        path.chmod(0o755)


@pytest.mark.slow
def test_a_read_only_file_system_can_be_asked_and_says_no_to_writers(few: Any, fitted: Path, tmp_path: Path) -> None:
    place = tmp_path / "fixed"
    place.mkdir()
    mount("--bind", str(fitted), str(place))
    try:
        subprocess.run(["mount", "-o", "remount,ro,bind", str(place)], check=True)
        assert "ead-only file system" in one_line(index(few.folder, place))
        assert fsearch.open(place).query("dark skin tone")[0].verdict == "fails"
        assert fsearch.open(place).check().sound
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.mark.slow
def test_eight_readers_of_a_thousand_queries_see_only_whole_commits(few: Any, tmp_path: Path) -> None:
    """A thousand in all, beside commits that each of the readers sees: a query between no two commits tells nothing."""
    workspace, new = tmp_path / "w.fsearch", 12
    fsearch.open(workspace).index(fsearch.images(few.folder, limit=10))
    command = [sys.executable, "-c", READER, str(workspace), "125", str(new)]
    readers = [subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True) for _ in range(8)]
    ws = fsearch.open(workspace)
    rounds = 0
    while any(r.poll() is None for r in readers):
        rounds += 1
        for path in sorted(few.folder.iterdir())[:6]:
            (few.folder / f"{rounds}-{path.name}").write_bytes(path.read_bytes() + rounds.to_bytes(4, "big"))
        ws.index(few.folder)
    for reader in readers:
        out, err = reader.communicate()
        assert reader.returncode == 0, err
        images, commits = map(int, out.split())
        assert commits >= new
        assert images >= 10 + new - 1  # the first that it saw, and one or more with each
    assert rounds > 1
    assert ws.check().sound


def test_a_second_writer_is_told_who_holds_the_workspace(fitted: Path, tmp_path: Path) -> None:
    root = shutil.copytree(fitted, tmp_path / "copy.fsearch")
    from fsearch.indexer.workspace.store import Store

    store = Store.open(Path(root))
    with store.writer(), pytest.raises(WorkspaceError, match=f"is being written by process {os.getpid()}"):
        fsearch.open(root).compact()
