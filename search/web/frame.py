"""What every page stands on: the workspace as it is now, read once for each state of it, and the frame of a page."""

from __future__ import annotations

import shlex
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.catalog import Catalog
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Ranking
from fsearch.search.runs import HIDDEN
from fsearch.search.stored_ranking import latest_run, stored_ranking
from fsearch.search.web.judged import Judged
from fsearch.search.web.map import ImageMap
from fsearch.search.web.moved import Sides
from fsearch.search.web.overview import Overview
from fsearch.search.web.plots import bars
from fsearch.search.web.work import Jobs
from fsearch.search.workspace import Workspace

STRIP = 16  # images of a strip
PAST = 20  # questions that are offered again
_KEPT = 4  # stored runs held in memory
_RUNS = (
    "SELECT run_id, created_at, source, count(*) AS phrases, count(*) FILTER (verdict = 'fails') AS fails "
    f"FROM runs JOIN rankings USING (run_id) WHERE model = ? AND NOT {HIDDEN} GROUP BY ALL "
    "ORDER BY run_id DESC LIMIT 100"
)
_PAST = (
    "SELECT hypothesis, condition FROM questions WHERE model = ? AND within = '' GROUP BY ALL "
    f"ORDER BY max(asked_at) DESC, max(number) DESC LIMIT {PAST}"
)
_LAST_ASKED = "SELECT model FROM runs WHERE list_contains(?::VARCHAR[], model) ORDER BY run_id DESC LIMIT 1"


BARE: dict[str, Any] = {  # the frame of a page that says nothing of a workspace
    "about": None,
    "others": (),
    "runs": (),
    "compared": 0,
    "phrases": (),
    "past": (),
    "version": fsearch.__version__,
    "question": "",
    "where": "",
    "notes": (),
    "run_id": None,
    "chosen": None,
    "votes": None,
    "command": None,
    "bars": bars,
    "lazy": True,
    "images": STRIP,
}


class Reading:
    """What was read of a workspace in one state of it: nothing is read twice until something is committed."""

    def __init__(self, store: Store) -> None:
        self.store, self.reader, self.models = store, ImageReader(store), store.models()
        self.rankings: dict[int, Ranking] = {}
        self.frames: dict[str, dict[str, Any]] = {}
        self.maps: dict[str, ImageMap] = {}
        self.sides: dict[tuple[str, str, bool, str | None], Sides] = {}

    def ranking(self, run_id: int | None) -> Ranking:
        """A stored run, the last by default; a few are kept."""
        number = latest_run(self.store) if run_id is None else run_id
        if number not in self.rankings:
            found = stored_ranking(self.store, self.reader, number)
            self.rankings = dict([*self.rankings.items(), (number, found)][-_KEPT:])
            return found
        return self.rankings[number]


@dataclass
class Frame:
    """The workspace behind the pages. `program` is how the user calls fsearch, for commands to copy.

    `gates` are the last that were judged, by number; `asked` is what was asked, with its condition, the last first.
    """

    workspace: Workspace
    model: str | None
    program: str = "fsearch"
    jobs: Jobs = field(default_factory=Jobs)
    gates: dict[int, Judged] = field(default_factory=dict)
    asked: tuple[tuple[str, str], ...] = ()
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _state: tuple[tuple[int, ...], Reading] | None = None

    def _now(self) -> Reading:
        """The workspace as it is now."""
        state, now = self._state, Layout(self.workspace.root).generation()
        if state is None or state[0] != now:
            state = self._state = now, Reading(Store.open(self.workspace.root))
        return state[1]

    def at_once(self) -> AbstractContextManager[None]:
        """What is read within is read by one connection: opening one takes longer than most reads."""
        return Catalog(Layout(self.workspace.root)).shared()

    def store(self) -> Store:
        """The workspace as it is now."""
        return self._now().store

    def name(self) -> str:
        """The black box that the pages are about: the one that was named, the only one, or that of the last run."""
        read = self._now()
        if self.model is None and len(read.models) > 1:
            last = read.store.catalog.sql(_LAST_ASKED, [read.models])["model"].to_pylist()
            return str(last[0]) if last else read.models[0]
        return read.store.only_model(self.model)

    def model_option(self) -> tuple[str, ...]:
        """What a command must say of the black box where there are several."""
        return ("--model", self.name()) if len(self._now().models) > 1 else ()

    def frame(self, model: str | None = None) -> dict[str, Any]:
        """What every page shows."""
        read = self._now()
        name = model or self.name()
        if name not in read.frames:
            read.frames[name] = self._frame(read.store, name)
        found = dict(read.frames[name])
        here = {(text.lower(), where) for text, where in self.asked}
        return found | {"past": [*self.asked, *(past for past in found["past"] if past not in here)][:PAST]}

    def remember(self, text: str, where: str) -> None:
        """Keep what was asked, to be offered again; the catalog keeps what was tested, phrase by phrase."""
        now = " ".join(text.split()), where
        self.asked = (now, *(past for past in self.asked if past != now))[:PAST]

    def _frame(self, store: Store, name: str) -> dict[str, Any]:
        runs = store.catalog.sql(_RUNS, [name])
        phrases = store.catalog.sql("SELECT DISTINCT text FROM hypotheses ORDER BY text LIMIT 500")["text"].to_pylist()
        return BARE | {
            "about": Overview.of(store, name),
            "others": [other for other in store.models() if other != name],
            "runs": runs.to_pylist(),
            "compared": store.catalog.sql("SELECT count(*) AS n FROM comparisons")["n"][0].as_py(),
            "phrases": phrases,
            "past": [(row["hypothesis"], row["condition"]) for row in store.catalog.sql(_PAST, [name]).to_pylist()],
        }

    def picture(self, image_id: int, side: int | None) -> bytes:
        """An image as WebP, small or whole. Raises RejectedImageError; BadInputError where there is none."""
        read = self._now()
        rows = read.store.catalog.sql("SELECT source, key FROM images WHERE image_id = ?", [image_id]).to_pylist()
        if not rows:
            raise BadInputError(f"no image {image_id}")
        return read.reader.thumbnail(rows[0]["source"], rows[0]["key"], side or 2_048)

    def command(self, *words: object) -> str:
        """The command that gives the same."""
        here = () if str(self.workspace.root) == ".fsearch" else ("-w", str(self.workspace.root))
        return shlex.join([self.program, *map(str, words), *here])
