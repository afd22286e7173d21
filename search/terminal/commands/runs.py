"""`fsearch runs`: stored rankings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from fsearch import open as open_workspace
from fsearch.search.terminal import completion
from fsearch.search.terminal.app import print_fitting, print_json
from fsearch.search.terminal.options import HERE, JsonOption, WorkspaceOption
from fsearch.search.terminal.printable import say

_SHOWN = ["rank", "hypothesis", "within", "verdict", "lift", "lo", "hi", "observed_lift", "q_value", "reason"]

_LEFT_OUT_OF_LIST = ("bridge", "seed", "by", "condition", "source", "created_at")
_LEFT_OUT = ("within", "reason", "observed_lift", "hi", "lo", "rank_before", "rank_after", "lift_before")

app = typer.Typer(help="List stored rankings; show one, or compare two.")


@app.callback(invoke_without_command=True)
def runs(ctx: typer.Context, workspace: WorkspaceOption = HERE) -> None:
    """List stored rankings; show one, or compare two."""
    if ctx.invoked_subcommand is None:
        print_fitting(open_workspace(workspace).runs.list(), _LEFT_OUT_OF_LIST)


@app.command("show")
def show(
    run: Annotated[int, typer.Argument(help="Number of the run.", autocompletion=completion.runs)],
    out: Annotated[Path | None, typer.Option(help="Also write it to .parquet, .csv or .json, as `rank --out`.")] = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Show a stored ranking and all it was made with."""
    stored = open_workspace(workspace).runs
    if out is not None:
        from fsearch.search.export import write_ranking

        write_ranking(stored.ranking(run), out)
    found = stored.show(run)
    _print_stored(found, found.rows.select(_SHOWN), as_json)


@app.command("diff")
def diff(
    before: Annotated[int, typer.Argument(help="Number of the earlier run.", autocompletion=completion.runs)],
    after: Annotated[int, typer.Argument(help="Number of the later run.", autocompletion=completion.runs)],
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Say what changed between two stored rankings. Settings, verdicts, ranks and lifts."""
    found = open_workspace(workspace).runs.diff(before, after)
    _print_stored(found, found.rows, as_json)


def _print_stored(found: Any, rows: Any, as_json: bool) -> None:
    if as_json:
        return print_json(found.as_dict())
    say(f"{found}\n")
    print_fitting(rows, _LEFT_OUT)
