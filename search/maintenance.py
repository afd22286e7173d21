"""Maintenance of a workspace: integrity check, repair, compaction. What `fsearch check` and `fsearch compact` do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser import artifact as fitted
from fsearch.indexer.embedding.encoder import load_encoder, permitted
from fsearch.indexer.errors import BadInputError, EncoderError, NotReadyError, WorkspaceError
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.workspace import source_registry
from fsearch.indexer.workspace.check import Problem, find_problems
from fsearch.indexer.workspace.compact import CompactReport
from fsearch.indexer.workspace.compact import compact as compact_store
from fsearch.indexer.workspace.repair import repair as repair_store
from fsearch.indexer.workspace.store import Store
from fsearch.indexer.workspace.trust import remember
from fsearch.search.query import measuring_phrases


@dataclass(frozen=True, slots=True)
class Checked:
    """What a check found, and what a repair then did; `left` is what a second check found after it."""

    problems: tuple[Problem, ...]
    done: tuple[str, ...] = ()
    left: tuple[Problem, ...] = ()

    @property
    def sound(self) -> bool:
        """Whether nothing is wrong (any more)."""
        return not (self.left if self.done else self.problems)

    def as_dict(self) -> dict[str, Any]:
        """Ready for JSON."""
        return {"sound": self.sound, **asdict(self)}

    def __str__(self) -> str:
        lines = [str(p) for p in self.problems]
        lines += [f"repaired: {line}" for line in self.done]
        lines += [f"still wrong: {p}" for p in self.left]
        if not self.problems:
            lines.append("all is well")
        elif not self.done:
            lines.append("make it right with: fsearch check --repair")
        return "\n".join(lines)


def check(root: Path, repair: bool, progress: Callable[[int, int], None] | None = None) -> Checked:
    """Check the workspace at `root`, and `repair` it if asked. Raises WorkspaceError where it cannot be opened."""
    store = Store.open(root)
    if not repair:
        return Checked(_problems(store, progress))
    with store.writer(tidy=False):
        problems = _problems(store, progress)
        if not problems:
            return Checked(())
        done = repair_store(store, [p for p in problems if p.part != "fit"], _phrases(store))
        for problem in (p for p in problems if p.part == "fit"):
            for folder in store.layout.fit_folders(Path(problem.where).name):
                remove(folder)
            with store.catalog.write() as con:
                con.execute("DELETE FROM models WHERE model = ?", [Path(problem.where).name])
            done.append(f"{problem.where} was removed; run: fsearch fit --model {Path(problem.where).name}")
        return Checked(problems, tuple(done), _problems(store, progress))


def trust(root: Path) -> tuple[str, ...]:
    """Trust the workspace at `root` with all that it names now; returns that, one line each.

    Raises BadInputError where the trust cannot be recorded.
    """
    store = Store.open(root)
    things = {f"data set  {words}": identity for words, identity in source_registry.identities(store).items()}
    if not store.encoder.is_shipped:
        code = ", which is code" if store.encoder.is_code else ""
        things = {f"encoder   {store.encoder}{code}": store.encoder.identity, **things}
    if not remember(root, things.values()):
        raise BadInputError("the trust cannot be recorded; name a folder that can be written: FSEARCH_CONFIG=FOLDER")
    return tuple(things)


def compact(root: Path) -> CompactReport:
    """Drop what is not used any more from the workspace at `root`. Raises WorkspaceError where it is not sound."""
    store = Store.open(root)
    with store.writer():
        problems = find_problems(store)
        if problems:
            raise WorkspaceError(f"{problems[0]}; first run: fsearch check --repair")
        return compact_store(store, _phrases(store))


def _phrases(store: Store) -> Callable[[], NDArray[np.float32]] | None:
    """Phrases to measure an index with; the encoder loads only if need be, because a small index is exact.

    An encoder that may not be loaded by its stored name is not: then images alone measure.
    """
    try:
        named = permitted(store.encoder, store.layout.root)
    except EncoderError:
        return None
    return measuring_phrases(store, lambda: load_encoder(store.encoder, named=named))


def _problems(store: Store, progress: Callable[[int, int], None] | None) -> tuple[Problem, ...]:
    found = find_problems(store, progress)
    if not any(p.part == "catalog" for p in found):
        found += _fits(store)
    return tuple(found)


def _fits(store: Store) -> Iterator[Problem]:
    with store.catalog.read() as con:
        models = [name for (name,) in con.execute("SELECT model FROM models ORDER BY model").fetchall()]
    for model in models:
        with suppress(NotReadyError):  # none, or an older one: a query says so
            reason = fitted.find_damage(store.layout, model, store.encoder.dim)
            if reason is not None:
                yield Problem("fit", str(store.layout.model(model)), reason)
