"""The command line as a user meets it: help, golden output, one line for wrong input, quick answers."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import typer.main
from typer.testing import CliRunner

import fsearch
from fsearch.cli import app

COMMANDS = [
    "calibrate",
    "discover",
    "compare",
    "gate",
    "export",
    "serve",
    "report",
    "trust",
    "index",
    "losses",
    "fit",
    "query",
    "rank",
    "sql",
    "info",
    "runs",
    "demo",
    "check",
    "compact",
]
ROOT = Path(__file__).parents[1]


def run(*args: str | Path | int, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(a) for a in args], input=stdin)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def masked(text: str) -> str:
    """Numbers become #, runs of blanks one: what is left is words and order."""
    return re.sub(r"[ ]+", " ", re.sub(r"[+-]?(\d[\d,]*)?\.?\d+(e-\d+)?", "#", text)).strip()


def test_help_lists_every_command() -> None:
    code, out, _ = run("--help")
    assert code == 0
    for name in COMMANDS:
        assert f" {name} " in out
    assert "..." not in out.split("Commands:")[1]  # what a command does is said whole
    assert set(COMMANDS) == {path.split()[0] for path in commands()}


def commands(group: Any = None, path: str = "") -> dict[str, Any]:
    """Every command and sub-command, by what is typed."""
    group = group or typer.main.get_command(app)
    found = {}
    for name, command in group.commands.items():
        found[f"{path}{name}"] = command
        if hasattr(command, "commands"):
            found |= commands(command, f"{path}{name} ")
    return found


# Words of the code that mean nothing to whoever reads a help page; the classes of the package are added to them.
INTERNAL = {"shard", "snapshot", "fingerprint", "dataclass", "kwargs", "callback", "None", "TODO", "self"}
CLASSES = {
    node.name
    for room in ("indexer", "diagnoser", "search")
    for file in (ROOT / room).rglob("*.py")
    for node in ast.walk(ast.parse(file.read_text()))
    if isinstance(node, ast.ClassDef) and re.search(r"[a-z][A-Z]", node.name)
}


@pytest.mark.parametrize("path", commands())
def test_the_help_of_every_command_is_for_its_reader(path: str) -> None:
    command = commands()[path]
    code, page, err = run(*path.split(), "--help")
    assert (code, err) == (0, "")
    assert f"fsearch {path} " in page.replace("root", "fsearch")
    assert "Traceback" not in page
    first = (command.help or "").split("\n")[0].strip()
    assert len(first.split()) > 3
    assert first.endswith((".", "?"))
    texts = [command.help or "", *(p.help or "" for p in command.params if p.name != "help")]
    for parameter in command.params:
        assert len(parameter.help or "") > 10, f"{path} {parameter.name} has no help"
        assert (parameter.help or "").strip()[-1] in ".?", f"{path} {parameter.name}: {parameter.help}"
    words = {word for text in texts for word in re.findall(r"\w+", text)}
    assert not words & (INTERNAL | CLASSES - {"DataFrame"})


def test_every_command_is_in_the_readme() -> None:
    readme = (ROOT / "README.md").read_text()
    for name in COMMANDS:
        assert f"fsearch {name}" in readme


def test_help_info_and_sql_load_no_heavy_library(fitted: Path) -> None:
    code = (
        "import sys\nfrom fsearch.cli import app\nfrom typer.testing import CliRunner\n"
        "r = CliRunner().invoke(app, sys.argv[1:])\nassert r.exit_code == 0, r.output\n"
        "print([m for m in ('torch', 'open_clip', 'xgboost') if m in sys.modules])\n"
    )
    for args in (["--help"], ["info", "-w", str(fitted)], ["sql", "SELECT 1", "-w", str(fitted)]):
        found = subprocess.run([sys.executable, "-c", code, *args], capture_output=True, text=True, check=True)
        assert found.stdout.strip() == "[]", args


GOLDEN_QUERY = """\
dark skin tone: FAILS (predicted and observed loss are both higher, q = #)
 predicted loss #, baseline #, lift # [#, #]
 above #% of reference phrases; observed lift #, n_effective #, p #
 question # of this fit; its level is #
 fails loss # # frowning #.png
 fails loss # # smiling #.png
 passes loss # # smiling #.png
 passes loss # # frowning #.png"""


