"""What leaves the terminal: `fsearch report`, a file to send; `serve`, a page; `export`, images for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.search.options import Form
from fsearch.search.terminal import completion
from fsearch.search.terminal.app import called_as
from fsearch.search.terminal.options import HERE, ModelOption, WorkspaceOption
from fsearch.search.terminal.printable import say


def report(
    run: Annotated[
        int | None, typer.Argument(help="Number of the run; the last by default.", autocompletion=completion.runs)
    ] = None,
    comparison: Annotated[
        int | None,
        typer.Option(
            "--comparison",
            help="Number of a stored comparison of two models, in place of a run.",
            autocompletion=completion.comparisons,
        ),
    ] = None,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file to write.")] = Path("report.html"),
    images: Annotated[int, typer.Option(min=0, max=100, help="Images of each strip.")] = 8,
    redact: Annotated[bool, typer.Option("--redact", help="Leave images, and their names, out.")] = False,
    format: Annotated[Literal["html", "md"] | None, typer.Option(help="By default as the file's suffix says.")] = None,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Write a stored ranking or comparison as one file to send. What fails, how sure, what to do next, and images."""
    kind = format or {".html": "html", ".htm": "html", ".md": "md"}.get(out.suffix.lower())
    if kind is None:
        raise BadInputError(f"--out {out}: use .html or .md, or say --format")
    runs = open_workspace(workspace).runs
    written = runs.report(run, comparison=comparison, out=out, images=images, redact=redact, format=kind)
    say(f"{written}, {written.stat().st_size / 2**20:.1f} MB")


def export(
    out: Annotated[Path, typer.Argument(help="The .parquet file to write; with --to, the file or new folder.")],
    to: Annotated[
        Form | None, typer.Option("--to", help="The form of another tool, in place of the Parquet file of your choice.")
    ] = None,
    votes: Annotated[
        bool, typer.Option("--votes", help="Write the votes on images instead, as a .csv or .parquet for --labels.")
    ] = False,
    model: ModelOption = None,
    selection: Annotated[
        str | None,
        typer.Option(
            "--selection",
            help="Only the images of this stored selection, as kept on the map of fsearch serve.",
            autocompletion=completion.selections,
        ),
    ] = None,
    images: Annotated[bool, typer.Option("--images", help="With the images themselves, for datasets.")] = False,
    vectors: Annotated[bool, typer.Option("--vectors", help="With their embeddings.")] = False,
    xy: Annotated[
        bool, typer.Option("--xy", help="With a place on a map: the embeddings' two main directions.")
    ] = False,
    neighbors: Annotated[bool, typer.Option("--neighbors", help="With the nearest images of each, as rows.")] = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Write images, losses and columns in the form of other tools. By default one Parquet file."""
    from fsearch.indexer.workspace.store import Store
    from fsearch.search.export_images import ExportOptions
    from fsearch.search.formats.registry import export_to
    from fsearch.search.terminal.progress import bars

    options = ExportOptions(images, vectors, xy, neighbors)
    if votes:
        chosen = (to, model, selection) != (None, None, None)
        return _export_votes(out, workspace, alone=not chosen and options == ExportOptions())
    if to is not None and options != ExportOptions():
        raise BadInputError(f"--to {to} says what is written: leave --images, --vectors, --xy and --neighbors out")
    with bars() as progress:
        found = export_to(Store.open(workspace), model, out, to, options, progress, selection=selection)
    without = f", {found.without:,} that could not be read left out" if found.without else ""
    say(f"{out}: {found.images:,} images{without}")
    for line in found.then:
        say(f"  {line}")


def _export_votes(out: Path, workspace: Path, *, alone: bool) -> None:
    from fsearch.indexer.workspace.store import Store
    from fsearch.search.votes import write_votes

    if not alone:
        raise BadInputError("--votes goes alone: votes are of images and phrases, whatever the model")
    say(f"{out}: {write_votes(Store.open(workspace), out):,} votes")


def serve(
    model: ModelOption = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; any but this machine's own is warned of.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port to listen on; 0 takes a free one.")] = 8765,
    root_path: Annotated[
        str, typer.Option(help="Path prefix that a proxy serves the page under, e.g. /proxy/8765.")
    ] = "",
    map: Annotated[
        Literal["pca", "umap"],
        typer.Option(help="How the map places images: umap does it before the page is served, once, and caches it."),
    ] = "pca",
    workspace: WorkspaceOption = HERE,
) -> None:
    """Serve a page to look at answers and to ask more. For this machine alone; the address printed holds its token."""
    from fsearch.search.web.server import LOOPBACK, needed, serve
    from fsearch.search.web.views import Views

    needed()
    views = Views(open_workspace(workspace), model, called_as())
    views.frame()  # what cannot be served is said before anything listens
    if map == "umap":
        say("placing the images by UMAP")
        views.map().make_umap()
    if host not in LOOPBACK:
        say(f"warning: whoever reaches {host} and has the token sees these images, over plain HTTP", err=True)

    def started(address: str) -> None:
        say(f"{address}\n(open this address; stop with Ctrl-C)")

    serve(views, host=host, port=port, root_path=root_path.rstrip("/"), started=started)
