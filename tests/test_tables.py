"""Tables as programs leave them: each is read as it was meant, or refused in one line; no row is lost unsaid."""

from __future__ import annotations

import csv
import gzip
import io
import random
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.tabular import TableFile

ROWS = [("a.png", 0.5, "cat"), ("b c.png", 1.25, "dog"), ("d.png", 2.0, "cat")]
WANTED = [{"image": i, "loss": v, "label": t} for i, v, t in ROWS]


def table(name: str, data: bytes | str) -> TableFile:
    Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return TableFile(Path(name))


def text(separator: str = ",", end: str = "\n", comma: bool = False, quote: str = "") -> str:
    def cell(value: Any) -> str:
        word = str(value).replace(".", ",") if comma and isinstance(value, float) else str(value)
        return word if isinstance(value, float) else f"{quote}{word}{quote}"

    return "".join(separator.join(map(cell, row)) + end for row in [("image", "loss", "label"), *ROWS])


R_CSV = '"","image","loss","label"\n"1","a.png",0.5,"cat"\n"2","b c.png",1.25,"dog"\n"3","d.png",2,"cat"\n'
R_TABLE = '"image" "loss" "label"\n"1" "a.png" 0.5 "cat"\n"2" "b c.png" 1.25 "dog"\n"3" "d.png" 2 "cat"\n'
QUOTED_COMMAS = 'image,loss,label\na.png,"0,5",cat\nb c.png,"1,25",dog\nd.png,"2,0",cat\n'
LINES = pd.DataFrame(WANTED).to_json(orient="records", lines=True)
FORMS: dict[str, tuple[str, bytes | str, str]] = {
    "plain": ("t.csv", text(), "UTF-8, commas"),
    "excel in german": (
        "t.csv",
        text(";", "\r\n", comma=True).encode("utf-8-sig"),
        "UTF-8, semicolons, decimal commas",
    ),
    "excel says its separator": ("t.csv", "sep=;\n" + text(";"), "UTF-8, semicolons"),
    "excel's unicode text": ("t.csv", text("\t").encode("utf-16"), "UTF-16, tabs"),
    "UTF-16 without a mark": ("t.csv", text().encode("utf-16-be"), "UTF-16, commas"),
    "an old Mac": ("t.csv", text(end="\r"), "UTF-8, commas"),
    "R's write.csv2": ("t.csv", text(";", comma=True, quote='"'), "UTF-8, semicolons, decimal commas"),
    "R's write.csv": ("t.csv", R_CSV, "UTF-8, commas"),
    "R's write.table": ("t.csv", R_TABLE, "UTF-8, spaces"),
    "pandas with an index": ("t.csv", pd.DataFrame(WANTED).to_csv(), "UTF-8, commas"),
    "tabs": ("t.tsv", text("\t"), "UTF-8, tabs"),
    "commas under a wrong name": ("t.tsv", text(), "UTF-8, commas"),
    "tabs under a wrong name": ("t.csv", text("\t"), "UTF-8, tabs"),
    "bars": ("t.csv", text("|"), "UTF-8, bars"),
    "gzip": ("t.csv.gz", gzip.compress(text().encode()), "UTF-8, commas"),
    "blank lines": ("t.csv", "\n" + text().replace("\n", "\n\n"), "UTF-8, commas"),
    "empty columns and rows": ("t.csv", text(",", ",,\n") + ",,,,\n", "UTF-8, commas, 1 rows without content left out"),
    "decimal commas in quotes": ("t.csv", QUOTED_COMMAS, "UTF-8, commas, decimal commas"),
    "JSONL": ("t.jsonl", LINES, "JSONL, UTF-8"),
    "JSONL with a mark": ("t.jsonl.gz", gzip.compress(b"\xef\xbb\xbf" + LINES.encode()), "JSONL, UTF-8"),
}


@pytest.mark.parametrize("form", FORMS)
def test_one_table_in_every_form(form: str) -> None:
    name, data, said = FORMS[form]
    file = table(name, data)
    assert file.read().to_pylist() == WANTED
    assert (file.form, file.rows) == (said, 3)