def test_query_prints_the_whole_answer(fitted: Path) -> None:
    code, out, _ = run("query", "dark skin tone", "--top", "2", "-w", fitted)
    assert code == 0
    assert masked(out) == masked(GOLDEN_QUERY)


GOLDEN_EXPLANATION = """\
dark skin tone: why fails
 rule predicted and observed loss are both higher, q = #
 support similarity #, mass #; unseen below both # and # (measured for this encoder)
 images # seem to show it (#%); of those it is judged by #% do; n_effective # (unseen below #)
 ensemble predicts a lift of # over the baseline #
 corrected to #: #% of what the real losses say beyond the prediction is believed
 interval [#, #], #%: standard error #, conformal factor #
 observed # against the rest, standard error #, p #, q # (LOND: p is tested at #, as question # of this fit; \
level # over all)
 nearest p # of the # nearest images; ranked by a strength of #
 matters from # on (losses spread by #)
 percentile above #% of the reference phrases
 contrast # [#, #] against the rest of 'dark skin tone vs light skin tone', p #, q #"""


def test_vs_contrasts_and_explain_prints_every_number(fitted: Path) -> None:
    code, out, _ = run("query", "dark skin tone", "vs", "light skin tone", "--explain", "-w", fitted)
    assert code == 0
    assert "against the rest of 'dark skin tone vs light skin tone': +" in out
    assert masked(GOLDEN_EXPLANATION) in masked(out)


def test_runs_lists_shows_and_compares(fitted: Path) -> None:
    Path("h.txt").write_text("dark skin tone\nbald\n")
    ids = [json.loads(run("rank", "h.txt", "--json", "-w", fitted)[1])["run_id"] for _ in range(2)]
    assert run("runs", "-w", fitted)[1].splitlines()[0].split()[:3] == ["run_id", "created_at", "model"]
    code, out, _ = run("runs", "show", ids[0], "-w", fitted)
    assert code == 0
    assert "bridge       membership" in out
    assert "dark skin tone" in out
    code, out, _ = run("runs", "diff", *ids, "-w", fitted)
    assert out.startswith("made with the same settings\n")
    assert json.loads(run("runs", "diff", *ids, "--json", "-w", fitted)[1])["settings"] == []
    assert run("runs", "show", "999", "-w", fitted)[2] == "fsearch: no run 999; list them with: fsearch runs\n"


def test_rank_by_names_the_slice_of_each_row(fitted: Path) -> None:
    Path("h.txt").write_text("dark skin tone\n")
    _, out, _ = run("rank", "h.txt", "--by", "eyewear", "-w", fitted)
    assert "dark skin tone [eyewear = none]" in out


def test_query_warns_about_a_word_never_seen(fitted: Path) -> None:
    _, out, _ = run("query", "a person with a zebra", "-w", fitted)
    assert out.startswith("a person with a zebra: UNSEEN (the encoder never saw 'zebra' in training)")
    assert "note: the demo encoder never saw 'zebra' in training; what it says about such a phrase means nothing" in out


def test_query_json_is_for_programs(fitted: Path) -> None:
    _, out, _ = run("query", "bald", "a hat", "--json", "--top", "3", "-w", fitted)
    found = json.loads(out)
    assert [a["hypothesis"] for a in found["answers"]] == ["bald", "a hat"]
    assert len(found["answers"][0]["nearest"]) == 3
    assert {"lift", "lo", "hi", "observed_lift", "n_effective", "p_value", "q_value", "verdict", "reason"} <= set(
        found["answers"][0]
    )


