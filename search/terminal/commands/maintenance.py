"""`fsearch check`, `compact` and `trust`: integrity check, repair, compaction, and what a workspace may name."""

from __future__ import annotations

from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.search.terminal.app import print_json
from fsearch.search.terminal.options import HERE, JsonOption, WorkspaceOption
from fsearch.search.terminal.printable import say


def check(
    repair: Annotated[bool, typer.Option("--repair", help="Rebuild derived data; quarantine the rest.")] = False,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Check every file and row, and name what is damaged. Exit code 1 where something is."""
    from fsearch.search.terminal.progress import bars

    with bars() as progress:
        found = open_workspace(workspace).check(repair=repair, progress=progress)
    if as_json:
        print_json(found.as_dict())
    else:
        say(str(found))
    if not found.sound:
        raise typer.Exit(1)


def compact(workspace: WorkspaceOption = HERE) -> None:
    """Reclaim unused space, and forget missing images."""
    report = open_workspace(workspace).compact()
    saved = (report.bytes_before - report.bytes_after) / 2**20
    say(f"{report.images:,} missing images and {report.embeddings:,} embeddings dropped, {saved:.1f} MiB given back")
    if report.fits:
        say(f"fit again: {', '.join(f'fsearch fit --model {m}' for m in report.fits)}")


def trust(
    forget: Annotated[bool, typer.Option("--forget", help="Trust it with nothing any more.")] = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Trust a received workspace. Only then are the encoder and the data sets that it names followed unnamed."""
    ws = open_workspace(workspace)
    if forget:
        say("forgotten" if ws.distrust() else "it was not trusted with anything")
        return
    found = ws.trust()
    say("\n".join(["trusted from now on:", *found]) if found else "it names nothing that needs trust")
