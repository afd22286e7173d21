"""The command line: parse, call, print. No logic lives here; `fsearch.search.workspace` has the same words."""

from __future__ import annotations

import gc
import sys
import warnings
from pathlib import Path
from typing import Annotated, Literal

import typer
import typer.core

from fsearch import __version__
from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.layout import Layout
from fsearch.search.options import QueryOptions
from fsearch.search.terminal.app import (
    Commands,
    called_as,
    leave,
    print_json,
    print_ranking,
    print_rows,
    read_stdin,
)
from fsearch.search.terminal.commands import losses, release, runs
from fsearch.search.terminal.commands.calibrate import calibrate
from fsearch.search.terminal.commands.discover import discover
from fsearch.search.terminal.commands.index import index
from fsearch.search.terminal.commands.maintenance import check, compact, trust
from fsearch.search.terminal.commands.pages import export, report, serve
from fsearch.search.terminal.commands.query import query
from fsearch.search.terminal.options import (
    HERE,
    QUERY,
    AddressOption,
    DeviceOption,
    EncoderOption,
    EngineOption,
    ExplainOption,
    GroupByOption,
    JsonOption,
    ModelOption,
    QuietOption,
    SeedOption,
    TextVectorOption,
    WorkspaceOption,
    with_options,
)
from fsearch.search.terminal.printable import prepare_streams, say

app = typer.Typer(
    cls=Commands,
    help="Find out on what kinds of image a vision model fails, in plain words.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.command()(index)


@app.command()
def fit(
    model: ModelOption = None,
    encoder: EncoderOption = None,
    seed: SeedOption = 0,
    group_by: GroupByOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "local",
    address: AddressOption = None,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Learn where in the embedding space the loss is high. Says how well that worked, out of bag."""
    from fsearch.search.terminal.progress import bars

    with bars(quiet) as progress:
        report = open_workspace(workspace).fit(
            model,
            encoder=encoder,
            seed=seed,
            group_by=group_by,
            device=device,
            engine=engine,
            address=address,
            progress=progress,
        )
    if not quiet:
        say(str(report))


app.command()(query)


@app.command()
@with_options(QueryOptions, QUERY)
def rank(
    options: QueryOptions,
    file: Annotated[
        Path | None,
        typer.Argument(help=".txt, .csv, .tsv, .jsonl, .yaml or .parquet of hypotheses, or a name that --list gives."),
    ] = None,
    listed: Annotated[bool, typer.Option("--list", help="List the hypothesis files that come with fsearch.")] = False,
    out: Annotated[Path | None, typer.Option(help="Also write the ranking to .parquet, .csv or .json.")] = None,
    model: ModelOption = None,
    explain: ExplainOption = False,
    encoder: EncoderOption = None,
    text_vector: TextVectorOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Rank a file of hypotheses, worst first. With q-values; the run is stored in the workspace."""
    if file is None or listed:
        from fsearch.search.hypotheses import shipped

        if not listed:
            raise BadInputError(f"name a file of hypotheses, or one that comes with fsearch: {', '.join(shipped())}")
        for name, path in shipped().items():
            say(f"{name:<12} {path}")
        return
    from fsearch.search.terminal.progress import bars

    with bars() as progress:
        ranking = open_workspace(workspace).rank(
            file,
            model=model,
            out=out,
            options=options,
            encoder=encoder,
            text_vectors=text_vector,
            progress=progress,
        )
    if as_json:
        print_json(ranking.as_dict())
    else:
        print_ranking(ranking, explain)
        say(f"stored as run {ranking.run_id}; all of it: fsearch runs show {ranking.run_id} --json")


@app.command()
def sql(
    statement: Annotated[str | None, typer.Argument(help="One SELECT; without it, standard input.")] = None,
    format: Annotated[Literal["table", "csv", "json", "parquet"], typer.Option(help="How rows are printed.")] = "table",
    timeout: Annotated[float, typer.Option(min=0.1, help="Seconds that it may take.")] = 60.0,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Ask the catalog in SQL, read-only. Start with: SELECT * FROM worst_images LIMIT 10."""
    if statement is None and sys.stdin is not None and sys.stdin.isatty():
        catalog = Layout(workspace).catalog
        raise BadInputError(
            f"give a statement; for a prompt open the catalog in DuckDB's own shell: duckdb -readonly {catalog}"
        )
    print_rows(open_workspace(workspace).sql(read_stdin() if statement is None else statement, timeout=timeout), format)


@app.command()
def info(
    groups: Annotated[
        bool, typer.Option("--groups", help="List the largest groups of repeated images instead.")
    ] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Say what is in the workspace. Counts, encoder, models, fit quality, rejected files."""
    if groups:
        return print_rows(open_workspace(workspace).sql("FROM image_groups LIMIT 20"), "json" if as_json else "table")
    found = open_workspace(workspace).info()
    if as_json:
        print_json(found.as_dict())
    else:
        say(str(found))


@app.command()
def demo(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="Where the demo's portraits go.")] = Path(
        "fsearch-demo"
    ),
    truth: Annotated[
        bool, typer.Option("--truth", help="Print the true lift of each hypothesis too, known from the renderer.")
    ] = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """See the whole story on portraits, offline. A really biased model is judged: render, index, fit, rank."""
    from fsearch.search.demo import run_demo
    from fsearch.search.terminal.progress import bars
    from fsearch.search.terminal.render import demo_lines

    with bars() as progress:
        report = run_demo(open_workspace(workspace), folder, progress)
    print_ranking(report.ranking, truths=report.truths if truth else None)
    here = "" if workspace == HERE else f" -w {workspace}"
    for line in demo_lines(report, called_as(), here):
        say(line)


app.command()(discover)
release.register(app)
for command in (report, serve, calibrate, export, check, compact, trust):
    app.command()(command)
app.add_typer(losses.app, name="losses")
app.add_typer(runs.app, name="runs")


def main() -> None:
    """Run the command line."""
    prepare_streams()
    gc.set_threshold(50_000)  # a command starts by importing: many new objects, and no garbage to look for among them
    warnings.filterwarnings("ignore", module=r"PIL\.")  # what a damaged image lacks is said in `rejected`
    try:
        app()
    except SystemExit as end:
        leave(end)


def _version(asked: bool) -> None:
    if asked:
        say(f"fsearch {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


if __name__ == "__main__":
    main()
