"""What each page shows, as values for the templates. Knows nothing of HTTP; one `Views` serves many threads."""

from __future__ import annotations

import shlex
import threading
from dataclasses import dataclass, field
from typing import Any

import fsearch
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.layout import Layout
from fsearch.indexer.storage.sql import quoted
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answers, Ranking
from fsearch.search.hypotheses import contrasted, versus
from fsearch.search.neighbour import Neighbour
from fsearch.search.options import Progress
from fsearch.search.runs import HIDDEN
from fsearch.search.stored_ranking import latest_run, stored_ranking
from fsearch.search.votes import vote, votes_on
from fsearch.search.web.map import ImageMap
from fsearch.search.web.overview import Making, Overview, Summary, explained_by
from fsearch.search.web.plots import Axis, bars
from fsearch.search.web.work import Job, Jobs
from fsearch.search.workspace import Workspace

STRIP = 16  # images of a strip
PAGE = 60  # images of a grid
MAX_PHRASES = 2_000  # of one pasted file
MAX_ROWS = 1_000  # of an SQL answer that is shown
_KEPT = 4  # stored runs held in memory
_FOLDED = (Verdict.UNSEEN, Verdict.UNCLEAR)
_WORST = (
    "SELECT x.image_id, x.key, x.loss, x.label, x.prediction FROM examples x WHERE x.model = ? "
    "ORDER BY x.loss DESC, x.image_id LIMIT ? OFFSET ?"
)


class _Read:
    """What was read of a workspace in one state of it: nothing is read twice until something is committed."""

    def __init__(self, store: Store) -> None:
        self.store, self.reader = store, ImageReader(store)
        self.rankings: dict[int, Ranking] = {}
        self.frames: dict[str, dict[str, Any]] = {}
        self.maps: dict[str, ImageMap] = {}

    def ranking(self, run_id: int | None) -> Ranking:
        """A stored run, the last by default; a few are kept."""
        number = latest_run(self.store) if run_id is None else run_id
        if number not in self.rankings:
            found = stored_ranking(self.store, self.reader, number)
            self.rankings = dict([*self.rankings.items(), (number, found)][-_KEPT:])
            return found
        return self.rankings[number]


