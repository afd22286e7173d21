"""`fsearch losses`: add a model's losses from a file or by running it, list them, remove them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsearch import open as open_workspace
from fsearch.indexer.losses.choices import Interpolation, Layout, Resize, ScoreKind
from fsearch.search.terminal import completion
from fsearch.search.terminal.app import print_rows
from fsearch.search.terminal.options import (
    HERE,
    IGNORE_UNKNOWN_HELP,
    KEY_COLUMN_HELP,
    QuietOption,
    SplitOption,
    WorkspaceOption,
)
from fsearch.search.terminal.printable import say

if TYPE_CHECKING:
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions

app = typer.Typer(help="List the losses of black boxes; add or remove some.")

InFile = Annotated[Path | None, typer.Option("--losses", help="CSV, TSV, Parquet or JSONL with 'image' and 'loss'.")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        help="CSV, TSV, Parquet, JSONL, npz, COCO results .json, or a folder of masks; --task evaluates them."
    ),
]
BlackBox = Annotated[
    str | None,
    typer.Option(
        help="Model: .onnx, .pt2, TorchScript, timm:NAME, hf:FOLDER, http://…/v2/models/NAME, or module:function."
    ),
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="Loss function; see: fsearch losses tasks. Or module:function.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(help="Ground truth: column name, mask folder or COCO file."),
]
Prediction = Annotated[
    list[str] | None, typer.Option(help="Column of predictions; 'prob_*' for all that begin with prob_.")
]
Classes = Annotated[
    str | None,
    typer.Option(help="Class names in the order of the outputs: a file with one per line, id2label in JSON, or a,b,c."),
]
IndexBase = Annotated[
    int | None, typer.Option(min=0, max=1, help="Labels that are numbers count the classes from it: 0, or 1.")
]
Scores = Annotated[ScoreKind | None, typer.Option(help="Probabilities or logits (required; never inferred).")]
Param = Annotated[list[str] | None, typer.Option(help="Parameter of the loss function, like k=3 or delta=0.5.")]
SameImages = Annotated[
    str | None,
    typer.Option("--images", help="The data set again; by default where the workspace says, if it is trusted with it."),
]
Weights = Annotated[Path | None, typer.Option(help="Checkpoint of a timm model: .safetensors, .pt or .pth.")]
InputName = Annotated[str | None, typer.Option(help="Name of the model's input tensor; the first by default.")]
OutputName = Annotated[str | None, typer.Option(help="Name of the model's output tensor; the first by default.")]
Size = Annotated[
    str | None, typer.Option(help="Input size in pixels, 224 or HEIGHTxWIDTH, where the model does not declare it.")
]
Mean = Annotated[str | None, typer.Option(help="Mean of pixel values from 0 to 1, one or one per channel: a,b,c.")]
Std = Annotated[str | None, typer.Option(help="Standard deviation of pixel values, one or one per channel: a,b,c.")]
LayoutOption = Annotated[
    Layout | None, typer.Option(help="Channels first or last, where the model does not declare it.")
]
ResizeOption = Annotated[
    Resize | None,
    typer.Option(help="Scale the short side and cut the middle (the default), ignore the aspect ratio, or letterbox."),
]
InterpolationOption = Annotated[
    Interpolation | None,
    typer.Option(help="Filter of the resize; bilinear by default."),
]
CropPct = Annotated[
    float | None, typer.Option(help="Share of the resized short side that a crop keeps: 0.875 for 224 of 256.")
]


@app.callback(invoke_without_command=True)
def losses(ctx: typer.Context, workspace: WorkspaceOption = HERE) -> None:
    """List the losses of black boxes; add or remove some."""
    if ctx.invoked_subcommand is None:
        print_rows(open_workspace(workspace).losses.list(), "table")


@app.command()
def add(
    model: Annotated[str, typer.Option("--model", help="Name for the black box; earlier losses of it are replaced.")],
    losses_file: InFile = None,
    predictions: Predictions = None,
    black_box: BlackBox = None,
    task: TaskName = None,
    target: Target = None,
    prediction: Prediction = None,
    classes: Classes = None,
    index_base: IndexBase = None,
    scores: Scores = None,
    param: Param = None,
    weights: Weights = None,
    input_name: InputName = None,
    output_name: OutputName = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    images: SameImages = None,
    key_column: Annotated[str | None, typer.Option("--key-column", help=KEY_COLUMN_HELP)] = None,
    ignore_unknown: Annotated[bool, typer.Option("--ignore-unknown", help=IGNORE_UNKNOWN_HELP)] = False,
    layout: LayoutOption = None,
    resize: ResizeOption = None,
    interpolation: InterpolationOption = None,
    crop_pct: CropPct = None,
    split: SplitOption = None,
    quiet: QuietOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Add losses, from a file or by running a model. The images are embedded already."""
    from dataclasses import replace

    from fsearch.indexer.losses.loss_spec import read_classes, read_params
    from fsearch.search.terminal.progress import bars
    from fsearch.search.terminal.render import losses_lines

    with bars(quiet) as progress:
        report = open_workspace(workspace).losses.add(
            model,
            losses=losses_file,
            predictions=predictions,
            black_box=black_box,
            task=task,
            target=target or (),
            prediction=prediction or (),
            classes=read_classes(classes) if classes else (),
            index_base=index_base,
            scores=scores,
            params=read_params(param or ()),
            weights=weights,
            input=replace(
                _input_options(input_name, output_name, size, mean, std),
                layout=layout,
                resize=resize,
                interpolation=interpolation,
                crop_pct=crop_pct,
            ),
            images=images,
            key_column=key_column,
            ignore_unknown=ignore_unknown,
            split=split,
            progress=progress,
        )
    if not quiet:
        say("\n".join(losses_lines(report)))


@app.command("list")
def listed(workspace: WorkspaceOption = HERE) -> None:
    """List the models with losses. Loss function, origin, number of images."""
    print_rows(open_workspace(workspace).losses.list(), "table")


@app.command()
def remove(
    model: Annotated[str, typer.Option("--model", help="The black box to remove.", autocompletion=completion.models)],
    workspace: WorkspaceOption = HERE,
) -> None:
    """Delete a model's losses and its fit. Images, embeddings and stored rankings stay."""
    count = open_workspace(workspace).losses.remove(model)
    say(f"{count:,} losses of {model} removed")


@app.command()
def tasks() -> None:
    """List the loss functions: formula, range, parameters."""
    import pyarrow as pa

    from fsearch.indexer.losses.functions.registry import TASKS

    found = TASKS.values()
    columns = {
        "task": list(TASKS),
        "loss": [t.about for t in found],
        "settings": [", ".join(t.params) for t in found],
    }
    print_rows(pa.table(columns), "table")


def _input_options(
    input_name: str | None, output_name: str | None, size: str | None, mean: str | None, std: str | None
) -> InputOptions:
    """The model's preprocessing from command-line options. Raises BadInputError for an invalid size or number."""
    from fsearch.indexer.errors import BadInputError
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions, read_numbers, read_size

    try:
        sides = read_size(size) if size else None
    except ValueError as error:
        raise BadInputError(f"--size {size}: {error}") from error
    return InputOptions(
        input=input_name,
        output=output_name,
        size=sides,
        mean=read_numbers(mean, "--mean") if mean else None,
        std=read_numbers(std, "--std") if std else None,
    )
