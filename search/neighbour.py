"""An image shown with a phrase, and what is known of it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An image shown with a phrase.

    Attributes
    ----------
    similarity : to the phrase less what all phrases share (docs/method.md).
    membership : the chance that the image shows it.
    loss : its real loss; `label`, `prediction` : what was right and what the black box said, where that is known.
    path : path or URL at which it can be opened; None where it is in an archive, a table or a program.
    """

    key: str
    image_id: int
    similarity: float
    loss: float
    membership: float | None = None
    label: str | None = None
    prediction: str | None = None
    path: str | None = None

    @property
    def caption(self) -> str:
        """What was right and what the black box said, in words; empty where neither is known."""
        if self.prediction is None or self.prediction == self.label:
            return self.label or ""
        return f"{self.label} as {self.prediction}" if self.label else self.prediction

    def __str__(self) -> str:
        return "  ".join(
            part for part in (f"loss {self.loss:.3f}", f"{self.similarity:.3f}", self.caption, self.key) if part
        )
