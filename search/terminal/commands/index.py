"""`fsearch index`: images, and a first model's losses, into a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.search.options import BlackBoxOptions, IndexOptions
from fsearch.search.terminal.commands.losses import BlackBox, Classes, IndexBase, Param, Scores, TaskName
from fsearch.search.terminal.options import (
    HERE,
    INDEX,
    AllowOutsideOption,
    AllowPrivateHostsOption,
    ImageColumnOption,
    KindOption,
    LimitOption,
    QuietOption,
    RootOption,
    RowsWhereOption,
    SampleOption,
    SeedOption,
    WorkspaceOption,
    with_options,
)
from fsearch.search.terminal.printable import say


@with_options(IndexOptions, INDEX)
def index(
    images: Annotated[
        str,
        typer.Argument(
            help="Folder, CSV, JSONL, Parquet, COCO .json, .tar, .zip, saved data set, or module:object.",
            metavar="IMAGES",
        ),
    ],
    options: IndexOptions,
    losses_file: Annotated[
        Path | None, typer.Option("--losses", help="CSV, TSV, Parquet or JSONL with columns 'image' and 'loss'.")
    ] = None,
    black_box: BlackBox = None,
    black_box_weights: Annotated[
        Path | None, typer.Option(help="Checkpoint of a timm model that --black-box names.")
    ] = None,
    task: TaskName = None,
    target: Annotated[
        list[str] | None,
        typer.Option(help="Ground truth of the black box: column of the images, mask folder or COCO file."),
    ] = None,
    classes: Classes = None,
    index_base: IndexBase = None,
    scores: Scores = None,
    param: Param = None,
    kind: KindOption = None,
    image_column: ImageColumnOption = None,
    root: RootOption = None,
    allow_outside: AllowOutsideOption = False,
    allow_private_hosts: AllowPrivateHostsOption = False,
    where: RowsWhereOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Embed images, and store a model's losses on them. Run it again to continue or update."""
    from fsearch import images as open_images
    from fsearch.indexer.errors import BadInputError
    from fsearch.indexer.losses.loss_spec import read_classes, read_params
    from fsearch.search.terminal.progress import bars
    from fsearch.search.terminal.render import index_lines

    found = open_images(
        images,
        kind=kind,
        image_column=image_column,
        root=root,
        allow_outside=allow_outside,
        allow_private_hosts=allow_private_hosts,
        where=where,
        sample=sample,
        seed=seed,
        limit=limit,
    )
    box = None
    if black_box is not None:
        box = BlackBoxOptions(
            black_box,
            task,
            target=target or (),
            classes=read_classes(classes) if classes else (),
            index_base=index_base,
            scores=scores,
            params=read_params(param or ()),
            weights=black_box_weights,
        )
    elif any(given is not None for given in (task, target, classes, index_base, scores, param, black_box_weights)):
        raise BadInputError("--task, --target and what else says how a model is judged are for --black-box")
    with bars(quiet) as progress:
        report = open_workspace(workspace).index(found, losses_file, black_box=box, options=options, progress=progress)
    if not quiet:
        say("\n".join(index_lines(report)))
