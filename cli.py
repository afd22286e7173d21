"""The command line: parse, call, print. No logic lives here; `fsearch.search.workspace` has the same words."""

from __future__ import annotations

import json
import os
import sys
import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core

from fsearch import FsearchError, __version__
from fsearch import open as open_workspace

_UsageError: Any = typer.BadParameter.__mro__[1]  # base of all that is wrong with arguments; Typer exports no name


class _Commands(typer.core.TyperGroup):
    """Every command ends alike: wrong input in one line and exit code 2, Ctrl-C in one line and 130."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except FsearchError as error:
            typer.echo(f"fsearch: {error}", err=True)
            raise typer.Exit(2) from None
        except _UsageError as error:
            command = error.ctx.command_path if error.ctx else "fsearch"
            typer.echo(f"fsearch: {error.format_message()} (help: {command} --help)", err=True)
            raise typer.Exit(2) from None
        except OSError as error:
            typer.echo(f"fsearch: {error.filename or 'system'}: {error.strerror or error}", err=True)
            raise typer.Exit(2) from None
        except KeyboardInterrupt:
            typer.echo("fsearch: stopped; what was committed is kept, run the same command to continue", err=True)
            raise typer.Exit(130) from None


app = typer.Typer(
    cls=_Commands,
    help="Find out on what kinds of image a vision model fails, in plain words.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

_WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="FSEARCH_WORKSPACE", help="Folder of the workspace.", show_envvar=True),
]
_ModelOption = Annotated[str | None, typer.Option("--model", help="Which black box, where there are several.")]
_JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
_TopOption = Annotated[int, typer.Option("--top", min=1, max=100, help="Nearest images kept with each phrase.")]
_BridgeOption = Annotated[
    Literal["attention", "prototype", "shift", "raw"],
    typer.Option("--bridge", help="How text is taken to image space."),
]
_SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; stored with the result.")]
_HERE = Path(".fsearch")
_PIPE_WIDTH = 10_000  # a pipe has no width: no line may be folded or cut


@app.command()
def index(
    images: Annotated[Path, typer.Argument(help="Folder of images; subfolders count.")],
    losses: Annotated[
        Path | None, typer.Option(help="CSV, TSV, Parquet or JSONL with columns 'image' and 'loss'.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Name of the black box the losses come from.")] = "model",
    encoder: Annotated[str | None, typer.Option(help="open_clip architecture, or demo (the default).")] = None,
    weights: Annotated[str | None, typer.Option(help="Hub tag, or a local .safetensors or .pt file.")] = None,
    workspace: _WorkspaceOption = _HERE,
) -> None:
    """Embed the images of a folder and store a model's losses on them. Run it again to continue or update."""
    from fsearch.search.bars import bars
    from fsearch.search.render import index_lines

    with bars() as progress:
        report = open_workspace(workspace).index(
            images, losses, model=model, encoder=encoder, weights=weights, progress=progress
        )
    for line in index_lines(report):
        typer.echo(line)


@app.command()
def fit(model: _ModelOption = None, seed: _SeedOption = 0, workspace: _WorkspaceOption = _HERE) -> None:
    """Learn where in the embedding space the loss is high, and say how well that worked, out of bag."""
    from fsearch.search.bars import bars

    with bars() as progress:
        report = open_workspace(workspace).fit(model, seed=seed, progress=progress)
    typer.echo(str(report))


@app.command()
def query(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help="One or several phrases.")],
    model: _ModelOption = None,
    top: _TopOption = 8,
    bridge: _BridgeOption = "attention",
    seed: _SeedOption = 0,
    as_json: _JsonOption = False,
    workspace: _WorkspaceOption = _HERE,
) -> None:
    """Ask in plain words: does the model fail more on such images, by how much, how sure, and which images show it?"""
    answers = open_workspace(workspace).query(*texts, model=model, top=top, bridge=bridge, seed=seed)
    if as_json:
        _print_json(answers.as_dict())
        return
    from fsearch.search.render import answers_text

    _console().print(answers_text(answers), soft_wrap=True)


