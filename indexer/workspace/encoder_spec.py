"""Identity of a workspace's encoder: name, weights and digest, enough to refuse the vectors of another one."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from fsearch.indexer.errors import EncoderError

DEMO = "demo"
NO_TEXT = "none"
_CODE = "source:"  # how the digest of the user's own code begins


@dataclass(frozen=True, slots=True)
class EncoderSpec:
    """An encoder's identity.

    Attributes
    ----------
    name : "demo", an open_clip architecture, the path of a configuration .json, `local-dir:FOLDER`, `hf-hub:ORG/NAME`,
        `module:attribute` for the user's own code, or "none" for embeddings without a text side.
    weights : a hub tag or the path of a local checkpoint; None where `name` alone tells.
    digest : "tag:NAME" for a hub tag, else SHA-256 of the checkpoint, followed by "+" and that of the configuration
        where it is not open_clip's own; "source:" and the SHA-256 of its source file for the user's own code.
    dim : length of its embeddings.
    config : content of a configuration .json, else None.
    precomputed : whether image embeddings come from a file, not from this encoder's image tower.
    """

    name: str
    weights: str | None
    digest: str
    dim: int
    config: str | None = None
    precomputed: bool = field(default=False, compare=False)

    @classmethod
    def of_code(cls, name: str, source_sha256: str, dim: int) -> EncoderSpec:
        """The identity of the user's own code."""
        return cls(name, None, f"{_CODE}{source_sha256}", dim)

    @classmethod
    def without_text(cls, dim: int) -> EncoderSpec:
        """The identity of precomputed embeddings whose text side is declared absent."""
        return cls(NO_TEXT, None, NO_TEXT, dim, precomputed=True)

    @property
    def is_code(self) -> bool:
        """Whether loading it runs the user's own code."""
        return self.digest.startswith(_CODE)

    @property
    def has_config(self) -> bool:
        """Whether its configuration is not open_clip's own, so that the digest holds a hash of it too."""
        return "+" in self.digest and not self.digest.startswith("tag:")

    @property
    def has_text(self) -> bool:
        """Whether it can embed phrases."""
        return self.digest != NO_TEXT

    @property
    def is_shipped(self) -> bool:
        """Whether it is part of fsearch, or nothing at all: loading it follows nothing that a workspace says."""
        return self.name == DEMO or not self.has_text

    @property
    def identity(self) -> str:
        """All that is said of it, in one text."""
        return json.dumps(["encoder", sorted(self.as_settings().items())])

    def as_settings(self) -> dict[str, str]:
        """As rows of the table `settings`."""
        optional = {"encoder_config": self.config, "embeddings": "precomputed" if self.precomputed else None}
        return {
            "encoder": self.name,
            "weights": self.weights or "",
            "encoder_digest": self.digest,
            "dim": str(self.dim),
            **{name: value for name, value in optional.items() if value is not None},
        }

    @classmethod
    def from_settings(cls, settings: dict[str, str]) -> EncoderSpec:
        """From rows of the table `settings`."""
        return cls(
            settings["encoder"],
            settings["weights"] or None,
            settings["encoder_digest"],
            int(settings["dim"]),
            settings.get("encoder_config"),
            settings.get("embeddings") == "precomputed",
        )

    def require_same(self, other: EncoderSpec) -> None:
        """Raise EncoderError unless `other` gives the same embeddings as this one."""
        if self.is_code and self.name == other.name and self.digest != other.digest:
            raise EncoderError(
                f"the source of {self.name} has changed since this workspace was made, so its embeddings may differ; "
                "restore it, or use another --workspace"
            )
        if self.precomputed != other.precomputed or self._identity() != other._identity():
            raise EncoderError(
                f"this workspace holds embeddings of {self}, not of {other}; "
                "use another --workspace for another encoder"
            )

    def _identity(self) -> Any:
        """What must be equal; where the configuration is hashed too, the digest tells without the name."""
        return self.digest if self.has_config else (self.name, self.digest)

    def __str__(self) -> str:
        name = f"{self.name} ({self.weights})" if self.weights else self.name
        if not self.has_text:
            return "a file (no text encoder)"
        return f"a file (text side: {name})" if self.precomputed else name