def test_info_is_golden(fitted: Path) -> None:
    _, out, _ = run("info", "-w", fitted)
    lines = masked(out.replace(str(fitted), "W")).splitlines()
    assert lines.pop(2) == "calibrated with portraits like its own"
    assert lines[:3] == ["workspace W", "encoder demo, # dimensions", "images # present, # missing, # embeddings"]
    assert lines.pop(3) == "groups # of near-duplicates, the largest of #: fsearch info --groups"
    assert lines.pop(3) == "index exact, # vectors"
    assert lines[3].startswith("source /")
    assert lines[3].endswith("/images: # images")
    assert lines[4] == "metadata eyewear, skin_tone"
    assert "model planted: # losses, mean #; out-of-bag Spearman # (permuted #)" in lines
    as_json = json.loads(run("info", "--json", "-w", fitted)[1])
    assert (as_json["images"], as_json["fsearch_version"]) == (320, fsearch.__version__)


def test_rank_prints_stores_and_exports(fitted: Path, tmp_path: Path) -> None:
    Path("h.txt").write_text("# what may be wrong\nlight skin tone\ndark skin tone\nbald\na purple hat\n")
    for kind in ("parquet", "csv", "json"):
        code, out, _ = run("rank", "h.txt", "--out", f"r.{kind}", "-w", fitted)
        assert code == 0
    lines = out.splitlines()
    assert lines[0].split() == ["rank", "hypothesis", "verdict", "lift", "90%", "interval", "observed", "n", "eff", "q"]
    assert masked(lines[1]) == "# dark skin tone fails # [#, #] # # <#"
    assert masked(lines[4]).startswith("# a purple hat unseen")
    assert pq.read_table("r.parquet")["hypothesis"].to_pylist()[0] == "dark skin tone"
    assert Path("r.csv").read_text().startswith("rank,hypothesis,group,template,verdict,expected_loss")
    assert json.loads(Path("r.json").read_text())["ranking"][0]["verdict"] == "fails"
    _, out, _ = run(
        "sql", "SELECT hypothesis FROM latest_ranking WHERE verdict = 'fails'", "--format", "csv", "-w", fitted
    )
    assert out.splitlines()[:2] == ["hypothesis", "dark skin tone"]
    query = "SELECT kind, count(*) AS n FROM latest_evidence WHERE rank = 1 GROUP BY 1 ORDER BY 1"
    _, out, _ = run("sql", query, "--format", "json", "-w", fitted)
    assert json.loads(out) == [{"kind": kind, "n": 8} for kind in ("failing", "nearest", "passing")]


def test_the_same_seed_gives_the_same_ranking(fitted: Path) -> None:
    Path("h.txt").write_text("dark skin tone\nbald\na hat\n")
    outs = [run("rank", "h.txt", "--json", "--seed", "3", "-w", fitted)[1] for _ in range(2)]
    first, second = (json.loads(o)["ranking"] for o in outs)
    assert first == second


@pytest.mark.parametrize("bridge", ["membership", "raw", "attention"])
def test_every_bridge_answers(fitted: Path, bridge: str) -> None:
    code, out, _ = run("query", "dark skin tone", "--bridge", bridge, "--json", "-w", fitted)
    assert code == 0
    assert json.loads(out)["answers"][0]["observed_lift"] > 0


def test_sql_reads_from_a_pipe_and_writes_every_format(fitted: Path) -> None:
    _, out, _ = run("sql", "-w", fitted, stdin="SELECT model, images FROM model_summary;")
    assert masked(out) == "model images \nplanted #".replace(" \n", "\n")
    result = CliRunner().invoke(app, ["sql", "SELECT 1 AS one", "--format", "parquet", "-w", str(fitted)])
    Path("one.parquet").write_bytes(result.stdout_bytes)
    assert pq.read_table("one.parquet").to_pylist() == [{"one": 1}]


REFUSED = [
    "INSERT INTO settings VALUES ('a', 'b')",
    "DELETE FROM images",
    "DROP TABLE images",
    "COPY images TO 'out.csv'",
    "COPY images FROM 'in.csv'",
    "ATTACH 'other.duckdb'",
    "ATTACH ':memory:' AS m",
    "SELECT * FROM read_csv('/etc/passwd')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM '/etc/passwd'",
    "EXPLAIN ANALYZE DELETE FROM images",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "PRAGMA enable_profiling",
    "CREATE TEMP TABLE t AS SELECT 1",
    "EXPORT DATABASE 'out'",
    "CALL pragma_version()",
    "SELECT 1; SELECT 2",
    "SELEC 1",
    "SELECT * FROM no_such_table",
    "",
]