def test_names_and_ids_are_text_and_other_columns_what_they_are() -> None:
    file = table(
        "t.csv",
        "image,label,zip,id_of,ok,day,x,n,none\n0001,true,01234,12345678901234567890,True,2020-01-02,1e-3,NA,\n"
        "0002,FALSE,04321,12345678901234567891,False,2020-01-03,.5,7,\n",
    )
    rows = file.read()
    assert [str(t) for t in rows.schema.types] == (
        ["string"] * 4 + ["bool", "date32[day]", "double", "int64", "string"]
    )
    assert rows["image"].to_pylist() == ["0001", "0002"]
    assert rows["label"].to_pylist() == ["true", "FALSE"]
    assert rows["id_of"].to_pylist()[1] == "12345678901234567891"
    assert rows["n"].to_pylist() == [None, 7]
    assert rows["none"].to_pylist() == [None, None]
    lines = '{"image": 1, "label": true}\n{"image": "0002", "label": 1.0}\n{"image": "c", "late": [1]}\n'
    assert table("t.jsonl", lines).read().to_pylist() == [
        {"image": "1", "label": "true", "late": None},
        {"image": "0002", "label": "1", "late": None},
        {"image": "c", "label": None, "late": [1]},
    ]


def test_types_are_told_from_all_rows_not_the_first() -> None:
    body = "".join(f"{i}.png,{i}\n" for i in range(300_000))
    late = table("t.csv", f"image,code\n{body}x.png,1.5\n").read()
    assert late.schema.field("code").type == pa.float64()
    assert table("t.csv", f"image,code\n{body}x.png,B7\n").read()["code"].to_pylist()[:2] == ["0", "1"]


@pytest.mark.parametrize(("separator", "name"), [("\t", "t.tsv"), (",", "t.csv")])
def test_a_quote_that_only_opens_is_a_character(separator: str, name: str) -> None:
    lines = [separator.join(("image", "loss", "caption"))]
    lines += [separator.join((f"{i}.png", str(i / 2), '"wide angle' if i % 3 == 0 else "a face")) for i in range(9)]
    file = table(name, "\n".join(lines) + "\n")
    assert file.read()["caption"].to_pylist() == ['"wide angle' if i % 3 == 0 else "a face" for i in range(9)]
    assert "no quoting" in file.form
    alone = [separator.join((f"{i}.png", str(i / 2), '"')) for i in range(4)]  # pairs of them look like quoted lines
    assert table(name, "\n".join([lines[0], *alone])).read().num_rows == 4


def test_quoted_newlines_of_any_size() -> None:
    long = "line\n" * 300_000
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        out = io.StringIO()
        writer = csv.writer(out, delimiter=separator)
        writer.writerow(["image", "loss", "caption"])
        writer.writerows([f"{i}.png", i / 4, long if i % 2 else 'two, "quoted"\nlines'] for i in range(4))
        rows = table(name, out.getvalue()).read()
        assert rows["caption"].to_pylist() == [long.strip() if i % 2 else 'two, "quoted"\nlines' for i in range(4)]


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("t.csv", "", "t.csv is empty"),
        ("t.csv", "\n\n", "t.csv is empty"),
        ("t.csv", "image,loss\na.png,0,5\n", "row 1: 3 cells where the header has 2; write numbers with a point"),
        ("t.csv", "image,loss,x\na.png,1,2\nworld\n", "row 2: 1 cells where the header has 3"),
        ("t.csv", "image,loss,loss\na,1,2\n", "the column 'loss' is there twice"),
        ("t.csv", b"PK\x03\x04" + bytes(20), "no text but a spreadsheet or zip; save it as CSV"),
        ("t.csv", b"image,loss\na\0b,1\n", "it holds a zero byte"),
        ("t.csv", 'image,loss,c\n"a",1,"wide\n"b",2,"x"\n', "is a quotation mark left open?"),
        ("t.csv", "image;loss;x\na;1.234;0,5\nb;2.345;0,7\n", "may be thousands; write one decimal mark"),
        ("t.csv.gz", "image,loss\n", "cannot be read"),
        ("t.xlsx", "x", "use .csv, .tsv, .parquet, .jsonl"),
        ("t.parquet", b"PAR1" + bytes(30), "cannot be read"),
    ],
)
def test_what_cannot_be_read_is_one_line(name: str, data: bytes | str, message: str) -> None:
    with pytest.raises(BadInputError) as caught:
        table(name, data).read()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_thousands_are_not_taken_for_decimals() -> None:
    assert table("t.csv", "image;loss\na;1.234,5\nb;12,25\n").read()["loss"].to_pylist() == [1234.5, 12.25]
    assert table("t.csv", 'image,loss\na,"1,234"\nb,"2,345"\n').read()["loss"].to_pylist() == ["1,234", "2,345"]


