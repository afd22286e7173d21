"""How many situations of real inputs are read as they are meant, how many are refused, and why: tables, classes, names.

    python -m benchmarks.inputs

Each situation is an input as some program writes it, and the value it means; "wrong" must stay at 0.
"""

from __future__ import annotations

import gzip
import json
import os
import tempfile
import unicodedata
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import FsearchError
from fsearch.indexer.losses.classes import FROM_COLUMNS, Classes, of_columns, read_labels
from fsearch.indexer.losses.matching import match
from fsearch.indexer.storage.tabular import TableFile


@dataclass(frozen=True)
class Situation:
    """An input and the value it means; `wanted` is None where it must be refused, as it may mean several."""

    kind: str
    name: str
    value: Callable[[], Any]
    wanted: Any


ROWS = [{"image": "a.png", "loss": 0.5, "label": "ä"}, {"image": "b.png", "loss": 1.25, "label": "true"}]


def table(name: str, data: str | bytes) -> Callable[[], Any]:
    """Read a table with this content."""

    def value() -> Any:
        Path(name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return TableFile(Path(name)).read().to_pylist()

    return value


def text(separator: str, comma: bool = False, end: str = "\n") -> str:
    losses = [str(r["loss"]).replace(".", "," if comma else ".") for r in ROWS]
    rows = [["image", "loss", "label"], *([r["image"], v, r["label"]] for r, v in zip(ROWS, losses, strict=True))]
    return "".join(separator.join(map(str, row)) + end for row in rows)


def classes(labels: list[Any], names: str = "", count: int = 0, **known: Any) -> Callable[[], Any]:
    """Read labels as classes that columns name."""
    columns = tuple(names.split())
    places = [f"row {i + 1}" for i in range(len(labels))]
    found = Classes(columns, FROM_COLUMNS, **known)
    return lambda: read_labels(labels, found, count or len(columns), places).numbers.tolist()


def names(key: str) -> Callable[[], Any]:
    """Match a name to images of a folder photos/."""
    return lambda: match([key], ["cat/00.png", "dog/00.png", "dog/01.png", "café.png"], Path("l.csv"), Path("photos"))


LINES = "\n".join(json.dumps(r) for r in ROWS)
STRAY = "image\tloss\tlabel\na.png\t0.5\t\"wide\nb.png\t1\t\"x\n"  # fmt: skip
SITUATIONS = [
    Situation("table", "UTF-8, commas", table("t.csv", text(",")), ROWS),
    Situation("table", "UTF-8 with a mark", table("t.csv", text(",").encode("utf-8-sig")), ROWS),
    Situation("table", "German Excel", table("t.csv", text(";", True, "\r\n").encode("cp1252")), ROWS),
    Situation("table", "Excel's sep=;", table("t.csv", "sep=;\n" + text(";", True)), ROWS),
    Situation("table", "UTF-16", table("t.csv", text("\t").encode("utf-16")), ROWS),
    Situation("table", "TSV", table("t.tsv", text("\t")), ROWS),
    Situation("table", "bars", table("t.csv", text("|")), ROWS),
    Situation("table", "gzip", table("t.csv.gz", gzip.compress(text(",").encode())), ROWS),
    Situation("table", "old Mac's lines", table("t.csv", text(",", end="\r")), ROWS),
    Situation("table", "empty rows and columns", table("t.csv", text(",", end=",,\n") + ",,,,\n"), ROWS),
    Situation("table", "JSONL", table("t.jsonl", LINES), ROWS),
    Situation("table", "gzipped JSONL", table("t.jsonl.gz", gzip.compress(LINES.encode())), ROWS),
    Situation("table", "stray quotes in a TSV", lambda: len(table("t.tsv", STRAY)()), 2),
    Situation("table", "zeros before ids", lambda: table("t.csv", "id,loss\n007,1\n")()[0]["id"], "007"),
    Situation("table", "ids of twenty digits", lambda: table("t.csv", f"id,loss\n{'9' * 20},1\n")()[0]["id"], "9" * 20),
    Situation("table", "decimal commas without quotes", table("t.csv", "image,loss\na,0,5\n"), None),
    Situation("table", "an open quote", table("t.csv", 'image,loss,c\n"a",1,"x\n"b",2,"y"\n'), None),
    Situation("table", "1.234 beside decimal commas", table("t.csv", "image;loss;x\na;1.234;0,5\n"), None),
    Situation("table", "a workbook called CSV", table("t.csv", b"PK\x03\x04"), None),
    Situation("classes", "true and false", classes(["true", "false"], "true false"), [0, 1]),
    Situation("classes", "True of Python", classes([True, False], "true false"), [0, 1]),
    Situation("classes", "from 1, the last without images", classes(["1", "2"], "1 2 3"), [0, 1]),
    Situation("classes", "floats of pandas", classes([1.0, 2.0, None], "1 2 3"), [0, 1, -1]),
    Situation("classes", "LABEL_0 of Hugging Face", classes([0, 1], "LABEL_0 LABEL_1"), [0, 1]),
    Situation("classes", "an encoder of labels", classes([0, 1], "cat dog"), [0, 1]),
    Situation("classes", "other case", classes(["Dog", "Cat"], "cat dog"), [1, 0]),
    Situation("classes", "folders", classes(["dog", "cat"], count=2, folders=("cat", "dog")), [1, 0]),
    Situation("classes", "--index-base 1", classes([1, 2], count=2, index_base=1), [0, 1]),
    Situation("classes", "columns in another order", lambda: of_columns(("a", "b"), ("b", "a"), Path())[0], ("b", "a")),
    Situation("classes", "labels from 0, columns from 1", classes([0, 1, 2], "1 2 3"), None),
    Situation("classes", "labels from 1, outputs from 0", classes([1, 2, 3], count=3), None),
    Situation("classes", "columns that skip", classes([0, 2], "0 2 5"), None),
    Situation("classes", "numbers for unsorted columns", classes([0, 1], "dog cat"), None),
    Situation("classes", "names without an order", classes(["dog", "cat"], count=2), None),
    Situation("classes", "--classes that contradict", lambda: of_columns(("a", "b"), ("a", "c"), Path()), None),
    *(
        Situation("names", what, names(key), [wanted])
        for what, key, wanted in (
            ("path below", "dog/00.png", 1),
            ("stem", "01", 2),
            ("the folder as typed", "photos/dog/00.png", 1),
            ("absolute", f"{Path('photos').absolute()}/dog/00.png", 1),
            ("./", "./dog/00.png", 1),
            ("of Windows", "C:\\x\\photos\\dog\\00.png", 1),
            ("another machine's", "/content/photos/dog/00.png", 1),
            ("decomposed", unicodedata.normalize("NFD", "café.png"), 3),
            ("percent signs", "caf%C3%A9.png", 3),
            ("file://", "file:///x/photos/caf%C3%A9.png", 3),
        )
    ),
    Situation("names", "a file name of two folders", names("00.png"), None),
    Situation("names", "another suffix", names("dog/01.jpg"), None),
    Situation("names", "no such image", names("zebra.png"), None),
]


def outcome(situation: Situation) -> tuple[str, str]:
    """What became of a situation: right, refused or wrong, and why."""
    try:
        found = situation.value()
    except FsearchError as error:
        return ("refused" if situation.wanted is None else "wrong"), str(error)
    return ("right", "") if situation.wanted is not None and found == situation.wanted else ("wrong", repr(found))


def main() -> None:
    """Print every situation that is not read, and the counts."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        found = [(s, *outcome(s)) for s in SITUATIONS]
        os.chdir("/")
    for situation, how, why in found:
        if how != "right":
            print(f"{how}: {situation.kind}, {situation.name}: {why}")
    for kind in dict.fromkeys(s.kind for s in SITUATIONS):
        counts = Counter(how for s, how, _ in found if s.kind == kind)
        print(f"{kind}: {counts['right']} read as meant, {counts['refused']} refused, {counts['wrong']} wrong")


if __name__ == "__main__":
    main()