@dataclass(slots=True)
class Views:
    """The pages of one workspace. `program` is how the user calls fsearch, for commands to copy."""

    workspace: Workspace
    model: str | None
    program: str = "fsearch"
    jobs: Jobs = field(default_factory=Jobs)
    _asking: threading.Lock = field(default_factory=threading.Lock)
    _state: tuple[tuple[int, ...], _Read] | None = None

    def _now(self) -> _Read:
        """The workspace as it is now."""
        state, now = self._state, Layout(self.workspace.root).generation()
        if state is None or state[0] != now:
            state = self._state = now, _Read(Store.open(self.workspace.root))
        return state[1]

    def store(self) -> Store:
        """The workspace as it is now."""
        return self._now().store

    def run(self, run_id: int | None, rank: int | None) -> dict[str, Any]:
        """A stored run with one of its phrases chosen; the worst one by default."""
        ranking = self._now().ranking(run_id)
        number = ranking.run_id
        chosen = 1 if rank is None else rank
        if not 1 <= chosen <= len(ranking.answers) + len(ranking.hidden):
            raise BadInputError(f"run {number} has no rank {chosen}")
        command = self.command("report", number, "-o", "report.html")
        values = self._ranked(ranking, chosen, command)
        return values | {"run_id": number, "created_at": ranking.created_at, "correction": ranking.correction}

    def ask(self, text: str, where: str | None, rank: int | None) -> dict[str, Any]:
        """Answers to what was asked in the box: phrases apart by ';', two contrasted by 'vs'."""
        phrases = [part.strip() for part in text.split(";") if part.strip()]
        if not phrases or len(phrases) > MAX_PHRASES:
            raise BadInputError(f"ask one phrase, or up to {MAX_PHRASES:,} apart by ';'")
        words = [word for phrase in phrases for word in versus(phrase)]
        with self._asking:
            asked = self.workspace.query(*contrasted(words), model=self.model, where=where or None, top=STRIP)
        chosen = 1 if rank is None else min(max(1, rank), len(asked.answers) + len(asked.hidden))
        more = ("--where", where) if where else ()
        command = self.command("query", *words, *more)
        values = self._ranked(asked, chosen, command)
        return values | {"question": text, "where": where or "", "notes": asked.notes, "correction": asked.correction}

    def rank(self, text: str) -> Job:
        """Begin to rank phrases, one a line, as a stored run."""
        phrases = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
        if not 1 <= len(phrases) <= MAX_PHRASES:
            raise BadInputError(f"give phrases, one a line, {MAX_PHRASES:,} at most")

        def work(progress: Progress) -> int:
            with self._asking:
                return self.workspace.rank(phrases, model=self.model, top=STRIP, progress=progress).run_id

        return self.jobs.start(work)

    def work(self, number: int) -> dict[str, Any]:
        """How far a piece of work is."""
        return self.frame() | {"job": self.jobs[number]}

    def vote(self, text: str, image: str, shows: str) -> None:
        """Store whether an image shows a phrase: "yes", "no", or "" to take it back."""
        said = {"yes": True, "no": False, "": None}
        if shows not in said or not image.isdigit() or len(image) > 18:
            raise BadInputError("a vote names an image by its number, and says yes, no or nothing")
        with self._asking:
            vote(self.store(), text, int(image), said[shows])

    def _ranked(self, found: Ranking | Answers, chosen: int, command: str) -> dict[str, Any]:
        answers, every = found.answers, (*found.answers, *found.hidden)
        ranked = [(rank, a) for rank, a in enumerate(answers, start=1) if a.wording_of is None]
        by = {rank: cause for rank, a in ranked if a.verdict == Verdict.FAILS and (cause := explained_by(a))}
        judged = [a for _, a in ranked if a.verdict not in _FOLDED]
        return self.frame(found.model) | {
            "summary": Summary.of([a for _, a in ranked]),
            "rows": [(rank, a) for rank, a in ranked if a.verdict not in _FOLDED and rank not in by],
            "apart": [(rank, a, by[rank]) for rank, a in ranked if rank in by],
            "unclear": [(rank, a) for rank, a in ranked if a.verdict == Verdict.UNCLEAR],
            "unseen": [(rank, a) for rank, a in ranked if a.verdict == Verdict.UNSEEN],
            "axis": Axis.of(judged or answers),
            "hidden": list(enumerate(found.hidden, start=len(answers) + 1)),
            "hidden_axis": Axis.of(found.hidden),
            "answer": every[chosen - 1],
            "votes": votes_on(self.store(), every[chosen - 1].text),
            "chosen": chosen,
            "count": len(every),
            "command": command,
        }

    def frame(self, model: str | None = None) -> dict[str, Any]:
        """What every page shows."""
        read = self._now()
        name = model or read.store.only_model(self.model)
        if name not in read.frames:
            read.frames[name] = self._frame(read.store, name)
        return dict(read.frames[name])

    def _frame(self, store: Store, name: str) -> dict[str, Any]:
        runs = store.catalog.sql(
            "SELECT run_id, created_at, source, count(*) AS phrases, count(*) FILTER (verdict = 'fails') AS fails "
            f"FROM runs JOIN rankings USING (run_id) WHERE model = ? AND NOT {HIDDEN} GROUP BY ALL "
            "ORDER BY run_id DESC LIMIT 100",
            [name],
        )
        phrases = store.catalog.sql("SELECT DISTINCT text FROM hypotheses ORDER BY text LIMIT 500")["text"].to_pylist()
        return {
            "about": Overview.of(store, name),
            "runs": runs.to_pylist(),
            "phrases": phrases,
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

    def worst(self, page: int) -> dict[str, Any]:
        """A page of the images with the highest losses."""
        store = self.store()
        name = store.only_model(self.model)
        rows = store.catalog.sql(_WORST, [name, PAGE + 1, PAGE * page]).to_pylist()
        images = [
            Neighbour(r["key"], r["image_id"], 0.0, r["loss"], None, r["label"], r["prediction"]) for r in rows[:PAGE]
        ]
        command = self.command("sql", f"SELECT * FROM worst_images LIMIT {PAGE} OFFSET {PAGE * page}")
        rejected = store.catalog.sql("SELECT key, reason FROM rejected ORDER BY key LIMIT 200").to_pylist()
        more = {"images_shown": images, "page": page, "more": len(rows) > PAGE, "command": command}
        return self.frame(name) | more | {"rejected": rejected}

    def sql(self, statement: str) -> dict[str, Any]:
        """The rows of one SELECT, or why there are none, and the schema beside it."""
        values: dict[str, Any] = {"statement": statement, "rows": None, "columns": (), "error": None, "cut": False}
        store = self.store()
        if statement.strip():
            try:
                found = store.catalog.sql(statement)
                values |= {"columns": found.column_names, "cut": found.num_rows > MAX_ROWS}
                values["rows"] = list(zip(*(c.to_pylist() for c in found.slice(0, MAX_ROWS).columns), strict=True))
            except BadInputError as error:
                values["error"] = str(error)
        schema = store.catalog.sql(
            "SELECT table_name, list(column_name ORDER BY column_index) AS columns FROM duckdb_columns() "
            "WHERE NOT internal GROUP BY 1 ORDER BY 1"
        ).to_pylist()
        command = self.command("sql", statement or "SELECT …")
        return self.frame() | values | {"schema": schema, "command": command}

    def made(self, run_id: int | None) -> dict[str, Any]:
        """How a run was made."""
        ranking = self._now().ranking(run_id)
        command = self.command("runs", "show", ranking.run_id)
        making = Making.of(self.store(), ranking)
        return self.frame(ranking.model) | {"making": making, "run_id": ranking.run_id, "command": command}

    def map(self) -> ImageMap:
        """The map of the images."""
        read = self._now()
        name = read.store.only_model(self.model)
        return read.maps.setdefault(name, ImageMap(read.store, name))

    def map_page(self, column: str, text: str, area: str) -> dict[str, Any]:
        """The map, coloured by a column, with what a selection holds."""
        asked = f"SELECT * FROM examples ORDER BY {quoted(column)}"
        return self.frame() | self.map().page(column, text, area) | {"command": self.command("sql", asked)}

    def selection(self, area: str) -> dict[str, Any]:
        """What a selection on the map holds."""
        return self.frame() | {"selected": self.map().selection(area)}

    def compare(self, before: int, after: int) -> dict[str, Any]:
        """What changed from one run to another."""
        found = self.workspace.runs.diff(before, after)
        rows = found.rows.to_pylist()
        changed = [r for r in rows if r["verdict_before"] != r["verdict_after"]]
        command = self.command("runs", "diff", before, after)
        values = {"before": before, "after": after, "settings": found.settings, "command": command}
        return self.frame() | values | {"changed": changed, "same": len(rows) - len(changed)}

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
