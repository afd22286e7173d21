"""Kill the process at random and at named points, again and again, and count what is lost: make bench-crash.

A folder of small portraits changes (files added, changed, renamed, removed), and is indexed, given losses by a black
box, compacted, or migrated from an older schema, each in a process of its own that is ended by SIGKILL. After each kill
another process opens the workspace and checks: all that was reported as committed is there, once, under the identity it
had; every vector equals a fresh embedding of the image's content; catalog, shards and index agree; losses of unchanged
images stand. At the end of each round an undisturbed run must bring the folder and the workspace to the same content.

Processes are forked from one that has the real encoder loaded, so that a kill costs half a second. One thread each.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # a forked process must not inherit a pool of threads

import argparse
import hashlib
import importlib
import io
import json
import random
import select
import signal
import sys
import tarfile
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import faiss
import numpy as np
import torch

import fsearch
from fsearch.data.portraits import draw, sample
from fsearch.diagnoser import artifact
from fsearch.diagnoser import fit as fits
from fsearch.diagnoser.diagnosis import MIN_FIT_IMAGES
from fsearch.indexer.embedding import writer as commit
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.indexer.embedding.encoder import identify, load_encoder
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.losses.blackbox import runner as black_box_run
from fsearch.indexer.losses.blackbox.function import Function
from fsearch.indexer.losses.loss_spec import LossSpec
from fsearch.indexer.sources.decode import formats
from fsearch.indexer.storage.schema import migrations
from fsearch.indexer.vector_index import index as nearest
from fsearch.indexer.workspace import compact
from fsearch.indexer.workspace.check import find_problems
from fsearch.indexer.workspace.source_registry import reopen
from fsearch.indexer.workspace.store import Store
from fsearch.search import runs

for name in (  # what each child would else import anew
    *("scipy.sparse.csgraph", "xgboost.sklearn", "fsearch.indexer.embedding.pipeline"),
    *("fsearch.search.maintenance", "fsearch.search.query", "fsearch.search.workspace"),
):
    importlib.import_module(name)
SIZES = BatchSizes(batch=4, shard_rows=4)
POOL, AT_ONCE, LONGEST = 90, 64, 0.3
LONG = {"fit": 4.0, "rank": 2.0}  # seconds until a kill at random comes, at most, where a run takes longer
POINTS = ("random", "after a shard", "before a commit", "after a commit", "in the index", "after the index")
OF_FITS = ("random", "after an array", "while folders change places", "before a commit")
PHRASES = ["dark skin tone", "a hat", "bald"]
OLD_WORKSPACE = Path(__file__).parents[1] / "tests" / "data" / "workspace-0.1.0.tar.xz"
TOLERANCE = 2e-3  # half-precision rounding of a unit vector, between batches of different sizes


class Lost(Exception):
    """Something that was committed is not there, or is not what it was."""


class World:
    """A folder, its workspace, and what is known to have been committed."""

    def __init__(self, root: Path, rng: random.Random, kills: int) -> None:
        self.folder, self.workspace, self.rng = root / "images", root / "w.fsearch", rng
        self.folder.mkdir(parents=True)
        self.kills, self.left = Counter[str](), kills
        torch.set_num_threads(1)
        self.encoder = load_encoder(identify("demo", None), "cpu")
        formats()  # so that no child loads each decoder
        images = [draw(p) for p in sample(POOL, 5)]
        self.pool = [_png(image) for image in images]
        self.means = dict(zip(map(_sha, self.pool), _loss(images), strict=True))
        self.truth = dict(zip(map(_sha, self.pool), self.in_child(lambda: self._embed(images)), strict=True))
        self.committed: dict[str, tuple[int, str]] = {}  # key: identity and hash, as last seen
        self.losses: dict[str, tuple[str, float]] = {}  # identity: hash and loss, as last seen
        self.fits, self.runs = False, 0  # whether there was a fit, and how many rankings were stored
        for number in range(AT_ONCE):
            (self.folder / f"{number:03d}.png").write_bytes(self.pool[number])

    def _embed(self, images: list[Any]) -> list[list[float]]:
        return self.encoder.embed_images([self.encoder.prepare(i) for i in images]).tolist()

    def in_child(self, work: Callable[[], Any], killed_after: float | None = None) -> Any:
        """What `work` gives, done in a process of its own; a list of lines it reported, where it is killed."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(reader)
            with os.fdopen(writer, "w") as out:
                self.report = lambda said: (out.write(json.dumps(said) + "\n"), out.flush())
                try:
                    out.write(json.dumps(["done", work()]) + "\n")
                except BaseException as error:
                    out.write(json.dumps(["failed", f"{type(error).__name__}: {error}"]) + "\n")
            os._exit(0)
        os.close(writer)
        if killed_after is not None:
            ended = select.poll()
            ended.register(reader, 0)  # nothing but that its other end is closed, which the end of the child does
            ended.poll(1000 * killed_after)
            os.kill(child, signal.SIGKILL)
        with os.fdopen(reader) as said:
            lines = [json.loads(line) for line in said if line.endswith("\n")]
        os.waitpid(child, 0)
        for line in lines:
            if line[0] == "failed":
                raise Lost(line[1])
            if line[0] == "done":
                return line[1]
        return lines

    def change_files(self) -> None:
        """Add, change, rename and remove a few files."""
        for _ in range(self.rng.randrange(8, 24)):
            files = sorted(self.folder.iterdir())
            path, data = self.rng.choice(files), self.rng.choice(self.pool)
            what = self.rng.choice(("add", "change", "rename", "remove"))
            fresh = self.folder / f"{self.rng.randrange(10**6):06d}.png"
            if what == "add" or len(files) < AT_ONCE // 2:
                fresh.write_bytes(data)
            elif what == "change":
                path.write_bytes(data)
            elif what == "rename":
                path.rename(fresh)
            else:
                path.unlink()

    def index(self) -> str:
        """The index run, reporting each commit."""
        ws = fsearch.open(self.workspace)
        ws._session.keep(self.encoder)
        flush = commit.BatchWriter.flush

        def reporting(self_: commit.BatchWriter) -> None:
            rows = [(r["key"], r["image_id"], r["sha256"]) for r in self_._rows]
            flush(self_)
            self.report(["committed", rows])

        commit.BatchWriter.flush = reporting  # type: ignore[method-assign]
        return str(ws.index(self.folder, sizes=SIZES))

    def judge(self) -> str:
        """Losses from a black box, which depend on the pixels only."""
        store, limits = Store.open(self.workspace), black_box_run.RunLimits(flush_rows=4)
        with store.writer():
            box, spec = Function(_loss), LossSpec("loss")
            return str(black_box_run.run_black_box(store, "m", box, spec, reopen(store), limits=limits))

    def compacted(self) -> str:
        """Missing images dropped, and shards written anew."""
        return str(fsearch.open(self.workspace).compact())

    def fitted(self) -> str:
        """The ensemble of the losses."""
        return str(fsearch.open(self.workspace).fit("m"))

    def ranked(self) -> str:
        """A ranking, stored."""
        ws = fsearch.open(self.workspace)
        ws._session.keep(self.encoder)
        return str(ws.rank(PHRASES, model="m").run_id)

    def migrated(self) -> str:
        """Opened, and so migrated, if `aged` made it old."""
        return str(fsearch.open(self.workspace).info().images)

    def aged(self) -> None:
        """The workspace as version 0.1.0 would have it: the tables of one that it made, and of each row what fits."""
        new, old = self.workspace / "catalog.duckdb", self.workspace / "old.duckdb"
        with tarfile.open(OLD_WORKSPACE) as archive:
            packed = archive.extractfile("catalog.duckdb")
            assert packed is not None
            old.write_bytes(packed.read())
        with duckdb.connect(str(old)) as con:
            con.execute(f"ATTACH '{new}' AS new (READ_ONLY)")
            query = "SELECT table_name, column_name FROM duckdb_columns() WHERE database_name = ? AND NOT internal"
            there = set(con.execute(query, ["new"]).fetchall())
            here = con.execute(query, ["old"]).fetchall()
            for (table,) in con.execute(
                "SELECT table_name FROM duckdb_tables() WHERE database_name = 'old'"
            ).fetchall():
                shared = ", ".join(f'"{column}"' for t, column in here if t == table and (t, column) in there)
                con.execute(f"DELETE FROM {table}")
                con.execute(f"INSERT OR IGNORE INTO {table} BY NAME SELECT {shared} FROM new.{table}")
            con.execute("DELETE FROM settings WHERE name = 'fsearch_version'")
            con.execute("UPDATE settings SET value = '1' WHERE name = 'schema_version'")
        old.replace(new)

    def killed(self, name: str, work: Callable[[], Any]) -> bool:
        """Run `work` and kill it at a point drawn at random; whether it had ended before that."""
        point = self.rng.choice(OF_FITS if name in LONG else POINTS)
        after = self.rng.uniform(0, LONG.get(name, LONGEST)) if point == "random" else None
        count = self.rng.choice((1, 1, 2, 3))

        def armed() -> Any:
            _arm(point, count)
            return work()

        said = self.in_child(armed, after)
        ended = isinstance(said, str)
        if not ended:
            self.kills[f"{name}, {point}"] += 1
            self.left -= 1
            for line in said:
                for key, image_id, sha in line[1]:
                    self.committed[key] = (image_id, sha)
        self.verify()
        return ended

    def verify(self) -> None:
        """Open the workspace as its next user does, and compare it with all that is known of it."""
        if (self.workspace / "catalog.duckdb").exists():
            found = self.in_child(self._contents)
            self._compare(found["images"])
            hashes = {str(image_id): sha for _, image_id, sha, _, status in found["images"] if status == "present"}
            for image_id, (sha, loss) in self.losses.items():
                if hashes.get(image_id) == sha and found["losses"].get(image_id) != loss:
                    raise Lost(f"the loss of image {image_id} was {loss}, is {found['losses'].get(image_id)}")
            if self.fits and found["fit"] is not None:
                raise Lost(f"the fit: {found['fit']}")
            if len(found["runs"]) < self.runs or set(found["runs"]) - {len(PHRASES)}:
                raise Lost(f"{self.runs} rankings were stored of {len(PHRASES)} phrases; there are {found['runs']}")
            self.fits, self.runs = self.fits or found["fit"] is None, len(found["runs"])
            self.committed = {key: (i, sha) for key, i, sha, _, status in found["images"] if status == "present"}
            self.losses = {i: (hashes[i], loss) for i, loss in found["losses"].items() if i in hashes}
        elif self.committed:
            raise Lost("the workspace is gone")

    def _contents(self) -> dict[str, Any]:
        ws = fsearch.open(self.workspace)
        store = Store.open(self.workspace)
        with store.writer():
            problems = find_problems(store)
            store.sync_index()
        if problems:
            raise Lost("; ".join(map(str, problems)))
        held = store.vectors()[:].astype(float)
        rows = ws.sql("SELECT key, image_id, sha256, row, status FROM images").to_pylist()
        losses = ws.sql("SELECT image_id, loss FROM losses").to_pylist()
        runs = ws.sql("SELECT count(r.rank) AS n FROM runs LEFT JOIN rankings r USING (run_id) GROUP BY run_id")
        try:
            fit = artifact.find_damage(store.layout, "m", store.encoder.dim)
        except NotReadyError as error:
            fit = str(error)
        return {
            "fit": fit,
            "runs": runs["n"].to_pylist(),
            "images": [(r["key"], r["image_id"], r["sha256"], held[r["row"]].tolist(), r["status"]) for r in rows],
            "losses": {str(r["image_id"]): r["loss"] for r in losses},
        }

    def _compare(self, images: list[Any]) -> None:
        keys = Counter(key for key, *_ in images)
        if max(keys.values(), default=0) > 1:
            raise Lost(f"{keys.most_common(1)[0][0]} is there twice")
        there = {key: (image_id, sha) for key, image_id, sha, _, _ in images}
        files = {p.name: _sha(p.read_bytes()) for p in self.folder.iterdir()}
        for key, known in self.committed.items():
            if files.get(key) == known[1] and there.get(key) != known:  # unchanged since, so it must stand
                raise Lost(f"{key} was committed as {known}, is {there.get(key)}")
        for key, _, sha, vector, _ in images:
            if np.abs(np.array(vector) - self.truth[sha]).max() > TOLERANCE:
                raise Lost(f"the vector of {key} is not that of its content")

    def round(self) -> None:
        """Change the folder, kill what follows some times, then let it end and compare with the folder."""
        if self.committed:
            self.change_files()
        for name, work in self._steps():
            if name == "migration":
                self.in_child(self.aged)
            if name == "migration":  # no promise is that the rankings of another schema stand to the row
                self.runs = 0
            for _ in range(self.rng.randrange(2, 9)):
                self.fits = self.fits and name not in ("compact", "migration")  # after either, models are fitted again
                if self.left <= 0 or self.killed(name, work):
                    break
            self.fits = self.fits and name not in ("compact", "migration")
            self.in_child(work)
            self.verify()
        self._compare_with_folder()

    def _steps(self) -> list[tuple[str, Callable[[], str]]]:
        """What a round does, in order."""
        steps = [("index", self.index), ("losses", self.judge)]
        if self.rng.random() < 0.4:
            steps.append(("compact", self.compacted))
        contents = {_sha(path.read_bytes()) for path in self.folder.iterdir()}  # images of the same bytes are one
        if self.rng.random() < 0.4 and len(contents) >= MIN_FIT_IMAGES:
            steps[2:2] = [("fit", self.fitted), ("rank", self.ranked)]
        if self.rng.random() < 0.3:
            steps.append(("migration", self.migrated))
        return steps

    def _compare_with_folder(self) -> None:
        files = {p.name: _sha(p.read_bytes()) for p in self.folder.iterdir()}
        if {key: sha for key, (_, sha) in self.committed.items()} != files:
            raise Lost("after an undisturbed run the workspace is not what the folder is")
        expected = {str(i): (sha, self.means[sha]) for i, sha in self.committed.values()}
        if any(self.losses.get(i) != loss for i, loss in expected.items()):
            raise Lost("after an undisturbed run losses are missing or wrong")


