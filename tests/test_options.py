"""Options are declared once: a field of QueryOptions or IndexOptions is an option of the command line and of Python."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import typer.main
from tests.conftest import Planted

import fsearch
from fsearch.cli import app
from fsearch.indexer.embedding.batch_sizes import BatchSizes
from fsearch.search.options import IndexOptions, QueryOptions
from fsearch.search.terminal.options import INDEX, QUERY

DECLARED = [("index", IndexOptions, INDEX), ("query", QueryOptions, QUERY), ("rank", QueryOptions, QUERY)]


@pytest.mark.parametrize(("command", "kind", "declared"), DECLARED, ids=lambda v: v if isinstance(v, str) else "")
def test_each_field_is_an_option_of_the_same_default(command: str, kind: Any, declared: dict[str, Any]) -> None:
    fields = {f.name: f.default for f in dataclasses.fields(kind)}
    assert set(declared) == set(fields)
    asked = {name for name, option in declared.items() if option is not None}
    found: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    defaults = {p.name: p.default for p in found[command].params}
    assert {name: defaults[name] for name in asked} == {name: fields[name] for name in asked}


def test_only_the_sizes_of_batches_are_not_asked_for() -> None:
    assert [name for name, option in (INDEX | QUERY).items() if option is None] == ["sizes"]


def test_options_are_given_whole_or_by_name(few: Planted) -> None:
    ws, options = fsearch.open("w"), IndexOptions(model="a", recall=0.9, sizes=BatchSizes(batch=32, shard_rows=32))
    assert ws.index(few.folder, few.losses, options=options, templates=["a {}"]).embedded == 60
    assert ws.sql("SELECT DISTINCT model FROM losses")["model"].to_pylist() == ["a"]
    assert ws.sql("SELECT rows FROM shards ORDER BY shard")["rows"].to_pylist() == [32, 28]
    settings = dict(ws.sql("SELECT name, value FROM settings").to_pandas().to_numpy())
    assert settings["templates"] == '["a {}"]'
    assert '"recall": 0.9' in settings["index"]
    with pytest.raises(TypeError, match="modle"):
        ws.index(few.folder, modle="b")
