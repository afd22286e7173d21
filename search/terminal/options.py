"""The options that several commands share, each with its help, as Typer annotations for cli.py."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

HERE = Path(".fsearch")

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="FSEARCH_WORKSPACE", help="Folder of the workspace.", show_envvar=True),
]
ModelOption = Annotated[str | None, typer.Option("--model", help="Which black box, where there are several.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
TopOption = Annotated[int, typer.Option("--top", min=1, max=100, help="Nearest images kept with each phrase.")]
BridgeOption = Annotated[
    Literal["membership", "mixture", "attention", "prototype", "centre", "shift", "raw"],
    typer.Option("--bridge", help="How text is taken to image space; all but the first are for comparison."),
]
WhereOption = Annotated[
    str | None,
    typer.Option(help="Ask only about images that fulfil an SQL predicate, e.g. \"label = 'smiling'\"."),
]
ByOption = Annotated[str | None, typer.Option(help="Ask again within each value of a column, e.g. label.")]
FdrOption = Annotated[
    Literal["bh", "by"],
    typer.Option("--fdr", help="How p becomes q: Benjamini-Hochberg, or Benjamini-Yekutieli under any dependence."),
]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Print every number and the rule behind each verdict.")]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; stored with the result.")]
SplitOption = Annotated[
    Literal["train", "held-out"] | None, typer.Option(help="Was the model trained on these images, or not?")
]
TemplateOption = Annotated[
    list[str] | None, typer.Option(help='What phrases are put into, with {}: "a photo of a person with {}".')
]
KindOption = Annotated[
    Literal["folder", "imagefolder", "manifest", "huggingface", "webdataset", "archive", "coco", "python"] | None,
    typer.Option(help="What IMAGES is, where that is not clear; imagefolder takes folders for labels."),
]
ImageColumnOption = Annotated[str | None, typer.Option(help="Column of a table that holds paths, URLs or images.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder that a table's paths are relative to; its own by default.")
]
AllowOutsideOption = Annotated[bool, typer.Option("--allow-outside", help="Let a table name files outside its root.")]
RowsWhereOption = Annotated[
    str | None,
    typer.Option("--where", help='Only images whose own columns fulfil an SQL predicate, e.g. "year > 2020".'),
]
SampleOption = Annotated[int | None, typer.Option(min=1, help="Only so many images, drawn at random by --seed.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only so many images, from the beginning.")]
MemoryOption = Annotated[
    float | None,
    typer.Option("--memory-gib", help="The most that the FAISS index may take; by default half of the memory."),
]
DeviceOption = Annotated[
    Literal["auto", "cpu", "cuda"], typer.Option(help="Where models run: the GPU where there is one, or as you say.")
]
EngineOption = Annotated[
    Literal["local", "ray"],
    typer.Option(help="Work in this process, or on a Ray cluster (install the extra 'ray')."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="With --engine ray: the cluster, e.g. HOST:6379; one on this machine by default.")
]
StagingOption = Annotated[
    str | None,
    typer.Option(help="With --engine ray: a folder that all machines see, or an fsspec URL; by default W/staged."),
]
RecallOption = Annotated[
    float | None,
    typer.Option(help="Share of the true nearest images that an index too large to be exact must find (0.95)."),
]
