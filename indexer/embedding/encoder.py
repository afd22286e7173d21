"""The encoder as the rest of the package sees it: a small Protocol, and the one place that chooses an implementation.

What a workspace stores is loaded again only where the caller names it, or trusts the workspace with it: see
`workspace/trust.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.device import Device
from fsearch.indexer.embedding import custom_encoder, open_clip_encoder, text_tower
from fsearch.indexer.embedding.demo_files import check_demo
from fsearch.indexer.embedding.model_files import LOCAL, LOCAL_DIR, check_folder, check_weights
from fsearch.indexer.embedding.phrases import TextEncoder, TowerTexts
from fsearch.indexer.embedding.text_tower import TextTower
from fsearch.indexer.embedding.text_vectors import NoTextEncoder
from fsearch.indexer.errors import EncoderError
from fsearch.indexer.object_path import is_named
from fsearch.indexer.workspace.encoder_spec import DEMO, EncoderSpec
from fsearch.indexer.workspace.trust import is_trusted

if TYPE_CHECKING:
    from PIL import Image

Named = Any  # what a caller names: a name as in EncoderSpec, or an object of the caller's own


class Encoder(TextEncoder, Protocol):
    """A dual encoder, loaded: images and phrases become unit vectors of one space."""

    def prepare(self, image: Image.Image) -> Any:
        """One RGB image as the input of the image tower. Any thread may call it."""

    def embed_images(self, prepared: Sequence[Any]) -> NDArray[np.float32]:
        """Embed what `prepare` gave: (n, dim) float32, unit rows, or NaN where there is no embedding."""


def open_encoder(named: Named, weights: str | None = None, device: Device = "auto") -> Encoder:
    """Identify and load the encoder that the caller names now. Raises EncoderError."""
    if _is_code(named):
        if weights:
            raise EncoderError(
                f"{custom_encoder.name_of(named)} is your own code and brings its own weights; leave --weights out"
            )
        return custom_encoder.load(named)
    return load_encoder(open_clip_encoder.identify(named, weights), device)


def identify(named: Named, weights: str | None) -> EncoderSpec:
    """The identity of the encoder that the caller names now. Raises EncoderError where there is none such."""
    if _is_code(named):
        return open_encoder(named, weights).spec
    return open_clip_encoder.identify(named, weights)


def load_encoder(spec: EncoderSpec, device: Device = "auto", *, named: Named | None = None) -> Encoder:
    """Load the encoder of `spec`, on `device` (the GPU where there is one by default).

    `named` is what the caller names now, if anything; the user's own code is loaded from it and never from `spec`.
    Raises EncoderError where weights are missing, have changed, do not fit, or cannot be fetched.
    """
    if not spec.has_text:
        return NoTextEncoder(spec)
    if not spec.is_code:
        return open_clip_encoder.load(spec, device)
    if named is None:
        raise EncoderError(
            f"the encoder of this workspace, {spec.name}, is code, and a stored name runs no code; name it again: "
            f"--encoder {spec.name}, or encoder= in Python"
        )
    found = custom_encoder.load(named)
    _require_named(spec, found.spec.name)
    spec.require_same(replace(found.spec, precomputed=spec.precomputed))
    return found


def load_texts(spec: EncoderSpec, device: Device = "auto") -> TextEncoder:
    """The text side of an open_clip encoder: its exported tower, else all of it. See `load_encoder`."""
    tower = text_tower.read(spec)
    if not isinstance(tower, TextTower):
        return load_encoder(spec, device)
    if spec.name == DEMO:
        check_demo(spec)
    elif spec.weights is not None and Path(spec.weights).suffix in LOCAL:
        check_weights(spec)
    elif spec.name.startswith(LOCAL_DIR):
        check_folder(spec)
    return TowerTexts(spec, tower)


def permitted(spec: EncoderSpec, workspace: Path, named: Named | None = None) -> Named | None:
    """What may be given to `load_encoder` as `named`, for the encoder that the workspace at `workspace` stores.

    `named` is what the caller names. Raises EncoderError where it is another one, or none is named and the workspace is
    not trusted with what it stores.
    """
    if named is not None:
        _require_named(spec, named)
        return named
    if spec.is_shipped or is_trusted(workspace, spec.identity):
        return spec.name if spec.is_code else None
    why = (
        "is code, and a stored name runs no code"
        if spec.is_code
        else "is what the workspace says, which may be not yours"
    )
    raise EncoderError(
        f"the encoder of this workspace, {spec}, {why}; name it: --encoder {spec.name}, or encoder= in Python; or "
        f"trust this workspace: fsearch trust -w {workspace}"
    )


def came_along(spec: EncoderSpec, workspace: Path) -> bool:
    """Whether an encoder is a folder inside the workspace, so that whoever sends the workspace sends it too."""
    folder = Path(spec.name.removeprefix(LOCAL_DIR))
    return spec.name.startswith(LOCAL_DIR) and folder.resolve().is_relative_to(workspace.resolve())


def _require_named(spec: EncoderSpec, named: Named) -> None:
    name = custom_encoder.name_of(named)
    if name.startswith(LOCAL_DIR):
        name = f"{LOCAL_DIR}{Path(name.removeprefix(LOCAL_DIR)).resolve()}"
    known = {spec.name, Path(spec.name).stem} if spec.config else {spec.name}
    if name not in known and not (spec.config and str(Path(name).resolve()) in known):
        raise EncoderError(f"the encoder of this workspace is {spec.name}, not {name}")


def _is_code(named: Named) -> bool:
    return not isinstance(named, str) or is_named(named)
