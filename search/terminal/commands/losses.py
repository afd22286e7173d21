"""`fsearch losses`: add a model's losses from wherever they come, list them, remove them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from fsearch import open as open_workspace
from fsearch.search.terminal.app import print_rows
from fsearch.search.terminal.options import HERE, SplitOption, WorkspaceOption

app = typer.Typer(help="List the losses of black boxes; add or remove some.")

InFile = Annotated[Path | None, typer.Option("--losses", help="CSV, TSV, Parquet or JSONL with 'image' and 'loss'.")]
Predictions = Annotated[
    Path | None,
    typer.Option(
        help="CSV, TSV, Parquet, JSONL, npz, COCO results .json, or a folder of masks, to be judged by --task."
    ),
]
BlackBox = Annotated[
    str | None,
    typer.Option(
        help="Model to run: .onnx, .pt2, TorchScript, timm:NAME, http://…/v2/models/NAME, or module:function."
    ),
]
TaskName = Annotated[
    str | None, typer.Option("--task", help="The loss; see: fsearch losses tasks. Or module:function.")
]
Target = Annotated[
    list[str] | None,
    typer.Option(
        help="What is right: column of the predictions or the images (label, if there), folder of masks, COCO."
    ),
]
Prediction = Annotated[
    list[str] | None, typer.Option(help="Column that holds predictions; 'prob_*' for all that begin with prob_.")
]
Classes = Annotated[
    str | None, typer.Option(help="Class names in the order of the outputs: a file of one a line, or a,b,c.")
]
Scores = Annotated[
    Literal["probabilities", "logits"] | None, typer.Option(help="What class scores are. Said, never guessed.")
]
Param = Annotated[list[str] | None, typer.Option(help="Setting of the task, like k=3 or delta=0.5.")]
Weights = Annotated[Path | None, typer.Option(help="Checkpoint of a timm model: .safetensors, .pt or .pth.")]
InputName = Annotated[str | None, typer.Option(help="Name of the model's input tensor; the first by default.")]
OutputName = Annotated[str | None, typer.Option(help="Name of the model's output tensor; the first by default.")]
Size = Annotated[str | None, typer.Option(help="Input in pixels, 224 or HEIGHTxWIDTH, where the model does not say.")]
Mean = Annotated[str | None, typer.Option(help="Mean of pixel values between 0 and 1, one or one a channel: a,b,c.")]
Std = Annotated[str | None, typer.Option(help="Standard deviation of pixel values, one or one a channel: a,b,c.")]


@app.callback(invoke_without_command=True)
def losses(ctx: typer.Context, workspace: WorkspaceOption = HERE) -> None:
    """List the losses of black boxes; add or remove some."""
    if ctx.invoked_subcommand is None:
        print_rows(open_workspace(workspace).losses.listed(), "table")


@app.command()
def add(
    model: Annotated[str, typer.Option("--model", help="Name for the black box; its losses so far are replaced.")],
    losses_file: InFile = None,
    predictions: Predictions = None,
    black_box: BlackBox = None,
    task: TaskName = None,
    target: Target = None,
    prediction: Prediction = None,
    classes: Classes = None,
    scores: Scores = None,
    param: Param = None,
    weights: Weights = None,
    input_name: InputName = None,
    output_name: OutputName = None,
    size: Size = None,
    mean: Mean = None,
    std: Std = None,
    split: SplitOption = None,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Add a model's losses on images that are embedded already, from a file or by running the model."""
    from fsearch.indexer.losses.loss_spec import read_classes, read_params
    from fsearch.search.terminal.losses_text import input_options, losses_lines
    from fsearch.search.terminal.progress import bars

    with bars() as progress:
        report = open_workspace(workspace).losses.add(
            model,
            losses=losses_file,
            predictions=predictions,
            black_box=black_box,
            task=task,
            target=target or (),
            prediction=prediction or (),
            classes=read_classes(classes) if classes else (),
            scores=scores,
            params=read_params(param or ()),
            weights=weights,
            input=input_options(input_name, output_name, size, mean, std),
            split=split,
            progress=progress,
        )
    for line in losses_lines(report):
        typer.echo(line)


@app.command("list")
def listed(workspace: WorkspaceOption = HERE) -> None:
    """List the models that have losses here: which loss, from where, on how many images."""
    print_rows(open_workspace(workspace).losses.listed(), "table")


@app.command()
def remove(
    model: Annotated[str, typer.Option("--model", help="The black box to forget.")],
    workspace: WorkspaceOption = HERE,
) -> None:
    """Forget a model's losses and its fit; images, embeddings and stored rankings stay."""
    count = open_workspace(workspace).losses.remove(model)
    typer.echo(f"{count:,} losses of {model} removed")


@app.command()
def tasks() -> None:
    """List the losses that can be computed, what each is, and its settings."""
    from fsearch.search.terminal.losses_text import task_rows

    print_rows(task_rows(), "table")
