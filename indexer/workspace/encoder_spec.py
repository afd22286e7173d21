"""Which encoder a workspace belongs to: name, weights, and enough of a fingerprint to refuse another's vectors."""

from __future__ import annotations

from dataclasses import dataclass

from fsearch.indexer.errors import EncoderError

DEMO = "demo"


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder's identity.

    Attributes
    ----------
    name : an open_clip architecture, or "demo".
    weights : a hub tag or the path of a local checkpoint; None for the demo encoder.
    digest : SHA-256 of a local checkpoint, or "tag:NAME" for a hub tag.
    dim : length of its embeddings.
    """

    name: str
    weights: str | None
    digest: str
    dim: int

    def as_settings(self) -> dict[str, str]:
        """As rows of the table `settings`."""
        return {
            "encoder": self.name,
            "weights": self.weights or "",
            "encoder_digest": self.digest,
            "dim": str(self.dim),
        }

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> EncoderSpec:
        """From rows of the table `settings`."""
        return cls(settings["encoder"], settings["weights"] or None, settings["encoder_digest"], int(settings["dim"]))

    def require_same(self, other: EncoderSpec) -> None:
        """Raise EncoderError unless `other` gives the same embeddings as this one."""
        if (self.name, self.digest) != (other.name, other.digest):
            raise EncoderError(
                f"this workspace holds embeddings of {self}, not of {other}; "
                "use another --workspace for another encoder"
            )

    def __str__(self) -> str:
        return f"{self.name} ({self.weights})" if self.weights else self.name
