"""The pages that look at data: the worst images, SQL, and the map."""

from __future__ import annotations

from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.sql import literal, quoted
from fsearch.search.neighbour import Neighbour
from fsearch.search.selections import condition, forget, keep, listed
from fsearch.search.web.frame import Frame
from fsearch.search.web.map import Asked, ImageMap

PAGE = 60  # images of a grid
MAX_ROWS = 1_000  # of an SQL answer that is shown
_WORST = (
    "SELECT x.image_id, x.key, x.loss, x.label, x.prediction FROM examples x WHERE x.model = ? "
    "ORDER BY x.loss DESC, x.image_id LIMIT ? OFFSET ?"
)
_REPEATS = (
    "SELECT count(*) AS images, arg_min(image_id, key) AS image_id, min(key) AS key FROM images "
    "WHERE status = 'present' AND group_id IS NOT NULL GROUP BY group_id HAVING count(*) > 1 "
    "ORDER BY images DESC, group_id LIMIT 24"
)


class DataViews(Frame):
    """The part of `Views` that looks at data."""

    def worst(self, page: int) -> dict[str, Any]:
        """A page of the images with the highest losses."""
        store, name = self.store(), self.name()
        rows = store.catalog.sql(_WORST, [name, PAGE + 1, PAGE * page]).to_pylist()
        images = [
            Neighbour(r["key"], r["image_id"], 0.0, r["loss"], None, r["label"], r["prediction"]) for r in rows[:PAGE]
        ]
        command = self.command("sql", f"SELECT * FROM worst_images{self._of(name)} LIMIT {PAGE} OFFSET {PAGE * page}")
        rejected = store.catalog.sql("SELECT key, reason FROM rejected ORDER BY key LIMIT 200").to_pylist()
        repeats = store.catalog.sql(_REPEATS).to_pylist()
        more = {"images_shown": images, "page": page, "more": len(rows) > PAGE, "command": command}
        return self.frame(name) | more | {"rejected": rejected, "repeats": repeats}

    def _of(self, model: str) -> str:
        """The condition that SQL to copy needs where there are several models."""
        return f" WHERE model = {literal(model)}" if len(self._now().models) > 1 else ""

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

    def map(self) -> ImageMap:
        """The map of the images."""
        read, name = self._now(), self.name()
        return read.maps.setdefault(name, ImageMap(read.store, name))

    def asked_of_map(self, query: dict[str, str]) -> Asked:
        """What the words of a URL ask of the map; it is placed by UMAP where that was made."""
        how = query.get("placed") or ("pca" if self.map().umap is None else "umap")
        phrase, selection, area = (query.get(name, "").strip() for name in ("q", "s", "area"))
        return Asked(query.get("by", "loss"), phrase, selection, area, how)

    def map_page(self, asked: Asked) -> dict[str, Any]:
        """The map as it is asked for, with what a selection holds, and the selections that are kept."""
        kept = listed(self.store())
        command = self.command("sql", f"SELECT * FROM examples{self._of(self.name())} ORDER BY {quoted(asked.by)}")
        if asked.selection:
            command = self.command("sql", f"SELECT * FROM examples WHERE {condition(asked.selection)}")
        return self.frame() | self.map().page(asked) | {"kept": kept, "command": command}

    def selection(self, asked: Asked) -> dict[str, Any]:
        """What a line round a part of the map holds."""
        return self.frame() | {"selected": self.map().selection(asked), "asked": asked}

    def keep_selection(self, form: dict[str, str]) -> str:
        """Keep the images within a line, `area`, under a `name`; the address of the map that shows them."""
        found = self.map()
        rows = found.losses.rows[found.within(self.asked_of_map(form))]
        with self._asking:
            name = keep(found.store, form["name"], rows)
        return f"/map?{Asked(selection=name).words('s')}"

    def forget_selection(self, form: dict[str, str]) -> str:
        """Forget the selection of a `name`; the address to go on from."""
        with self._asking:
            forget(self.store(), form["name"])
        return "/map"
