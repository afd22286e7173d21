"""No part of a workspace is followed through a link, and only files are opened: nothing outside is read or changed."""

from __future__ import annotations

import ast
import os
import shutil
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Planted

import fsearch
from fsearch.indexer.errors import FsearchError, WorkspaceError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.inside import inside, new_file, remove

ROOT = Path(__file__).parents[1]
PACKAGE = sorted(p for part in ("indexer", "diagnoser", "search") for p in (ROOT / part).rglob("*.py"))


@pytest.fixture
def received(fitted: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(fitted, tmp_path / "received.fsearch"))


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder of mine, with things in it that a workspace might name."""
    folder = tmp_path / "mine"
    (folder / "planted").mkdir(parents=True)
    for name in ("planted/thesis.txt", "00000.npy", "99999.npy", "x.npy.part", "file", "models.txt"):
        (folder / name).write_text(f"mine: {name}")
    return folder


def seen(folder: Path) -> dict[str, Any]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


def link_to_folder(root: Path, name: str, outside: Path) -> None:
    remove(root / name)
    (root / name).symlink_to(outside)


def link_to_file(root: Path, name: str, outside: Path) -> None:
    remove(root / name)
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).symlink_to(outside / "file")


def link_to_nothing(root: Path, name: str, outside: Path) -> None:
    remove(root / name)
    (root / name).symlink_to(outside / "new")


FOLDERS = ["models", "vectors", "damaged", "staged", "logs", "models/planted"]
FILES = [
    "writer.lock",
    "writer.pid",
    "catalog.lock",
    "catalog.duckdb",
    "catalog.duckdb.wal",
    "catalog.duckdb.tmp",
    "index.faiss",
    "index.faiss.part",
    "vectors/00000.npy",
    "vectors/00000.npy.part",
    "vectors/00001.npy.part",
    "models/planted/manifest.json",
    "models/planted/members.npy",
    "logs/m.log",
]
LINKS: list[tuple[Callable[[Path, str, Path], None], str]] = [
    *((link_to_folder, name) for name in FOLDERS),
    *((link_to_file, name) for name in FILES),
    *((link_to_nothing, name) for name in ("writer.lock", "catalog.lock", "index.faiss.part", "catalog.duckdb.wal")),
]


def use(root: Path, new: Path) -> list[str]:
    """Everything that opens, writes, locks, renames or deletes; returns what was refused."""
    ws = fsearch.open(root)

    def broken(images: list[Any]) -> Any:
        raise ValueError("a traceback for the log")

    refused = []
    for step in (
        lambda: ws.info(),
        lambda: ws.query("dark skin tone"),
        lambda: ws.losses.add("m", black_box=broken, task="loss", images=new),
        lambda: ws.index(new),
        lambda: ws.check(),
        lambda: ws.check(repair=True),
        lambda: ws.compact(),
        lambda: ws.losses.remove("planted"),
    ):
        try:
            step()
        except FsearchError as error:
            assert "\n" not in str(error)
            refused.append(str(error))
    return refused


@pytest.mark.slow
@pytest.mark.parametrize(("link", "name"), LINKS, ids=lambda v: v if isinstance(v, str) else v.__name__)
def test_no_link_leads_out_of_a_workspace(
    link: Callable[..., None], name: str, received: Path, outside: Path, few: Planted
) -> None:
    before = seen(outside)
    link(received, name, outside)
    if name == "damaged":  # which nobody looks into before there is something to put there
        (received / "vectors" / "00000.npy").write_bytes(b"no shard")
        (received / "index.faiss").unlink()  # from which it would be restored
    refused = use(received, few.folder)
    assert seen(outside) == before
    if not name.endswith(".part"):  # what is there in place of a file under way is deleted, the link alone
        assert any("is a link, and no part of a workspace may be one" in line for line in refused)


def test_links_in_place_of_what_is_deleted_are_refused(received: Path, outside: Path) -> None:
    """The quick ones of the above."""
    before = seen(outside)
    ws = fsearch.open(received)
    for name, steps in {
        "models": [lambda: ws.losses.remove("planted"), lambda: ws.query("dark skin tone")],
        "vectors": [lambda: ws.check(repair=True), lambda: ws.compact()],
        "catalog.duckdb.wal": [lambda: ws.info()],
        "writer.lock": [lambda: ws.compact()],
    }.items():
        kept = received.parent / "kept"
        if (received / name).exists():
            (received / name).rename(kept)
        (received / name).symlink_to(outside if name in ("models", "vectors") else outside / "new")
        for step in steps:
            with pytest.raises(WorkspaceError, match=r"is a link, and no part of a workspace may be one") as caught:
                step()
            assert "\n" not in str(caught.value)
        (received / name).unlink()
        if kept.exists():
            kept.rename(received / name)
    assert seen(outside) == before
    assert ws.check().sound


@pytest.mark.parametrize("name", ["catalog.duckdb", "catalog.lock", "index.faiss", "vectors/00000.npy", "writer.lock"])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(received: Path, name: str) -> None:
    remove(received / name)
    os.mkfifo(received / name)
    ws = fsearch.open(received)
    with pytest.raises(WorkspaceError, match="is neither a file nor a folder"):
        ws.check(repair=True)
    remove(received / name)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(os.path.relpath(received / name))
        with pytest.raises(WorkspaceError, match="is neither a file nor a folder"):
            ws.check(repair=True)


@pytest.mark.parametrize("name", ["index.faiss", "vectors/00000.npy", "models/planted/members.npy"])
def test_a_folder_in_place_of_a_file_is_repaired(received: Path, name: str, planted: Planted) -> None:
    remove(received / name)
    (received / name).mkdir()
    (received / name / "in it").write_text("x")
    ws = fsearch.open(received)
    assert not ws.check().sound
    ws.check(repair=True)
    assert ws.check().sound


def test_a_sparse_file_in_place_of_a_shard_is_not_read_whole(received: Path) -> None:
    os.truncate(received / "vectors" / "00000.npy", 2**40)
    assert "00000.npy: its bytes are not those that were committed" in str(fsearch.open(received).check())


def test_a_workspace_itself_may_be_a_link(received: Path) -> None:
    Path("here").symlink_to(received)
    assert fsearch.open("here").query("dark skin tone").answers


def test_what_is_under_way_beside_a_file_of_mine_goes_through_no_link(outside: Path) -> None:
    before = seen(outside)
    Path("r.csv.part").symlink_to(outside / "file")
    write_atomic(Path("r.csv"), b"rows")
    assert Path("r.csv").read_bytes() == b"rows"
    assert not Path("r.csv").is_symlink()
    Path("n.part").symlink_to(outside / "new")
    new_file(Path("n.part")).close()
    Path("f").symlink_to(outside)
    assert remove(Path("f"))
    assert not remove(Path("f"))
    assert seen(outside) == before
    assert inside(outside, "no", "such") == outside / "no" / "such"


def test_files_are_deleted_in_one_place() -> None:
    """Else a link might be followed on the way: `inside.remove` is asked for a path that `Layout` has checked."""
    for path in PACKAGE:
        if path.name in ("inside.py", "export_images.py") or path.parent.name == "formats":  # exports go where one says
            continue
        called = {n.attr for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Attribute)}
        assert not called & {"unlink", "rmtree", "rmdir", "removedirs", "write_text"} - (
            {"write_text"}
            if path.name in ("open_clip_encoder.py", "text_tower.py", "locks.py", "artifact.py", "lists.py")
            else set()
        ), path
