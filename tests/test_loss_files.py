"""What a losses file means: complete for the sources it names, the same in `losses add` and in `index`."""

from __future__ import annotations

from pathlib import Path

import pytest
from made_sources import name
from PIL import Image
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app
from fsearch.indexer.errors import BadInputError
from fsearch.search.workspace import Workspace


def folder(path: str, names: range) -> Path:
    Path(path).mkdir(exist_ok=True)
    for i in names:
        Image.new("RGB", (64, 64), (len(path), 10 * i, 0)).save(Path(path, name(i)))
    return Path(path)


def losses(path: str, names: range, value: float = 1.0, prefix: str = "") -> str:
    Path(path).write_text("image,loss\n" + "".join(f"{prefix}{name(i)},{value}\n" for i in names))
    return path


def stored(ws: Workspace, model: str = "m") -> dict[str, float]:
    """Loss by folder and file name."""
    query = f"SELECT source, key, loss FROM losses JOIN images USING (image_id) WHERE model = '{model}'"
    return {f"{Path(r['source']).name}/{r['key']}": r["loss"] for r in ws.sql(query).to_pylist()}


@pytest.fixture
def ws() -> Workspace:
    return fsearch.open("w.fsearch")


def test_index_with_losses_is_index_then_losses_add() -> None:
    folder("one", range(4))
    found = []
    for way in ("together", "apart"):
        ws = fsearch.open(f"{way}.fsearch")
        for round_, value in (("a.csv", 1.0), ("b.csv", 2.0)):
            given = losses(round_, range(4 if value == 1 else 3), value, "one/")
            if way == "together":
                ws.index("one", given, model="m")
            else:
                ws.index("one")
                ws.losses.add("m", losses=given)
        listed = ws.losses.list().drop_columns(["added_at"]).to_pylist()
        found.append((stored(ws), listed))
    assert found[0] == found[1]
    assert found[0][0] == {f"one/{name(i)}": 2.0 for i in range(3)}  # none of the first file's is left


def test_a_second_source_with_its_own_file_keeps_the_losses_of_the_first(ws: Workspace) -> None:
    ws.index(folder("one", range(3)), losses("a.csv", range(3)), model="m")
    report = ws.index(folder("two", range(3)), losses("b.csv", range(3), 2.0), model="m")  # the same names
    assert (report.losses, report.without_loss, report.replaced_losses) == (3, 0, 0)
    assert stored(ws) == {f"{f}/{name(i)}": v for f, v in (("one", 1.0), ("two", 2.0)) for i in range(3)}
    assert ws.losses.list()["origin"].to_pylist() == ["a.csv, b.csv"]
    two = Path("two").absolute()
    added = ws.losses.add("m", losses=losses("c.csv", range(2), 3.0, f"{two}/"))
    assert (added.added, added.kept, added.replaced, added.others, added.without) == (2, 0, 3, 3, 1)
    assert added.mean == pytest.approx(9 / 5)
    assert stored(ws) == {**{f"one/{name(i)}": 1.0 for i in range(3)}, **{f"two/{name(i)}": 3.0 for i in range(2)}}


def test_one_file_may_name_equal_names_of_two_sources(ws: Workspace) -> None:
    for path in ("one", "two"):
        ws.index(folder(path, range(2)))
    lines = [f"{Path(p).absolute()}/{name(i)},{v}" for p, v in (("one", 1), ("two", 2)) for i in range(2)]
    Path("all.csv").write_text("\n".join(["image,loss", *lines]) + "\n")
    assert ws.losses.add("m", losses="all.csv").added == 4
    assert stored(ws) == {f"{p}/{name(i)}": v for p, v in (("one", 1.0), ("two", 2.0)) for i in range(2)}


def test_the_same_file_again_after_adding_images(ws: Workspace) -> None:
    ws.index(folder("one", range(3)), losses("a.csv", range(3)), model="m")
    again = ws.losses.add("m", losses="a.csv")
    assert (again.added, again.kept, again.replaced) == (0, 3, 0)
    report = ws.index(folder("one", range(5)), losses("a.csv", range(5)), model="m")
    assert (report.embedded, report.losses, report.without_loss, report.replaced_losses) == (2, 5, 0, 0)
    assert len(stored(ws)) == 5
    assert ws.losses.list()["origin"].to_pylist() == ["a.csv"]


def test_a_selection_takes_a_full_file_and_keeps_the_losses_of_other_images(ws: Workspace) -> None:
    folder("one", range(6))
    report = ws.index(fsearch.images("one", limit=2), losses("all.csv", range(6)), model="m")
    assert (report.found, report.losses, report.without_loss) == (2, 2, 0)
    third = fsearch.images("one", where=f"key = '{name(2)}'")
    report = ws.index(third, losses("third.csv", range(2, 3), 2.0), model="m")
    assert (report.losses, report.replaced_losses) == (1, 0)
    assert stored(ws) == {f"one/{name(0)}": 1.0, f"one/{name(1)}": 1.0, f"one/{name(2)}": 2.0}
    with pytest.raises(BadInputError, match="match no image"):
        ws.index("one", losses("too-many.csv", range(7)), model="m")  # the whole source has no such image


