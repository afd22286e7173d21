"""Write a ranking to a file for other tools, whole or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.search.answer import Ranking
from fsearch.search.terminal.render import table_bytes

_KINDS = (".parquet", ".csv", ".json")


def check_target(path: Path) -> None:
    """Raise BadInputError where a ranking cannot be written to `path`, before the work is done."""
    if path.suffix.lower() not in _KINDS:
        raise BadInputError(f"--out {path}: use {', '.join(_KINDS)}")
    if not path.parent.is_dir():
        raise BadInputError(f"--out {path}: no such folder: {path.parent}")


def write_ranking(ranking: Ranking, path: Path) -> None:
    """Write `ranking` to `path` as its suffix says; .json also holds run, model and notes."""
    check_target(path)
    kind = path.suffix.lower().lstrip(".")
    if kind == "json":
        write_atomic(path, (json.dumps(ranking.as_dict(), indent=1) + "\n").encode())
    else:
        write_atomic(path, table_bytes(pa.Table.from_pylist(ranking.as_rows()), kind))
