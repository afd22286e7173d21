"""How well the demo encoder knows its own phrases: AUROC of each on freshly rendered portraits of unseen seeds."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from open_clip import CLIP, SimpleTokenizer
from open_clip.constants import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from safetensors.torch import load_file
from scipy.stats import rankdata

from fsearch.data.portraits import draw_many, phrases, sample
from fsearch.indexer.embedding.encoder import Encoder

SEED, COUNT = 424_242, 4000


@dataclass(frozen=True, slots=True)
class PhraseAuroc:
    """AUROC of "does this portrait show `phrase`?" when portraits are ordered by cosine to the phrase."""

    concept: str
    phrase: str
    auroc: float
    share: float


def phrase_aurocs(folder: Path, count: int = COUNT, seed: int = SEED) -> list[PhraseAuroc]:
    """Measure the encoder in `folder` on every wording of every concept."""
    config = json.loads((folder / "fsearch-portraits.json").read_text())
    model = CLIP(**config)
    model.load_state_dict(load_file(folder / "fsearch-portraits.safetensors"), strict=False)
    model.float().eval()
    portraits = sample(count, seed)
    pixels = torch.from_numpy(np.stack(list(draw_many(portraits)))).permute(0, 3, 1, 2).float() / 255
    words = list(phrases())
    tokens = SimpleTokenizer(context_length=config["text_cfg"]["context_length"])([w for w, _ in words])
    with torch.inference_mode():
        images = torch.cat([model.encode_image(normalise(b), normalize=True) for b in torch.split(pixels, 250)]).numpy()
        texts = model.encode_text(tokens, normalize=True).numpy()
    rows = []
    for (phrase, concept), text in zip(words, texts, strict=True):
        shown = np.array([concept.holds(p) for p in portraits])
        rows.append(PhraseAuroc(concept.name, phrase, auroc(images @ text, shown), float(shown.mean())))
    return rows


def embed_pixels(encoder: Encoder, pixels: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Embed drawn portraits, (h, w, 3) each, through the encoder's own preparation: (n, dim), unit rows."""
    blocks = (pixels[i : i + 128] for i in range(0, len(pixels), 128))
    return np.concatenate([encoder.embed_images([encoder.prepare(Image.fromarray(p)) for p in b]) for b in blocks])


def normalise(pixels: torch.Tensor) -> torch.Tensor:
    """(n, 3, h, w) in [0, 1] to what open_clip's towers take."""
    mean, std = (torch.tensor(v).view(1, 3, 1, 1) for v in (OPENAI_DATASET_MEAN, OPENAI_DATASET_STD))
    return (pixels - mean) / std


def auroc(scores: np.ndarray, positive: np.ndarray) -> float:
    """Area under the ROC curve as the Mann-Whitney statistic (Hanley and McNeil, 1982)."""
    ranks, n = rankdata(scores), int(positive.sum())
    return float((ranks[positive].sum() - n * (n + 1) / 2) / (n * (len(scores) - n)))
