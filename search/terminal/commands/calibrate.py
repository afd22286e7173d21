"""`fsearch calibrate`: learn from labelled images how to read the workspace's encoder."""

from __future__ import annotations

from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.search.terminal.options import HERE, DeviceOption, EncoderOption, WorkspaceOption
from fsearch.search.terminal.printable import say


def calibrate(
    labels: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN|FILE",
            help="What some hundred images show: a column of theirs, or a .csv, .tsv, .jsonl or .parquet of image and "
            "label, or of image and a column of yes and no for each phrase.",
        ),
    ] = None,
    forget: Annotated[bool, typer.Option("--forget", help="Read the encoder as before.")] = False,
    encoder: EncoderOption = None,
    device: DeviceOption = "auto",
    workspace: WorkspaceOption = HERE,
) -> None:
    """Learn from labelled images how to read the encoder. Which images show a phrase, and when does none (unseen)?"""
    ws = open_workspace(workspace)
    if forget:
        say("forgotten" if ws.forget_calibration() else "it was not calibrated")
        return
    if labels is None:
        raise BadInputError("say what the images show: --labels COLUMN, or --labels FILE of image and label")
    say(str(ws.calibrate(labels, encoder=encoder, device=device)))
