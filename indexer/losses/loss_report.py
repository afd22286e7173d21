"""What adding a model's losses did: counts for the user, whatever the losses came from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LossesReport:
    """Counts of images after the losses of `model` were added.

    Attributes
    ----------
    task : the loss function with its parameters; "as given" for a losses file.
    added : images that have a loss now, and had none of this model, or another one, before.
    kept : images whose loss was there already: from the same model, task and settings, or equal in the losses file.
    failed : images whose loss could not be computed; the reasons are in the table `prediction_errors`.
    without : present images that have no loss of this model.
    replaced : losses that were deleted, or overwritten by another value.
    mean : mean loss of this model over all present images; NaN without one.
    notes : what the user should know about how the model was read.
    rows : what became of the rows of a file, and what the file was taken for.
    others : losses of this model on images that the losses file does not cover, which stay.
    """

    model: str
    task: str
    added: int
    kept: int
    failed: int
    without: int
    replaced: int
    mean: float
    notes: tuple[str, ...] = ()
    others: int = 0
    rows: str = ""


def clipped_note(count: int) -> tuple[str, ...]:
    """A note on boxes that were cut at the edge of their image; none for none."""
    return (f"{count:,} boxes stick out of their images and were cut at the edge",) if count else ()