@app.command()
def rank(
    file: Annotated[Path, typer.Argument(help=".txt, .csv, .tsv, .jsonl, .yaml or .parquet of hypotheses.")],
    out: Annotated[Path | None, typer.Option(help="Also write the ranking to .parquet, .csv or .json.")] = None,
    model: _ModelOption = None,
    top: _TopOption = 8,
    bridge: _BridgeOption = "attention",
    seed: _SeedOption = 0,
    as_json: _JsonOption = False,
    workspace: _WorkspaceOption = _HERE,
) -> None:
    """Rank a file of hypotheses, worst first, with q-values; the run is stored in the workspace."""
    from fsearch.search.bars import bars
    from fsearch.search.export import check_target, write_ranking

    if out is not None:
        check_target(out)
    with bars() as progress:
        ranking = open_workspace(workspace).rank(
            file, model=model, top=top, bridge=bridge, seed=seed, progress=progress
        )
    if out is not None:
        write_ranking(ranking, out)
    if as_json:
        _print_json(ranking.as_dict())
    else:
        _print_ranking(ranking)


@app.command()
def sql(
    statement: Annotated[
        str | None, typer.Argument(help="One SELECT; without it, a prompt (or standard input).")
    ] = None,
    format: Annotated[Literal["table", "csv", "json", "parquet"], typer.Option(help="How rows are printed.")] = "table",
    workspace: _WorkspaceOption = _HERE,
) -> None:
    """Ask the catalog in SQL, read-only. Start with: SELECT * FROM worst_images LIMIT 10"""
    ws = open_workspace(workspace)
    if statement is None and sys.stdin.isatty():
        from fsearch.search.prompt import prompt

        prompt(ws, lambda rows: _print_rows(rows, "table"), typer.echo)
        return
    _print_rows(ws.sql(sys.stdin.read() if statement is None else statement), format)


@app.command()
def info(as_json: _JsonOption = False, workspace: _WorkspaceOption = _HERE) -> None:
    """Say what is in the workspace: counts, encoder, models, fit quality, rejected files."""
    found = open_workspace(workspace).info()
    if as_json:
        _print_json(found.as_dict())
    else:
        typer.echo(str(found))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the demo's portraits go.")] = Path(
        "fsearch-demo"
    ),
    workspace: _WorkspaceOption = _HERE,
) -> None:
    """See the whole story on portraits and a really biased model: render, judge, index, fit, rank. Offline."""
    from fsearch.search.bars import bars
    from fsearch.search.demo import run_demo
    from fsearch.search.render import demo_lines

    with bars() as progress:
        report = run_demo(open_workspace(workspace), folder, progress)
    _print_ranking(report.ranking)
    here = "" if workspace == _HERE else f" -w {workspace}"
    for line in demo_lines(report, _self(), here):
        typer.echo(line)


def main() -> None:
    """Run the command line."""
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what a damaged image lacks is said in `rejected`
    app()


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"fsearch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _self() -> str:
    """How the user called this program, for commands to copy."""
    import shutil

    found = shutil.which("fsearch")
    called = Path(sys.argv[0])
    if called.name != "fsearch" or (found and Path(found).samefile(called)):
        return "fsearch"
    return os.path.relpath(called)


def _console() -> Any:
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPE_WIDTH)


def _print_json(value: object) -> None:
    typer.echo(json.dumps(value, indent=1))


def _print_ranking(ranking: Any) -> None:
    from fsearch.search.render import ranking_table

    console = _console()
    console.print(ranking_table(ranking))
    for note in ranking.notes:
        typer.echo(f"note: {note}")


def _print_rows(rows: Any, kind: str) -> None:
    from fsearch.search.render import sql_table, table_bytes

    if kind == "table":
        console = _console()
        console.print(sql_table(rows))
        return
    if kind == "parquet" and sys.stdout.isatty():
        raise typer.BadParameter("Parquet is no text; send it to a file: … --format parquet > rows.parquet")
    sys.stdout.buffer.write(table_bytes(rows, kind))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