@pytest.mark.parametrize("statement", REFUSED)
def test_sql_that_writes_or_reads_files_is_refused(fitted: Path, statement: str) -> None:
    before = (fitted / "catalog.duckdb").read_bytes()
    code, out, err = run("sql", statement, "-w", fitted)
    assert (code, out) == (2, "")
    assert err.startswith("fsearch: SQL: ")
    assert len(err.splitlines()) == 1
    assert (fitted / "catalog.duckdb").read_bytes() == before
    assert not list(Path().glob("out*"))


def bad_inputs() -> list[tuple[list[str], str]]:
    return [
        (["index", "nowhere"], "no such folder or file: nowhere"),
        (["index", "empty"], "no images in empty"),
        (["index", "file.txt"], "file.txt is no image source; use a folder, .csv"),
        (["index", "images", "--losses", "l.csv"], "l.csv has no column 'loss' (seen: image, score)"),
        (["index", "images", "--encoder", "nonsense"], "unknown encoder 'nonsense'"),
        (["index", "images", "--model", "a/b"], "model name 'a/b'"),
        (["query"], "Missing argument 'TEXT...'. (help: "),
        (["query", "bald", "--bridge", "nonsense"], "'nonsense' is not one of 'membership'"),
        (["query", "bald", "--nonsense"], "No such option"),
        (["nonsense"], "No such command 'nonsense'"),
        (["query", "bald"], "no workspace at .fsearch; make one with: fsearch index"),
        (["fit"], "no workspace at .fsearch"),
        (["rank", "nowhere.txt"], "no such hypothesis file: nowhere.txt"),
        (["rank", "h.txt", "--out", "x.xlsx"], "--out x.xlsx: use .parquet, .csv, .json"),
        (["rank", "h.txt", "--out", "no/x.csv"], "no such folder: no"),
        (["info"], "no workspace at .fsearch"),
        (["sql", "SELECT 1"], "no workspace at .fsearch"),
    ]


@pytest.mark.parametrize(("args", "message"), bad_inputs(), ids=lambda v: " ".join(v) if isinstance(v, list) else None)
def test_wrong_input_is_one_line_and_exit_code_two(args: list[str], message: str, planted: object) -> None:
    Path("empty").mkdir()
    Path("images").symlink_to(planted.folder)  # type: ignore[attr-defined]
    Path("file.txt").write_text("x")
    Path("h.txt").write_text("bald\n")
    Path("l.csv").write_text("image,score\n000.png,1\n")
    code, out, err = run(*args)
    assert (code, out) == (2, "")
    assert err.startswith("fsearch: ")
    assert message in err
    assert len(err.splitlines()) == 1
    assert not Path(".fsearch").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([(f"{i:03d}.png", 1.0 + i) for i in range(49)], "49 images with a loss for model 'm'; a fit needs 50"),
        (
            [(f"{i:03d}.png", 0.5) for i in range(60)],
            "all losses of model 'm' are equal (0.5); there is nothing to learn",
        ),
    ],
)
def test_a_fit_that_cannot_be_says_why(planted: object, rows: list[tuple[str, float]], message: str) -> None:
    Path("l.csv").write_text("image,loss\n" + "".join(f"{k},{v}\n" for k, v in rows))
    assert run("index", planted.folder, "--losses", "l.csv", "--model", "m")[0] == 0  # type: ignore[attr-defined]
    code, _, err = run("fit")
    assert (code, err) == (2, f"fsearch: {message}\n")
    assert not Path(".fsearch/models/m").exists()


