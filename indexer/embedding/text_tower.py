"""CLIP's text tower without torch: the same arithmetic in NumPy, on weights that are mapped from the user's cache.

Importing torch and open_clip takes many times as long as embedding a phrase. The weights are written once, by
`export`, under the identity of the encoder, and checked against torch on phrases; a workspace, which may be somebody
else's, never provides them. A causal tower gives the end token the same state whatever follows it, so nothing past it
is computed: a phrase of eight tokens costs a tenth of the 77 that torch is given.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding.clip_tokenizer import clip_tokenizer
from fsearch.indexer.storage.files import DamagedArrayError, load_array
from fsearch.indexer.storage.inside import remove
from fsearch.indexer.storage.layout import cache_folder
from fsearch.indexer.storage.vectors import unit
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

Floats = NDArray[np.float32]
Progress = Callable[[int, int], None]

_FORMAT = 1
_BATCH = 4  # phrases that are embedded together, always as many
# Lengths are padded to multiples of _STEP, so that matrices have a multiple of 48 rows and phrases begin at one of 12:
# kernels of BLAS take 4, 12, 16 or 24 rows at once, and round by the place among these.
_STEP = 12
_CHUNK = 16_384  # numbers that stay in the processor's cache
LAYER = (
    *("ln_1.weight", "ln_1.bias", "attn.in_proj_weight", "attn.in_proj_bias", "attn.out_proj.weight"),
    *("attn.out_proj.bias", "ln_2.weight", "ln_2.bias", "mlp.c_fc.weight", "mlp.c_fc.bias", "mlp.c_proj.weight"),
    "mlp.c_proj.bias",
)

# x * P(x^2) / Q(x^2): the rational approximation of erf in single precision that Eigen and ONNX Runtime use
_ERF_P = (
    *(-2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05),
    *(-7.34990630326855e-04, -2.95459980854025e-03, -1.60960333262415e-02),
)
_ERF_Q = (
    *(-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03),
    -1.42647390514189e-02,
)


@dataclass(frozen=True, slots=True)
class TowerShape:
    """What the weights do not say. `cosine_error` is the largest difference from torch that was found at export."""

    context_length: int
    heads: int
    layers: int
    quick_gelu: bool
    epsilon: float
    logit_scale: float
    cosine_error: float = 0.0


@dataclass(frozen=True, slots=True)
class TextTower:
    """A text tower; `weights` by open_clip's own names."""

    shape: TowerShape
    weights: Mapping[str, Floats]

    def embed_texts(self, texts: Sequence[str], progress: Progress | None = None) -> Floats:
        """Embed phrases: (n, dim) float32, unit rows.

        Phrases of about one length are embedded together. No embedding depends on its batch, whose shape depends on the
        phrase's own length alone: a matrix product of another shape would round otherwise.
        """
        tokenize = clip_tokenizer()
        tokens = [_until_end(tokenize(text, self.shape.context_length)) for text in texts]
        found = np.empty((len(texts), self.weights["text_projection"].shape[1]), np.float32)
        done = 0
        for length, batch in _of_one_length(tokens):
            padded = np.zeros((_BATCH, length), np.int64)
            for row, i in enumerate(batch):
                padded[row, : len(tokens[i])] = tokens[i]
            ends = np.array([len(tokens[i]) - 1 for i in batch] + [0] * (_BATCH - len(batch)))
            found[batch] = unit(self._encode(padded, ends))[: len(batch)]
            done += len(batch)
            if progress:
                progress(done, len(texts))
        return found

    def _encode(self, tokens: NDArray[np.int64], ends: NDArray[np.int64]) -> Floats:
        """(b, n) tokens and the place of the end in each row, (b,), to (b, dim).

        The rows of all phrases are one matrix, (b n, width): NumPy would multiply each phrase's by itself, at four
        times the cost. What follows an end, past the context length too, changes nothing.
        """
        w, (b, n) = self.weights, tokens.shape
        places = np.minimum(np.arange(n), self.shape.context_length - 1)
        state = (w["token_embedding.weight"][tokens] + w["positional_embedding"][places]).reshape(b * n, -1)
        later = np.triu(np.full((n, n), -np.inf, np.float32), 1)
        for number in range(self.shape.layers):
            state = self._block(state, later, [w[f"transformer.resblocks.{number}.{name}"] for name in LAYER])
        final = self._norm(state[np.arange(b) * n + ends], w["ln_final.weight"], w["ln_final.bias"])
        return final @ w["text_projection"]

    def _block(self, state: Floats, later: Floats, weights: Sequence[Floats]) -> Floats:
        gain_1, bias_1, mix, mix_bias, out, out_bias, gain_2, bias_2, up, up_bias, down, down_bias = weights
        n, width = len(later), state.shape[1]
        mixed = self._norm(state, gain_1, bias_1) @ mix.T + mix_bias
        parted = mixed.reshape(-1, n, 3, self.shape.heads, width // self.shape.heads)
        query, key, value = parted.transpose(2, 0, 3, 1, 4)
        scores = (query * np.float32(query.shape[-1] ** -0.5)) @ key.swapaxes(-1, -2) + later
        scores = np.exp(scores - scores.max(axis=-1, keepdims=True))
        seen = (scores / scores.sum(axis=-1, keepdims=True)) @ value
        state = state + (seen.transpose(0, 2, 1, 3).reshape(-1, width) @ out.T + out_bias)
        hidden = self._norm(state, gain_2, bias_2) @ up.T + up_bias
        active = hidden / (1 + np.exp(-1.702 * hidden)) if self.shape.quick_gelu else gelu(hidden)
        return np.asarray(state + (active @ down.T + down_bias))

    def _norm(self, state: Floats, gain: Floats, bias: Floats) -> Floats:
        centred = state - state.mean(axis=-1, keepdims=True)
        variance = np.square(centred).mean(axis=-1, keepdims=True)
        return np.asarray(centred / np.sqrt(variance + np.float32(self.shape.epsilon)) * gain + bias)


def gelu(x: Floats) -> Floats:
    """X times the normal distribution function of x, in single precision."""
    found = np.empty(x.size, np.float32)
    for start in range(0, x.size, _CHUNK):
        part = x.reshape(-1)[start : start + _CHUNK]
        z = np.clip(part * np.float32(0.5**0.5), -4, 4)
        square = z * z
        z *= _polynomial(_ERF_P, square)
        z /= _polynomial(_ERF_Q, square)
        z += 1
        z *= part
        z *= np.float32(0.5)
        found[start : start + _CHUNK] = z
    return found.reshape(x.shape)


def _polynomial(coefficients: Sequence[float], x: Floats) -> Floats:
    found = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        found *= x
        found += np.float32(c)
    return found


def _until_end(tokens: list[int]) -> list[int]:
    """Up to the first end token, which is where the tower is read: a phrase may spell one out."""
    return tokens[: tokens.index(max(tokens)) + 1]


def _of_one_length(tokens: Sequence[Sequence[int]]) -> Iterator[tuple[int, list[int]]]:
    """A padded length and the positions of at most _BATCH phrases of it, until there are none."""
    places: dict[int, list[int]] = {}
    for i, several in enumerate(tokens):
        places.setdefault(-(-len(several) // _STEP) * _STEP, []).append(i)
    for length, same in places.items():
        yield from ((length, same[i : i + _BATCH]) for i in range(0, len(same), _BATCH))


def save(spec: EncoderSpec, shape: TowerShape | None, weights: Mapping[str, Floats], why_not: str = "") -> None:
    """Write a tower into the user's cache, complete or not at all; or, without `shape`, why there is none.

    Raises OSError where it cannot be written, RuntimeError where there is no home.
    """
    folder = _folder(spec)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as name:
        part, start = Path(name, "tower"), 0
        places: dict[str, tuple[int, list[int]]] = {}
        part.mkdir()
        for key, array in weights.items():
            places[key] = (start, list(array.shape))
            start += array.size
        whole = np.lib.format.open_memmap(part / "weights.npy", "w+", np.float32, (max(start, 1),))
        for key, array in weights.items():
            whole[places[key][0] : places[key][0] + array.size] = array.ravel()
        whole.flush()
        named = {name: getattr(shape, name) for name in TowerShape.__slots__} if shape else None
        (part / "tower.json").write_text(json.dumps({"shape": named, "places": places, "why_not": why_not}, indent=1))
        remove(folder)
        os.replace(part, folder)


def read(spec: EncoderSpec) -> TextTower | str | None:
    """The tower in the user's cache, mapped; why there can be none; or None where nothing is known."""
    try:
        folder = _folder(spec)
        content: dict[str, Any] = json.loads((folder / "tower.json").read_bytes())
        if content["shape"] is None:
            return str(content["why_not"])
        whole = load_array(folder / "weights.npy", "r").view(np.ndarray)
        weights = {key: whole[i : i + int(np.prod(s))].reshape(s) for key, (i, s) in content["places"].items()}
        return TextTower(TowerShape(**content["shape"]), weights)
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, DamagedArrayError):
        return None


def _folder(spec: EncoderSpec) -> Path:
    identity = json.dumps([_FORMAT, spec.name, spec.digest])
    return cache_folder() / "text-towers" / hashlib.sha256(identity.encode()).hexdigest()[:32]
