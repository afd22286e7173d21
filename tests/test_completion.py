"""What the shell offers at TAB, asked for as bash and zsh ask: the program itself, with their variables."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.test_imports import HEAVY, NO_CATALOG, RUN

from fsearch.indexer.workspace.store import Store


def asked(line: str, shell: str = "bash", **variables: str) -> tuple[list[str], set[str]]:
    """What is offered at the end of a command line, and the modules that are loaded for it."""
    words = {"COMP_WORDS": line, "COMP_CWORD": str(len(line.split(" ")) - 1)}
    words |= {"_TYPER_COMPLETE_ARGS": line, "_FSEARCH_COMPLETE": f"complete_{shell}", **variables}
    done = subprocess.run(
        [sys.executable, "-c", f'import sys\nsys.argv = ["fsearch"]\n{RUN}'],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, **words},
    )
    return done.stdout.split(), set(done.stderr.split())


def offered(line: str, **variables: str) -> list[str]:
    return asked(line, **variables)[0]


def test_models_columns_and_runs_of_the_workspace_are_offered(fitted: Path, tmp_path: Path) -> None:
    root = shutil.copytree(fitted, tmp_path / "mine.fsearch")
    with Store.open(root).catalog.write() as con:
        con.execute("INSERT INTO losses (model, image_id, loss) SELECT 'other', image_id, loss FROM losses")
        con.execute("INSERT INTO runs (run_id, model) VALUES (7, 'other'), (8, 'other')")
        con.execute("INSERT INTO comparisons (comparison_id) VALUES (3), (12)")
        con.execute("INSERT INTO selections (name, image_id) VALUES ('odd', 1), ('odd', 2), ('two words', 3)")
    (model,) = {name for name in Store.open(root).models() if name != "other"}
    place = {"FSEARCH_WORKSPACE": str(root)}
    for command in ("query", "rank", "fit", "discover", "export", "serve", "gate"):
        assert sorted(offered(f"fsearch {command} --model ", **place)) == sorted([model, "other"])
    assert offered(f"fsearch query -w {root} --model o") == ["other"]
    assert offered("fsearch losses remove --model o", **place) == ["other"]
    assert offered("fsearch query --by skin_t", **place) == ["skin_tone"]
    assert {"label", "skin_tone", "loss"} <= set(offered("fsearch rank --where ", **place))
    assert offered("fsearch fit --group-by near", **place) == ["near-duplicates"]
    assert offered("fsearch index images --group-by skin", **place) == ["skin_tone"]
    for line in ("fsearch runs show ", "fsearch runs diff ", "fsearch runs diff 7 ", "fsearch report "):
        assert offered(line, **place)[:2] == ["8", "7"]
    assert offered("fsearch report --comparison ", **place)[:2] == ["12", "3"]
    assert offered("fsearch export x.parquet --selection ", **place) == ["odd"]
    assert {"7", "8", "other"} <= set(offered("fsearch compare ", **place))
    zsh, _ = asked(f"fsearch query -w {root} --model ", "zsh")
    assert all(f'"{name}"' in " ".join(zsh) for name in (model, "other"))


EVALUATED = ["x$(touch p)", "a b", "q\\", 'q"', "q`id`", "q'", "q;r", "q\nr", "q:r", "\x1b[31mq"]


def test_what_a_shell_would_evaluate_is_not_offered(fitted: Path, tmp_path: Path) -> None:
    root = shutil.copytree(fitted, tmp_path / "received.fsearch")
    (model,) = Store.open(root).models()
    with Store.open(root).catalog.write() as con:
        query = "INSERT INTO losses (model, image_id, loss) SELECT unnest(?), image_id, loss FROM losses"
        con.execute(query, [[*EVALUATED, "q-2"]])
    assert offered(f"fsearch query -w {root} --model ") == sorted([model, "q-2"])


def test_where_there_is_nothing_to_read_nothing_is_offered_or_said(fitted: Path, tmp_path: Path) -> None:
    assert offered(f"fsearch query -w {tmp_path} --model ") == []
    damaged = shutil.copytree(fitted, tmp_path / "damaged.fsearch")
    (damaged / "catalog.duckdb").write_bytes(b"not a catalog" * 1000)
    assert offered(f"fsearch query -w {damaged} --model ") == []
    held = shutil.copytree(fitted, tmp_path / "held.fsearch")
    with Store.open(held).catalog.write():
        assert offered(f"fsearch query -w {held} --model ") == []


def test_completion_loads_the_catalog_alone_and_no_engine_for_words_of_its_own(fitted: Path) -> None:
    assert not asked(f"fsearch query -w {fitted} --model ")[1] & (HEAVY | {"scipy", "PIL"})
    commands, modules = asked("fsearch ")
    assert {"query", "rank", "index"} <= set(commands)
    assert not modules & (HEAVY | NO_CATALOG)
