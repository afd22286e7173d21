"""Shared parts of the tests: real portraits, the real shipped encoder, real engines. User state stays in tmp_path."""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

if "PYTEST_XDIST_WORKER" in os.environ:  # before numpy and torch are loaded: workers share the cores, one thread each
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings

import fsearch
from fsearch.data.portraits import Portrait, draw, sample
from fsearch.indexer.embedding.encoder import Encoder, identify, load_encoder
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.store import Store
from fsearch.search.workspace import Workspace

COUNT = 320
# No deadline: these machines are slow at times. On CI the examples are always the same.
settings.register_profile("fsearch", deadline=None, derandomize="CI" in os.environ)
settings.load_profile("fsearch")

# Layout of parallel runs (make test). A file's tests stay in one worker, since they share what its fixtures make. Files
# that take minutes come first, so that no worker is left alone with one at the end. Files in one tuple start many
# processes of their own, so they share a worker and never run beside each other.
LONGEST_FIRST = [
    ("test_crash",),
    ("test_resources", "test_cluster"),
    *(
        (name,)
        for name in ("test_fuzz", "test_demo", "test_planted", "test_black_boxes", "test_nearest", "test_stopped")
    ),
]


PLACES = {name: (place, names[0]) for place, names in enumerate(LONGEST_FIRST) for name in names}


def group(nodeid: str) -> tuple[int, str]:
    """The place in the queue of the workers, and the name, of what runs in one worker together with a test."""
    name = Path(nodeid.split("::")[0]).stem
    return PLACES.get(name, (len(LONGEST_FIRST), name))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """One more than there are cores: many tests wait for processes of their own, or for the disk."""
    return (os.cpu_count() or 1) + 1


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Groups by the file of a test: the marks of pytest-xdist 3.8 are without effect on pytest 9.2 (its issue 1386)."""
    from xdist.scheduler import LoadScopeScheduling

    class Groups(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)[1]

    return Groups(config, log)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: group(item.nodeid)[0])


def pytest_report_header() -> str:
    import duckdb
    import faiss
    import torch
    import xgboost

    return ", ".join(f"{m.__name__} {m.__version__}" for m in (torch, faiss, xgboost, duckdb))


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every test runs in an empty folder and sees no workspace of the user's."""
    monkeypatch.delenv("FSEARCH_WORKSPACE", raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session", autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Hashes of files are cached, and trusted workspaces recorded, in temporary folders."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FSEARCH_CONFIG", str(tmp_path_factory.mktemp("config")))
        patch.setenv("FSEARCH_CACHE", str(tmp_path_factory.mktemp("cache")))
        yield


@dataclass(frozen=True)
class Planted:
    """A folder of portraits with losses planted on dark skin, and what is true of each."""

    folder: Path
    losses: Path
    portraits: list[Portrait]
    values: np.ndarray


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    return load_encoder(identify("demo", None), "cpu")


@pytest.fixture(scope="session")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    root = tmp_path_factory.mktemp("planted")
    return make_planted(root, COUNT)


def make_planted(root: Path, count: int) -> Planted:
    folder = root / "images"
    folder.mkdir()
    portraits = sample(count, 77)
    rng = np.random.default_rng(7)
    means = np.array([1.5 if p.skin_tone >= 7 else 0.2 for p in portraits])
    values = rng.gamma(2.0, means / 2)
    with (root / "losses.csv").open("w", newline="") as file:
        out = csv.writer(file)
        out.writerow(["image", "loss", "label", "eyewear", "skin_tone"])
        for i, (p, v) in enumerate(zip(portraits, values, strict=True)):
            draw(p).save(folder / f"{i:03d}.png")
            out.writerow([f"{i:03d}.png", f"{v:.6f}", p.expression, p.eyewear, p.skin_tone])
    return Planted(folder, root / "losses.csv", portraits, values)


@pytest.fixture(scope="session")
def fitted(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace that is indexed and fitted; tests only read it."""
    root = tmp_path_factory.mktemp("workspace") / "planted.fsearch"
    ws = fsearch.open(root)
    ws.index(planted.folder, planted.losses, model="planted")
    ws.fit()
    return root


STORED_BY_ASKING = (
    *("hypotheses", "questions", "runs", "rankings", "evidence", "loss_histograms", "shared_images"),
    *("discoveries", "discovered_images", "comparisons", "changes", "changed_images"),
)


@pytest.fixture(autouse=True)
def as_fitted(request: pytest.FixtureRequest) -> Iterator[None]:
    """What a test asked of a shared workspace is gone after it: runs are numbered, and levels depend on questions."""
    used = [Layout(request.getfixturevalue(name)) for name in {"fitted", "released"} & set(request.fixturenames)]
    before = [layout.generation() for layout in used]
    yield
    for layout in (now for now, then in zip(used, before, strict=True) if now.generation() != then):
        store = Store.open(layout.root)
        with store.writer(), store.catalog.write() as con:
            for table in STORED_BY_ASKING:
                con.execute(f"DELETE FROM {table}")


@pytest.fixture
def ws(fitted: Path) -> Workspace:
    return fsearch.open(fitted)


def own_copy(workspace: Path, root: Path) -> Workspace:
    """A copy of a workspace that others share, at `root`, and trusted: for what a test stores."""
    shutil.copytree(workspace, root)
    ws = fsearch.open(root)
    ws.trust()
    return ws


@pytest.fixture(scope="session")
def released(planted: Planted, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace of two fitted models: `new` is better than `old` on the whole, and worse on very dark skin."""
    folder = tmp_path_factory.mktemp("released")
    ws = fsearch.open(folder / "released.fsearch")
    ws.index(planted.folder, planted.losses, model="old")
    very_dark = np.array([p.skin_tone >= 9 for p in planted.portraits])
    noise = np.random.default_rng(8).uniform(0.85, 1.15, COUNT)
    new = planted.values * noise * np.where(very_dark, 1.0, 0.3) + np.where(very_dark, 0.5, 0.0)
    told = zip(new, planted.portraits, strict=True)
    lines = [f"{i:03d}.png,{loss:.6f},{p.eyewear},{p.skin_tone}" for i, (loss, p) in enumerate(told)]
    (folder / "new.csv").write_text("\n".join(["image,loss,eyewear,skin_tone", *lines]) + "\n")
    ws.losses.add("new", losses=folder / "new.csv")
    for model in ("old", "new"):
        ws.fit(model)
    return ws.root


@pytest.fixture
def few(tmp_path: Path) -> Planted:
    """A small folder of a test's own, to change at will."""
    root = tmp_path / "few"
    root.mkdir()
    return make_planted(root, 60)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """The system's Chromium, to open tabs in; of one module, since Playwright holds the thread's event loop."""
    from tests.support.pages import chromium

    with chromium() as launched:
        yield launched