def test_a_rejected_image_may_have_a_loss_in_the_file(ws: Workspace) -> None:
    folder("one", range(3))
    Path("one", name(1)).write_bytes(b"broken")
    report = ws.index("one", losses("a.csv", range(3)), model="m")
    assert (report.rejected, report.losses, report.without_loss) == (1, 2, 0)
    assert ws.losses.add("m", losses="a.csv").kept == 2


def test_given_and_computed_losses_are_never_mixed(ws: Workspace) -> None:
    for path in ("one", "two"):
        ws.index(folder(path, range(3)))
    answers = iter([1.0] * 5 + [None])
    ws.losses.add("m", black_box=lambda images: [next(answers) for _ in images], task="loss")
    assert ws.sql("FROM prediction_errors").num_rows == 1
    ws.index("one", losses("a.csv", range(3), 7.0), model="m")
    assert stored(ws) == {f"one/{name(i)}": 7.0 for i in range(3)}
    assert ws.sql("FROM prediction_errors").num_rows == 0  # they were of the run that made way
    assert ws.sql("SELECT DISTINCT target_digest FROM losses")["target_digest"].to_pylist() == [None]
    added = ws.losses.add("m", black_box=lambda images: [1.0 for _ in images], task="loss")
    assert (added.added, added.replaced) == (6, 3)


def test_what_a_file_replaced_and_kept_is_printed() -> None:
    def run(*args: str) -> str:
        result = CliRunner().invoke(app, list(args))
        assert result.exit_code == 0, result.output
        return result.stdout.splitlines()[-1]

    folder("one", range(4))
    folder("two", range(2))
    assert run("index", "one", "--losses", losses("a.csv", range(4)), "--model", "m") == "4 losses stored"
    said = run("index", "one", "--losses", losses("b.csv", range(3), 2.0), "--model", "m")
    assert said == "3 losses stored, 4 of another origin replaced; 1 images have none and take no part"
    run("index", "two")
    given = losses("c.csv", range(2), 5.0, f"{Path('two').absolute()}/")
    result = CliRunner().invoke(app, ["losses", "add", "--model", "m", "--losses", given])
    assert result.stdout.splitlines() == [
        "c.csv (UTF-8, commas): 2 rows read, 2 matched",
        "model m: 2 losses added, 3 of other images kept; as given, mean 3.2",
        "1 images have no loss of it and take no part",
    ]


def test_images_of_a_program_are_asked_for_by_the_argument_that_takes_them(ws: Workspace) -> None:
    held = [Image.new("RGB", (64, 64), (9, 9, i)) for i in range(3)]
    ws.index(fsearch.images(held))
    with pytest.raises(BadInputError, match=r"hand them over again: losses\.add\(images=…\)"):
        ws.losses.add("m", black_box=lambda images: [1.0] * len(images), task="loss")
    assert ws.losses.add("m", black_box=lambda images: [1.0] * len(images), task="loss", images=held).added == 3


def test_listed_is_the_former_name_of_list(ws: Workspace) -> None:
    ws.index(folder("one", range(2)), losses("a.csv", range(2)), model="m")
    with pytest.warns(DeprecationWarning, match=r"ws\.losses\.list\(\)"):
        former = ws.losses.listed()
    assert former == ws.losses.list()
    assert former["model"].to_pylist() == ["m"]


def with_column(path: str, values: dict[str, object], column: str, loss: float = 1.0) -> str:
    Path(path).write_text(f"image,loss,{column}\n" + "".join(f"{k},{loss},{v}\n" for k, v in values.items()))
    return path


def shown(ws: Workspace, columns: str) -> list[tuple[object, ...]]:
    """Rows of the view `examples`."""
    return [tuple(r.values()) for r in ws.sql(f"SELECT model, key, {columns} FROM examples ORDER BY ALL").to_pylist()]


def test_whole_numbers_of_one_model_and_others_of_another_are_one_column(ws: Workspace) -> None:
    ws.index(folder("one", range(2)))
    ws.losses.add("a", losses=with_column("a.csv", {name(0): 3, name(1): 4}, "Confidence"))
    ws.losses.add("b", losses=with_column("b.csv", {name(0): 0.5, name(1): 0.25}, "confidence"))
    assert shown(ws, "confidence") == [("a", name(0), 3), ("a", name(1), 4), ("b", name(0), 0.5), ("b", name(1), 0.25)]