def test_parquet_of_every_type() -> None:
    frame = pd.DataFrame(
        {
            "image": pd.Categorical(["a", "b"]),
            "half": np.array([0.5, 1], np.float16),
            "label": pd.array([1, None], "Int64"),
            "ok": pd.array([True, None], "boolean"),
            "price": [Decimal("1.20"), Decimal("3")],
            "list": [np.array([1, 2], np.float32), None],
        }
    )
    frame.to_parquet("t.parquet")
    assert TableFile(Path("t.parquet")).read().to_pylist() == [
        {"image": "a", "half": 0.5, "label": "1", "ok": True, "price": 1.2, "list": [1, 2]},
        {"image": "b", "half": 1, "label": None, "ok": None, "price": 3, "list": None},
    ]
    half = pa.array([[np.float16(1)], None], pa.list_(pa.float16()))
    wide = pa.array([Decimal("1.5"), None], pa.decimal256(50, 2))
    ids = pa.array([7, 8], pa.decimal128(20, 0))
    pq.write_table(pa.table({"id": ids, "half": half, "wide": wide, "image": pa.array([b"1", None])}), "t.parquet")
    rows = TableFile(Path("t.parquet")).read()
    assert rows["id"].to_pylist() == ["7", "8"]
    assert rows.schema.field("image").type == pa.binary()
    assert rows.schema.field("half").type.value_type == pa.float32()
    assert rows.schema.field("wide").type == pa.float64()


def test_the_index_of_a_frame_names_images_or_counts_rows() -> None:
    frame = pd.DataFrame({"loss": [1.0, 2.0]}, index=["a", "b"])
    frame.to_parquet("t.parquet")
    frame.to_csv("t.csv")
    for name in ("t.parquet", "t.csv"):
        assert TableFile(Path(name)).read()["row_name"].to_pylist() == ["a", "b"]
    frame.reset_index(drop=True)[1:].to_parquet("t.parquet")
    assert TableFile(Path("t.parquet")).read().column_names == ["loss"]


def test_ids_that_floats_rounded_are_refused() -> None:
    pq.write_table(pa.table({"image": [1e18, 2e18]}), "t.parquet")
    with pytest.raises(BadInputError, match="ids of 16 digits or more were rounded; store them as text"):
        TableFile(Path("t.parquet")).read()


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", ["Schäden", "Maße", "café", "niño", "Ærø", "5 €"]),
        ("cp1251", ["собака", "кошка", "большая лошадь"]),
        ("cp932", ["犬", "猫と犬", "大きな馬"]),
        ("utf-8", ["犬", "łódź", "café"]),
        ("utf-16", ["犬", "łódź", "café"]),
    ],
)
def test_other_encodings_are_detected_and_stated(encoding: str, words: list[str]) -> None:
    file = table("t.csv", "".join(["image,label\n", *(f"{i}.png,{w}\n" for i, w in enumerate(words))]).encode(encoding))
    found = file.read()["label"].to_pylist()
    assert file.form.lower().startswith(("utf", "cp", "koi"))
    if encoding not in ("cp1251", "cp932"):  # of few words in these only the statement is sure
        assert found == words


CELL = st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0\r"), max_size=12)


@settings(max_examples=60)
@given(st.lists(st.tuples(CELL, CELL), min_size=1, max_size=8), st.sampled_from([",", ";", "\t"]))
def test_what_a_writer_quotes_is_read_back(rows: list[tuple[str, str]], separator: str) -> None:
    """Every row that Python's own writer writes comes back, or the file is refused aloud."""
    out = io.StringIO()
    writer = csv.writer(out, delimiter=separator, quoting=csv.QUOTE_ALL)
    writer.writerow(["image", "caption", "loss"])
    writer.writerows([f"{i}.png", a + b, i] for i, (a, b) in enumerate(rows))
    try:
        found = table("t.csv", out.getvalue()).read()
    except BadInputError:
        return
    assert found["image"].to_pylist() == [f"{i}.png" for i in range(len(rows))]
    assert found["loss"].to_pylist() == list(range(len(rows)))


def test_a_large_file_is_read_whole() -> None:
    rng = random.Random(0)
    lines = [f"{i:07d}.png;{rng.random():.4f}".replace(".", ",").replace(",png", ".png") for i in range(200_000)]
    rows = table("t.csv", "image;loss\n" + "\n".join(lines)).read()
    assert rows.num_rows == 200_000
    assert rows.schema.field("loss").type == pa.float64()


@pytest.mark.parametrize("cell", ["5e-06", "-5E-06", "1e3", "+0,5", "+5e-06", "1,5e-06", "inf"])
def test_numbers_that_show_no_decimal_mark_stand_beside_decimal_commas(cell: str) -> None:
    Path("t.csv").write_text(f"image;sure\na;0,25\nb;{cell}\n")
    table = TableFile(Path("t.csv"))
    assert table.read()["sure"].to_pylist() == [0.25, float(cell.replace(",", "."))]
    assert table.form == "UTF-8, semicolons, decimal commas"
