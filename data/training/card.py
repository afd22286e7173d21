"""The model card of the demo encoder, written by the training script from what it just measured."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from fsearch.data.training.corpus import CAPTIONS
from fsearch.data.training.measure import COUNT, SEED, PhraseAuroc

_BEFORE = """ It starts from weights that were trained in
  parts. First 6,600 steps of 256 images of 80,000 portraits that showed no men, women, children, age or shape of eyes
  (peak learning rate 0.0015; in the first 5,600 steps frowns were drawn smaller, and hard to tell from neutral faces),
  76 minutes on 2 CPU cores. Then 4,000 steps of 128 images of the portraits above (peak learning rate 0.0003), and 600
  more (0.0002), 65 minutes; "white hair" was rarely named in the first 3,000, and taken for a word for skin, as "white"
  is, which the last steps, of the text tower alone, mend."""
CAPTIONS_PER_STEP = 4  # of each image, so that the image tower runs once for several contrastive losses

_CARD = """# Model card: fsearch-portraits

A small dual encoder for the demo: open_clip's own `CLIP` class (`ModifiedResNet` image tower, text transformer),
open_clip's tokenizer and contrastive loss. {params:.1f}M parameters, {size:.1f} MB of fp16 safetensors. It embeds
portraits drawn by `fsearch.data.portraits` and phrases about them, and nothing else: on photographs, or with words its
captions never used, its answers mean nothing. fsearch warns about such words. What it knows of men and women, of age,
and by "Black", "white" and "Asian", is how these drawings show them: conventions, and no claim about people.

- Data: {images:,} portraits rendered by this repository, {captions} captions each; no photograph is in it.
- Training: {steps:,} steps of {batch} images with {per_step} captions each, AdamW, peak learning rate {lr}, seed
  {seed}; {minutes:.0f} minutes on {machine}, not all of them undisturbed.
- Command: `{command}`.{before}

## Measured quality

AUROC of each phrase on {count:,} freshly rendered portraits of a seed never used in training ({eval_seed}), ordered by
cosine to the bare phrase; measure again with `python -m benchmarks.encoder`.
Mean over {n} phrases: **{mean:.3f}**; lowest: **{low:.3f}** ("{low_phrase}").

| concept | phrase | share of portraits | AUROC |
|---|---|---:|---:|
{table}
"""


def write_card(
    folder: Path, rows: Sequence[PhraseAuroc], arguments: dict[str, Any], seconds: float, processes: int
) -> None:
    """Write MODEL_CARD.md into `folder` from the measured `rows`; so many processes shared each batch."""
    weights = folder / "fsearch-portraits.safetensors"
    lowest = min(rows, key=lambda r: r.auroc)
    table = "\n".join(f"| {r.concept} | {r.phrase} | {r.share:.2f} | {r.auroc:.3f} |" for r in rows)
    machine = "one GPU" if torch.cuda.is_available() else f"{torch.get_num_threads() * processes} CPU cores"
    text = _CARD.format(
        params=weights.stat().st_size / 2e6,
        size=weights.stat().st_size / 1e6,
        captions=CAPTIONS,
        per_step=CAPTIONS_PER_STEP,
        minutes=seconds / 60,
        machine=machine,
        command=_command(arguments),
        before=_BEFORE if arguments["start"] else "",
        count=COUNT,
        eval_seed=SEED,
        n=len(rows),
        mean=float(np.mean([r.auroc for r in rows])),
        low=lowest.auroc,
        low_phrase=lowest.phrase,
        table=table,
        **{k: arguments[k] for k in ("images", "steps", "batch", "lr", "seed")},
    )
    (folder / "MODEL_CARD.md").write_text(text)


def _command(arguments: dict[str, Any]) -> str:
    start = " --from fsearch/data/encoder" if arguments["start"] else ""
    start += " --lock-images" if arguments["lock_images"] else ""
    given = "".join(f" --{name} {arguments[name]}" for name in ("images", "steps", "batch", "lr"))
    return f"python -m fsearch.data.training.train_encoder --work build/portraits{start}{given}"
