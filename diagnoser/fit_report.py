"""Fit report: out-of-bag skill of the ensemble, and warnings that go with every answer."""

from __future__ import annotations

from dataclasses import dataclass

from fsearch.diagnoser.loss_transform import LossTransform, TransformName

FEW_GROUPS = 0.95  # groups an image, below which every answer says so: a stray pair changes nothing
NO_SIGNAL = (
    "no better than chance: these embeddings do not explain where this model fails, so no phrase is judged; "
    "the observed lifts are real, but may be luck"
)
TRAINING_LOSSES = (
    "of these losses {share:.0%} come from images the model was trained on; a model knows those by heart, so what it "
    "fails on can look fine: use losses of held-out images"
)


@dataclass(frozen=True, slots=True)
class FitReport:
    """A fit in figures, measured out of bag.

    Attributes
    ----------
    images : distinct images with a loss; `sampled` : those the ensemble was trained on.
    loss_std : standard deviation of the losses.
    trees, linear : weight of each side of the ensemble; `rounds` : trees a member keeps, mean.
    spearman, r2 : out-of-bag rank correlation, and share of variance explained, of predicted and real loss.
    spearman_permuted : the same correlation after fitting to permuted losses: what no signal gives.
    signal : whether the rank or the linear correlation is above both that and what luck gives.
    training_share : share of the losses that come from the model's own training images; None where it is not known.
    groups : groups of repeated images among them, `images` where there are none; `largest_group` : images of one.
    grouped_by : the column that says which images are repeats; None where near-duplicates were found.
    effective_images : independent images that the losses of those trained on are worth.
    """

    model: str
    images: int
    sampled: int
    mean_loss: float
    loss_std: float
    members: int
    trees: float
    linear: float
    rounds: float
    spearman: float
    r2: float
    spearman_permuted: float
    signal: bool
    target: TransformName
    training_share: float | None
    seed: int
    groups: int
    largest_group: int
    grouped_by: str | None
    effective_images: float

    @property
    def notes(self) -> tuple[str, ...]:
        """Warnings that go with every answer."""
        return (*self._warnings, self.repetition) if self.groups < FEW_GROUPS * self.images else self._warnings

    @property
    def _warnings(self) -> tuple[str, ...]:
        found = () if self.signal else (NO_SIGNAL,)
        return (*found, TRAINING_LOSSES.format(share=self.training_share)) if self.training_share else found

    @property
    def repetition(self) -> str:
        """How many groups of repeated images there are, in words."""
        kind = "of near-duplicates" if self.grouped_by is None else f"by {self.grouped_by}"
        return f"{self.images:,} images in {self.groups:,} groups {kind}, the largest of {self.largest_group:,}"

    def __str__(self) -> str:
        sample = "" if self.sampled == self.images else f" (trained on a stratified sample of {self.sampled:,})"
        lines = [
            f"model {self.model}: {self.members} members on {self.images:,} images{sample}, "
            f"target {LossTransform(self.target)}",
            f"  weights: trees {self.trees:.2f} ({self.rounds:.0f} a member), linear {self.linear:.2f}",
            f"  out of bag: Spearman {self.spearman:.3f}, R2 {self.r2:.3f} "
            f"(Spearman with permuted losses: {self.spearman_permuted:.3f})",
        ]
        if self.training_share is None:
            lines.append("  split: not said; if these are training losses, say so: fsearch index … --split train")
        if self.groups < self.images:
            lines.append(f"  repeats: {self.repetition}")
        return "\n".join([*lines, *(f"  warning: {note}" for note in self._warnings)])
