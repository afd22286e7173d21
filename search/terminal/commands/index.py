"""`fsearch index`: images, and a first model's losses, into a workspace."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.search.terminal.options import (
    HERE,
    AddressOption,
    AllowOutsideOption,
    DeviceOption,
    EngineOption,
    ImageColumnOption,
    KindOption,
    LimitOption,
    MemoryOption,
    RecallOption,
    RootOption,
    RowsWhereOption,
    SampleOption,
    SeedOption,
    SplitOption,
    StagingOption,
    TemplateOption,
    WorkspaceOption,
)


def index(
    images: Annotated[
        str,
        typer.Argument(
            help="Folder, CSV, JSONL, Parquet, COCO .json, .tar, .zip, saved data set, or module:object.",
            metavar="IMAGES",
        ),
    ],
    losses_file: Annotated[
        Path | None, typer.Option("--losses", help="CSV, TSV, Parquet or JSONL with columns 'image' and 'loss'.")
    ] = None,
    model: Annotated[str, typer.Option("--model", help="Name of the black box the losses come from.")] = "model",
    kind: KindOption = None,
    image_column: ImageColumnOption = None,
    root: RootOption = None,
    allow_outside: AllowOutsideOption = False,
    where: RowsWhereOption = None,
    sample: SampleOption = None,
    seed: SeedOption = 0,
    limit: LimitOption = None,
    encoder: Annotated[
        str | None,
        typer.Option(
            help="demo (the default), an open_clip architecture, config.json, local-dir:FOLDER, hf-hub:ORG/NAME, or "
            "module:name of your own."
        ),
    ] = None,
    weights: Annotated[str | None, typer.Option(help="Hub tag, or a local .safetensors or .pt file.")] = None,
    embeddings: Annotated[
        Path | None,
        typer.Option(help=".npy, .npz or .parquet of the images' embeddings, taken instead of running an encoder."),
    ] = None,
    keys: Annotated[
        Path | None, typer.Option(help="Names of the images of a .npy, one a line; by default STEM.keys.txt beside it.")
    ] = None,
    no_text_encoder: Annotated[
        bool,
        typer.Option(
            "--no-text-encoder", help="With --embeddings: no encoder embeds phrases; query takes --text-vector."
        ),
    ] = False,
    split: SplitOption = None,
    template: TemplateOption = None,
    memory_gib: MemoryOption = None,
    recall: RecallOption = None,
    device: DeviceOption = "auto",
    engine: EngineOption = "local",
    address: AddressOption = None,
    staging: StagingOption = None,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Embed the images of a data set and store a model's losses on them. Run it again to continue or update."""
    from fsearch import images as open_images
    from fsearch.search.terminal.progress import bars
    from fsearch.search.terminal.render import index_lines

    found = open_images(
        images,
        kind=kind,
        image_column=image_column,
        root=root,
        allow_outside=allow_outside,
        where=where,
        sample=sample,
        seed=seed,
        limit=limit,
    )
    with bars() as progress:
        report = open_workspace(workspace).index(
            found,
            losses_file,
            model=model,
            encoder=encoder,
            weights=weights,
            embeddings=embeddings,
            keys=keys,
            no_text_encoder=no_text_encoder,
            split=split,
            templates=template,
            memory_gib=memory_gib,
            recall=recall,
            device=device,
            engine=engine,
            address=address,
            staging=staging,
            progress=progress,
        )
    for line in index_lines(report):
        typer.echo(line)
