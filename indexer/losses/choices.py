"""Names that users choose from, apart from the code behind them, so that a command line can list them at once."""

from __future__ import annotations

from typing import Literal

Split = Literal["train", "held-out"]  # was the model trained on these images?
ScoreKind = Literal["probabilities", "logits"]  # what the outputs of a classifier are
Layout = Literal["nchw", "nhwc"]  # channels first or last
Resize = Literal["crop", "squash", "pad"]
Interpolation = Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]  # Pillow's filters