def test_the_workspace_comes_from_option_environment_or_folder(fitted: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FSEARCH_WORKSPACE", str(fitted))
    assert run("info")[0] == 0
    assert run("info", "-w", "elsewhere")[0] == 2
    monkeypatch.delenv("FSEARCH_WORKSPACE")
    Path(".fsearch").symlink_to(fitted)
    assert run("info")[0] == 0


def test_losses_that_say_nothing_are_said_to(planted: object) -> None:
    import numpy as np

    noise = np.random.default_rng(0).gamma(1.0, 1.0, 320)
    Path("l.csv").write_text("image,loss\n" + "".join(f"{i:03d}.png,{v}\n" for i, v in enumerate(noise)))
    run("index", planted.folder, "--losses", "l.csv")  # type: ignore[attr-defined]
    code, out, _ = run("fit")
    assert code == 0
    assert "warning: no better than chance" in out
    _, out, _ = run("query", "dark skin tone")
    assert "note: no better than chance: these embeddings do not explain where this model fails" in out
    assert "NO SIGNAL above chance" in run("info")[1]


def test_a_fit_that_is_out_of_date_is_said_to_be(planted: object) -> None:
    losses = planted.losses.read_text().splitlines()  # type: ignore[attr-defined]
    run("index", planted.folder, "--losses", planted.losses)  # type: ignore[attr-defined]
    run("fit")
    assert "changed since the fit" not in run("query", "bald")[1]
    head, first, *rest = losses
    Path("l.csv").write_text("\n".join([head, first.replace(first.split(",")[1], "99.0"), *rest]) + "\n")
    run("index", planted.folder, "--losses", "l.csv")  # type: ignore[attr-defined]
    assert (
        "note: images or losses changed since the fit, which does not know of it; run: fsearch fit"
        in run("query", "bald")[1]
    )


def test_photographs_under_the_demo_encoder_are_never_judged(planted: object) -> None:
    from PIL import Image

    Path("photos").mkdir()
    for i, path in enumerate(sorted(planted.folder.iterdir())[:80]):  # type: ignore[attr-defined]
        Image.open(path).resize((120, 100)).save(f"photos/{i:03d}.png")
    Path("l.csv").write_text("image,loss\n" + "".join(f"{i:03d}.png,{i % 7}\n" for i in range(80)))
    run("index", "photos", "--losses", "l.csv")
    run("fit")
    _, out, _ = run("query", "dark skin tone")
    assert out.startswith("dark skin tone: UNSEEN (the encoder was not made for these images")
    assert "note: the demo encoder knows only portraits drawn by fsearch" in out


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a folder that refuses even root")
def test_a_place_that_cannot_be_written_is_one_line(planted: object) -> None:
    code, _, err = run("index", planted.folder, "-w", "/proc/none.fsearch")  # type: ignore[attr-defined]
    assert code == 2
    assert err.startswith("fsearch: /proc/none.fsearch")
    assert len(err.splitlines()) == 1


def on_a_terminal(*args: str | Path) -> tuple[int, str]:
    """Run fsearch on a pseudo-terminal, as a person does; what it said, without control codes."""
    from drawing_terminal import run_on  # which needs a system with pseudo-terminals

    code, said = run_on("none", *args)
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode())


@pytest.mark.slow
def test_a_terminal_sees_a_bar_with_rate_and_a_pipe_does_not(planted: object) -> None:
    code, said = on_a_terminal("index", planted.folder, "--losses", planted.losses)  # type: ignore[attr-defined]
    assert code == 0, said
    assert re.search(r"embedding .*/320 \d+/s", said)
    assert "320 images found: 320 embedded" in said
    code, said = on_a_terminal("fit")
    assert code == 0, said
    assert "fitting" in said
    _, out, err = run("fit")
    assert "fitting" not in out + err


@pytest.mark.slow
def test_a_narrow_terminal_keeps_the_numbers_whole(fitted: Path) -> None:
    Path("h.txt").write_text("a bald person with a full beard and sunglasses\ndark skin tone\n")
    code, said = on_a_terminal("rank", "h.txt", "-w", fitted)
    assert code == 0
    assert re.search(r"\[[+-]\d\.\d{3}, [+-]\d\.\d{3}\]", said)
    assert "…" not in said


def test_a_reader_that_has_seen_enough_is_no_error(fitted: Path) -> None:
    command = [sys.executable, "-m", "fsearch.cli", "sql", "FROM range(300_000)", "--format", "csv", "-w", str(fitted)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "range\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 0
