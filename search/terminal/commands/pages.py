"""`fsearch report`: a stored run as a file to send."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.search.terminal.options import HERE, WorkspaceOption


def report(
    run: Annotated[int | None, typer.Argument(help="Number of the run; the last by default.")] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("report.html"),
    images: Annotated[int, typer.Option(min=0, max=100, help="Images of each strip.")] = 8,
    redact: Annotated[bool, typer.Option("--redact", help="Leave images, and their names, out.")] = False,
    format: Annotated[Literal["html", "md"] | None, typer.Option(help="By default as the file's suffix says.")] = None,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Write a stored ranking as one file to send: what fails, how sure, what to do next, and the images."""
    kind = format or {".html": "html", ".htm": "html", ".md": "md"}.get(out.suffix.lower())
    if kind is None:
        raise BadInputError(f"--out {out}: use .html or .md, or say --format")
    written = open_workspace(workspace).runs.report(run, out=out, images=images, redact=redact, format=kind)
    typer.echo(f"{written}, {written.stat().st_size / 2**20:.1f} MB")
