"""The JSON Schema of what commands print with --json, made from the code: docs/schema.json."""

from __future__ import annotations

import json
import types
from collections.abc import Iterable, Mapping
from dataclasses import fields
from enum import Enum
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.exhibits import Histogram, Kind
from fsearch.diagnoser.group_table import GroupRow
from fsearch.indexer.storage.schema import TABLES
from fsearch.search.answer import COLUMNS, FOUND, Answer
from fsearch.search.compare.result import COLUMNS as CHANGE_COLUMNS
from fsearch.search.compare.result import FOUND as MOVED
from fsearch.search.compare.result import MovedImage
from fsearch.search.gate.outcome import Check, Outcome
from fsearch.search.neighbour import Neighbour

_TYPES: Mapping[Any, str] = {float: "number", int: "integer", str: "string", bool: "boolean"}
_SQL = {"VARCHAR": "string", "BIGINT": "integer", "INTEGER": "integer", "DOUBLE": "number", "BOOLEAN": "boolean"}
_TEXT, _COUNT = {"type": "string"}, {"type": "integer"}
_TIME = {"type": "string", "format": "date-time"}
_NOTES = {"type": "array", "items": _TEXT, "description": "what the reader must know beside the numbers"}


def schema() -> dict[str, Any]:
    """The schema: one definition for each kind of document and for its parts. JSON Schema, draft 2020-12."""
    answer = _answer()
    ranked = {"rank": _described(_COUNT, "rankings", "rank")} | answer
    stored = {name: _nullable(_sql_type(kind), about) for name, kind, about in _columns("rankings")}
    settings = {name: _nullable(_sql_type(kind), about) for name, kind, about in _columns("runs")}
    documents: dict[str, dict[str, Any]] = {
        "answers": {
            "model": _TEXT,
            "notes": _NOTES,
            "answers": _list(_object(answer)),
            "hidden": _list(_object(answer)),
        },
        "ranking": {
            "run_id": _COUNT,
            "model": _TEXT,
            "created_at": _TIME,
            "notes": _NOTES,
            "ranking": _list(_object(ranked)),
            "hidden": _list(_object(ranked)),
        },
        "run": {"settings": _object(settings), "ranking": _list(_object(stored))},
        "comparison": _comparison(),
        "gate": _gate(),
    }
    parts = {"image": _of(Neighbour), "histogram": _of(Histogram), "moved": _of(MovedImage)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fsearch: what query, rank, runs show, compare and gate print with --json",
        "anyOf": [{"$ref": f"#/$defs/{name}"} for name in documents],
        "$defs": {name: _object(properties) for name, properties in documents.items()} | parts,
    }


def _answer() -> dict[str, Any]:
    """The properties of an answer: the columns of `rankings`, of the hypothesis, and the images."""
    hints, about = get_type_hints(Answer), {name: text for name, _, text in _columns("rankings")}
    about |= {name: text for name, _, text in _columns("hypotheses")}
    properties = {name: {**_json_type(hints[name]), "description": about[name]} for name in ("group", "template")}
    for name in COLUMNS:
        properties[name] = {**_json_type(hints[name]), "description": about[name]}
        if name in FOUND:
            properties[name] = _nullable(properties[name], f"{about[name]}; null where the phrase is unseen")
    shared = _object({"hypothesis": _TEXT, "overlap": {"type": "number", "minimum": 0, "maximum": 1}})
    images = {str(kind): _list({"$ref": "#/$defs/image"}) for kind in Kind}
    histogram = {"anyOf": [{"$ref": "#/$defs/histogram"}, {"type": "null"}]}
    place = (
        "its place among the questions asked of this fit one at a time; null in a ranking, and where nothing is tested"
    )
    properties["question"] = _nullable(_COUNT, place)
    properties["level"] = _nullable({"type": "number"}, "the level at which p is tested there")
    return properties | {"shares_with": _list(shared), **images, "histogram": histogram}


def _comparison() -> dict[str, Any]:
    """The properties of a comparison: of two models, of all images, and of each phrase."""
    hints, about = get_type_hints(Change), {name: text for name, _, text in _columns("changes")}
    change = {name: {**_json_type(hints[name]), "description": about[name]} for name in CHANGE_COLUMNS}
    change |= {name: _nullable(change[name], f"{about[name]}; null where the phrase is unseen") for name in MOVED}
    of = {name: _nullable(_TEXT, text) for name, _, text in _columns("hypotheses") if name in ("group", "template")}
    of["origin"] = _nullable(_TEXT, about["origin"])
    of["wording_of"] = _nullable(_TEXT, "of one that was found: the phrase that heads its concept")
    rank = {"rank": _described(_COUNT, "changes", "rank")}
    changes = _list(_object(rank | change | of | {"images": _list({"$ref": "#/$defs/moved"})}))
    return {
        "comparison_id": _COUNT,
        "before": _TEXT,
        "after": _TEXT,
        "images": _COUNT,
        "either": _COUNT,
        "created_at": _TIME,
        "correction": _TEXT,
        "standardised": {"type": "boolean"},
        "stale": _list(_TEXT),
        "notes": _NOTES,
        "whole": _object(change),
        "changes": changes,
    }


def _gate() -> dict[str, Any]:
    """The properties of a gate's result: its outcome, the checks that it came from, and group tables."""
    check, row = (
        {name: _nullable(of) if of.get("type") == "number" else of for name, of in _of(kind)["properties"].items()}
        for kind in (Check, GroupRow)
    )
    tables = {"type": "object", "additionalProperties": _list(_object(row))}
    return {
        "outcome": {"enum": [str(outcome) for outcome in Outcome]},
        "exit_code": {"enum": [outcome.exit_code for outcome in Outcome]},
        "source": _TEXT,
        "model": _TEXT,
        "run_id": _nullable(_COUNT),
        "comparisons": _list(_COUNT),
        "report": _nullable(_TEXT),
        "checks": _list(_object(check)),
        "tables": tables,
        "notes": _NOTES,
    }


def _of(kind: type) -> dict[str, Any]:
    """The schema of a plain dataclass."""
    hints = get_type_hints(kind)
    return _object({f.name: _json_type(hints[f.name]) for f in fields(kind)})


def _json_type(hint: Any) -> dict[str, Any]:
    if get_origin(hint) in (Union, types.UnionType):
        (some,) = [part for part in get_args(hint) if part is not type(None)]
        return _nullable(_json_type(some))
    if get_origin(hint) is tuple:
        return _list(_json_type(get_args(hint)[0]))
    if get_origin(hint) is Literal:
        return {"enum": list(get_args(hint))}
    if isinstance(hint, type) and issubclass(hint, Enum):
        return {"enum": [str(member.value) for member in hint]}
    return {"type": _TYPES[hint]}


def _sql_type(kind: str) -> dict[str, Any]:
    return _TIME if kind == "TIMESTAMP" else {"type": _SQL[kind]}


def _nullable(of: dict[str, Any], about: str | None = None) -> dict[str, Any]:
    described = {} if about is None else {"description": about}
    kinds = [of["type"]] if isinstance(of.get("type"), str) else of.get("type", [])
    return of | {"type": [*kinds, *([] if "null" in kinds else ["null"])]} | described


def _described(of: dict[str, Any], table: str, column: str) -> dict[str, Any]:
    return of | {"description": next(about for name, _, about in _columns(table) if name == column)}


def _columns(table: str) -> Iterable[tuple[str, str, str]]:
    return next(t.columns for t in TABLES if t.name == table)


def _list(items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": items}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def document() -> str:
    """The text of docs/schema.json."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
