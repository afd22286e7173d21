"""Take the text tower out of a loaded open_clip model, for `text_tower`, and check it against torch."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding import text_tower
from fsearch.indexer.embedding.text_tower import LAYER, TextTower, TowerShape
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

WORST_ERROR = 1e-5  # of a cosine: a hundredth of the last digit that is printed
CHECKED = (
    "a photo of a cat",
    "dark skin tone",
    "x",
    "a person in a wheelchair, seen from above at night; 3 bicycles & two dogs",
    "naïve café, “quoted” ½",
    " ".join(["very"] * 90),
)

Embed = Callable[[Sequence[str]], NDArray[np.float32]]

_log = logging.getLogger(__name__)


class UnsupportedTowerError(Exception):
    """A text tower is not of the kind that `text_tower` computes; the message says why."""


def tower_of(spec: EncoderSpec, model: Any, tokenizer: Any, embed: Embed) -> TextTower | None:
    """The tower of `spec` from the user's cache, else from a loaded `model`, which is then cached; None for neither.

    `embed` is torch's embedding of phrases, to check against. That torch must be used is said once.
    """
    known = text_tower.read(spec)
    if isinstance(known, TextTower):
        return known
    if known is not None:
        return None
    try:
        found, why_not = _checked(_taken(model, tokenizer), embed), ""
    except UnsupportedTowerError as error:
        found, why_not = None, str(error)
        _log.warning("the text tower of %s is run by torch, so its first query takes longer: %s", spec.name, why_not)
    with contextlib.suppress(OSError, RuntimeError):  # without a cache it is taken from the model each time
        text_tower.save(spec, found.shape if found else None, found.weights if found else {}, why_not)
    return found


def _checked(tower: TextTower, embed: Embed) -> TextTower:
    apart = float(np.abs(1 - (tower.embed_texts(CHECKED) * embed(CHECKED)).sum(axis=1, dtype=np.float64)).max())
    if not apart <= WORST_ERROR:
        raise UnsupportedTowerError(f"a cosine of {1 - apart:.6f} between both")
    return TextTower(replace(tower.shape, cosine_error=apart), tower.weights)


def _taken(model: Any, tokenizer: Any) -> TextTower:
    import torch

    text = getattr(model, "text", model)
    if type(tokenizer).__name__ != "SimpleTokenizer" or tokenizer.reduction_fn is not None:
        raise UnsupportedTowerError("its tokenizer is not CLIP's")
    pool = getattr(text, "pool_type", getattr(text, "text_pool_type", None))
    if pool != "argmax" or getattr(text, "cls_emb", None) is not None or getattr(text, "attn_mask", None) is None:
        raise UnsupportedTowerError("it does not end at the last token of a causal transformer")
    try:
        block = text.transformer.resblocks[0]
        act, norm, heads = block.mlp.gelu, block.ln_1, block.attn.num_heads
        state = {**text.state_dict(), "text_projection": text.text_projection}
        names = [f"transformer.resblocks.{i}.{n}" for i in range(len(text.transformer.resblocks)) for n in LAYER]
        names += ["token_embedding.weight", "positional_embedding", "ln_final.weight", "ln_final.bias"]
        weights = {n: state[n].detach().float().cpu().numpy() for n in [*names, "text_projection"]}
    except (AttributeError, KeyError, TypeError) as error:
        raise UnsupportedTowerError(f"it is of another make ({type(error).__name__}: {error})") from error
    gelus = isinstance(act, torch.nn.GELU) and act.approximate == "none"
    if not gelus and type(act).__name__ != "QuickGELU":
        raise UnsupportedTowerError(f"its activation is {type(act).__name__}")
    layers, scale = len(text.transformer.resblocks), float(model.logit_scale.detach().exp())
    shape = TowerShape(int(tokenizer.context_length), int(heads), layers, not gelus, float(norm.eps), scale)
    return TextTower(shape, weights)