def test_a_column_that_comes_with_losses_belongs_to_their_model(ws: Workspace) -> None:
    ws.index(folder("one", range(2)))
    ws.losses.add("a", losses=with_column("a.csv", {name(0): 0.9, name(1): 0.8}, "confidence"))
    ws.losses.add("b", losses=with_column("b.csv", {name(0): 1, name(1): 0}, "Confidence"))
    ws.losses.add("c", losses=losses("c.csv", range(2)))
    expected = [("a", name(0), 0.9), ("a", name(1), 0.8), ("b", name(0), 1.0), ("b", name(1), 0.0)]
    assert shown(ws, "confidence") == [*expected, ("c", name(0), None), ("c", name(1), None)]
    assert ws.sql("SELECT count(*) AS n FROM worst_images WHERE confidence > 0.5")["n"].to_pylist() == [3]
    ws.losses.remove("a")
    ws.losses.add("b", losses=with_column("b.csv", {name(0): 0.5}, "confidence"))  # without the other image
    assert shown(ws, "confidence") == [("b", name(0), 0.5), ("c", name(0), None), ("c", name(1), None)]
    ws.losses.add("b", losses=losses("b.csv", range(2)))
    assert "confidence" not in ws.info().metadata
    assert ws.sql("SELECT * FROM examples").num_rows == 4
    assert ws.check().sound


def test_a_column_of_losses_stands_before_the_one_of_the_images(ws: Workspace) -> None:
    folder("one", range(3))
    Path("m.csv").write_text("image,shade,city\n" + "".join(f"one/{name(i)},{i},rome\n" for i in range(3)))
    ws.index("m.csv")
    ws.losses.add("a", losses=with_column("a.csv", {f"one/{name(0)}": 9.5, f"one/{name(1)}": ""}, "shade"))
    ws.losses.add("b", losses=losses("b.csv", range(1), prefix="one/"))
    keys = [f"one/{name(i)}" for i in range(2)]
    assert shown(ws, "shade, city") == [
        ("a", keys[0], 9.5, "rome"),
        ("a", keys[1], 1.0, "rome"),
        ("b", keys[0], 0.0, "rome"),
    ]
    with pytest.raises(BadInputError, match="'city' is BIGINT in this file and VARCHAR in the workspace"):
        ws.losses.add("b", losses=with_column("c.csv", {keys[0]: 5}, "city"))


def test_a_split_that_came_with_one_model_says_nothing_of_another(ws: Workspace) -> None:
    ws.index(folder("one", range(2)))
    ws.losses.add("a", losses=with_column("a.csv", {name(0): "train", name(1): "test"}, "split"))
    ws.losses.add("b", losses=losses("b.csv", range(2)))
    ws.losses.add("c", black_box=lambda images: [float(i.width) for i in images], task="loss")
    query = "SELECT model, split FROM losses ORDER BY model, image_id"
    assert [tuple(r.values()) for r in ws.sql(query).to_pylist()] == [
        ("a", "train"), ("a", "held-out"), ("b", None), ("b", None), ("c", None), ("c", None),
    ]  # fmt: skip


def test_a_column_of_losses_may_be_a_target_or_a_group_unless_models_differ(ws: Workspace) -> None:
    ws.index(folder("one", range(2)))
    ws.losses.add("a", losses=with_column("a.csv", {name(0): 64, name(1): 60}, "truth"))
    added = ws.losses.add("w", black_box=lambda i: [x.width for x in i], task="absolute-error", target="truth")
    assert (added.added, added.mean) == (2, 2.0)
    ws.index("one", group_by="truth")
    assert ws.info().grouped_by == "truth"
    ws.losses.add("b", losses=with_column("b.csv", {name(0): 64, name(1): 61}, "truth"))
    with pytest.raises(BadInputError, match="'truth' came with the losses of several models, and differs between them"):
        ws.losses.add("w", black_box=lambda i: [x.width for x in i], task="huber", target="truth")


def test_losses_of_another_origin_take_the_columns_of_a_file_with_them(ws: Workspace) -> None:
    ws.index(folder("one", range(2)))
    ws.losses.add("a", losses=with_column("a.csv", {name(0): 0.9, name(1): 0.8}, "confidence"))
    ws.losses.add("a", black_box=lambda i: [1.0 for _ in i], task="loss")
    assert ws.sql("SELECT count(*) AS n FROM model_metadata")["n"].to_pylist() == [0]


def test_two_columns_never_become_one(ws: Workspace) -> None:
    ws.index(folder("one", range(1)))
    Path("a.csv").write_text(f"image,loss,Model,model_\n{name(0)},1,x,y\n")
    ws.losses.add("a", losses="a.csv")
    assert shown(ws, "Model__, model_") == [("a", name(0), "x", "y")]