class _Fuse:
    """Kills this process the `left`-th time that it burns."""

    def __init__(self, left: int) -> None:
        self.left = left

    def burn(self) -> None:
        self.left -= 1
        if self.left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    def after(self, module: Any, name: str) -> None:
        """Burn each time that a function has done its work."""
        original = getattr(module, name)

        def wrapped(*args: Any, **kwargs: Any) -> Any:
            result = original(*args, **kwargs)
            self.burn()
            return result

        setattr(module, name, wrapped)


def _arm(point: str, count: int) -> None:
    """Let this process kill itself the `count`-th time that it comes to a point."""
    fuse = _Fuse(1 if "index" in point else count)
    if point == "after a shard":
        fuse.after(commit, "write_shard")
        fuse.after(compact, "write_shard")
    elif point == "before a commit":
        fuse.after(commit, "insert")
        fuse.after(compact, "insert")
        fuse.after(fits, "insert")
        fuse.after(runs, "insert")
        migrations.MIGRATIONS = {k: _then(m, fuse.burn) for k, m in migrations.MIGRATIONS.items()}
    elif point == "after a commit":
        fuse.after(commit.BatchWriter, "flush")
        fuse.after(black_box_run.LossStaging, "flush")
    elif point == "after an array":
        fuse.after(artifact, "file_sha256")
    elif point == "while folders change places":
        fuse.after(artifact, "remove")
    elif point == "in the index":
        write = faiss.write_index

        def half(index: Any, path: str) -> None:
            write(index, path)
            os.truncate(path, os.path.getsize(path) // 2)
            fuse.burn()

        nearest.faiss.write_index = half
    elif point == "after the index":
        fuse.after(nearest.VectorIndex, "save")


def _then(migration: Callable[[Any], None], die: Callable[[], None]) -> Callable[[Any], None]:
    def wrapped(con: Any) -> None:
        migration(con)
        die()

    return wrapped


def _loss(images: list[Any]) -> list[float]:
    return [float(np.asarray(i, np.float64).mean()) for i in images]


def _png(image: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    lost, began, kills, seed = 0, time.monotonic(), Counter[str](), options.seed
    while kills.total() < options.kills:
        with tempfile.TemporaryDirectory() as root:
            world = World(Path(root), random.Random(seed), options.kills - kills.total())
            try:
                for _ in range(20):
                    if world.left > 0:
                        world.round()
            except Lost as error:
                lost += 1
                print(f"  LOST (seed {seed}): {error}", flush=True)
            kills += world.kills
            seed += 1
    print(f"crash: {kills.total()} kills in {time.monotonic() - began:.0f} s, {lost} losses")
    for point, count in sorted(kills.items()):
        print(f"  {count:5d}  {point}")
    sys.exit(1 if lost else 0)


if __name__ == "__main__":
    main()
