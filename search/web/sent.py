"""What every file to send has, whatever it is about: its options, style, thumbnails, and no script."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.thumbnails import Shown
from fsearch.search.web.inlined import inlined, link
from fsearch.search.web.templating import TEMPLATES

Format = Literal["html", "md"]
IMAGES = 8  # of each strip


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report holds.

    Attributes
    ----------
    images : of each strip, at most.
    redact : whether images, their names and where they lie stay out.
    format : "html", or "md" without images.
    """

    images: int = IMAGES
    redact: bool = False
    format: Format = "html"

    @property
    def shown(self) -> int:
        """Images of each strip that are in the file."""
        return 0 if self.redact or self.format == "md" else self.images


def framed(shown: Sequence[Shown], store: Store, reader: ImageReader, options: ReportOptions) -> dict[str, Any]:
    """What a template of a file to send needs beside what it says; `shown` are its images."""
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return {
        "style": style,
        "style_hash": f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        "lazy": False,
        "redact": options.redact,
        "images": options.images,
        "thumb": inlined(shown, store, reader),
        "link": lambda image: None if options.redact else link(image),
    }


def write(out: Path, text: Callable[[], str]) -> Path:
    """Write a report to `out`, whole or not at all. Raises BadInputError where it cannot be."""
    if not out.parent.is_dir():
        raise BadInputError(f"--out {out}: no such folder: {out.parent}")
    write_atomic(out, text().encode())
    return out


def format_of(out: Path) -> Format:
    """What a report is written as, by its suffix. Raises BadInputError where it cannot be written there."""
    kinds: dict[str, Format] = {".html": "html", ".htm": "html", ".md": "md"}
    if out.suffix.lower() not in kinds:
        raise BadInputError(f"--report {out}: use .html or .md")
    if not out.parent.is_dir():
        raise BadInputError(f"--report {out}: no such folder: {out.parent}")
    return kinds[out.suffix.lower()]
