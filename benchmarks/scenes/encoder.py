"""A small open_clip model of scenes, trained until it is mediocre: it stops at a mean AUROC of LEVEL over its phrases.

    python -m benchmarks.scenes.encoder [--work build/planted]

One thread, no GPU, some minutes; captions are wrong now and then, as on the web. Its temperature and thresholds are its
own: nothing in fsearch was measured with it.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from benchmarks.scenes.concepts import CONCEPTS, Scene, caption, sample
from benchmarks.scenes.draw import draw_all
from open_clip import CLIP, ClipLoss, SimpleTokenizer
from safetensors.torch import load_file, save_file
from sklearn.metrics import roc_auc_score
from torch.nn.attention import SDPBackend, sdpa_kernel

SEEN = 32  # pixels that it sees of each side
CONFIG: dict[str, Any] = {
    "embed_dim": 64,
    "vision_cfg": {"image_size": SEEN, "layers": [1, 1, 1, 1], "width": 16, "head_width": 32},
    "text_cfg": {"context_length": 24, "vocab_size": 49408, "width": 64, "heads": 4, "layers": 1},
}
IMAGES, CAPTIONS, WRONG = 12_000, 6, 0.1
STEPS, BATCH, RATE, WARM, EVERY = 4000, 128, 2e-3, 50, 100
LEVEL = 0.88
TRAINING_SEED, CHECK_SEED, CHECKED = 7_000_000, 7_100_000, 1500


class SceneEncoder:
    """The trained model: pictures and phrases to unit float32 vectors."""

    def __init__(self, model: CLIP, aurocs: dict[str, float]) -> None:
        self._model, self.aurocs = model.eval(), aurocs
        self._tokenizer = SimpleTokenizer(context_length=CONFIG["text_cfg"]["context_length"])

    @property
    def logit_scale(self) -> float:
        """The inverse temperature it learnt."""
        return float(self._model.logit_scale.detach().exp())

    def embed_images(self, pixels: np.ndarray) -> np.ndarray:
        """(n, h, w, 3) uint8 to (n, d)."""
        with torch.inference_mode():
            parts = [
                self._model.encode_image(prepared(b), normalize=True)
                for b in np.array_split(pixels, -(-len(pixels) // 256))
            ]
        return np.asarray(torch.cat(parts).numpy())

    def embed_texts(self, texts: Sequence[str]) -> np.ndarray:
        """(q, d)."""
        with torch.inference_mode():
            found = self._model.encode_text(self._tokenizer(list(texts)), normalize=True)
        return np.asarray(found.numpy())


def prepared(pixels: np.ndarray, side: int = SEEN) -> torch.Tensor:
    """(n, h, w, 3) uint8 to (n, 3, side, side) in [-1, 1]."""
    x = torch.from_numpy(np.array(pixels)).permute(0, 3, 1, 2).float() / 127.5 - 1
    return torch.nn.functional.interpolate(x, size=side, mode="area").contiguous(memory_format=torch.channels_last)


def load(work: Path) -> SceneEncoder:
    """The encoder in `work`, trained first if it is not there; a training that was stopped goes on from there."""
    weights, about = work / "scenes-encoder.safetensors", work / "scenes-encoder.json"
    known = json.loads(about.read_text()) if about.exists() else {"aurocs": {}, "steps": 0, "seconds": 0.0}
    model = CLIP(**CONFIG)
    if known["steps"]:
        model.load_state_dict(load_file(weights), strict=False)
    if not _enough(known):
        work.mkdir(parents=True, exist_ok=True)
        for latest in _train(model, dict(known)):
            known = latest
            state = {k: v.contiguous() for k, v in model.state_dict().items() if k != "attn_mask"}
            save_file(state, weights)
            about.write_text(json.dumps(known, indent=1))
    return SceneEncoder(model, known["aurocs"])


def _enough(known: dict[str, Any]) -> bool:
    return known["steps"] >= STEPS or float(np.mean(list(known["aurocs"].values()) or [0.0])) >= LEVEL


def phrase_aurocs(encoder: SceneEncoder, scenes: Sequence[Scene], pixels: np.ndarray) -> dict[str, float]:
    """AUROC of every wording of every concept, pictures ordered by cosine."""
    images = encoder.embed_images(pixels)
    found = {}
    for concept in CONCEPTS:
        shown = [concept.holds(s) for s in scenes]
        for words, text in zip(concept.wordings, encoder.embed_texts(concept.wordings), strict=True):
            found[words] = float(roc_auc_score(shown, images @ text))
    return found


def _train(model: CLIP, known: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Train `model` on, and tell what is known of it every EVERY steps, until that is enough."""
    torch.manual_seed(known["steps"])
    torch.set_num_threads(1)
    scenes, checks = sample(IMAGES, TRAINING_SEED), sample(CHECKED, CHECK_SEED)
    pixels, check_pixels, tokens = draw_all(scenes), draw_all(checks), _captions(scenes)
    model.visual.to(memory_format=torch.channels_last)
    model.train()
    loss_of, began = ClipLoss(), time.monotonic()
    optimiser = torch.optim.AdamW(model.parameters(), lr=RATE, betas=(0.9, 0.98), weight_decay=0.05)
    for done in range(STEPS - known["steps"]):
        step = known["steps"] + done
        for group in optimiser.param_groups:
            group["lr"] = RATE * min(1.0, (done + 1) / WARM)
        rng = np.random.default_rng([5, step])
        rows = rng.choice(IMAGES, BATCH, replace=False)
        words = tokens[rows, rng.integers(0, CAPTIONS, BATCH)]
        with sdpa_kernel(SDPBackend.MATH):
            seen = model.encode_image(prepared(pixels[rows]), normalize=True)
            told = model.encode_text(words, normalize=True)
        loss = loss_of(seen, told, model.logit_scale.exp())
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if (done + 1) % EVERY == 0:
            aurocs = phrase_aurocs(SceneEncoder(model, {}), checks, check_pixels)
            seconds = time.monotonic() - began
            mean = np.mean(list(aurocs.values()))
            print(f"step {step + 1}: loss {loss.item():.3f}, mean AUROC {mean:.3f}, {seconds:.0f} s", flush=True)
            found = {"aurocs": aurocs, "steps": step + 1, "seconds": known["seconds"] + seconds}
            yield found
            if _enough(found):
                return
            model.train()


def _captions(scenes: Sequence[Scene]) -> torch.Tensor:
    """(n, CAPTIONS, context) token ids; a share WRONG of them is another scene's."""
    rng = np.random.default_rng(6)
    about = [
        scenes[int(rng.integers(len(scenes)))] if rng.random() < WRONG else s for s in scenes for _ in range(CAPTIONS)
    ]
    context = CONFIG["text_cfg"]["context_length"]
    return SimpleTokenizer(context_length=context)([caption(s, rng) for s in about]).view(
        len(scenes), CAPTIONS, context
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("build/planted"), help="folder of the weights")
    encoder = load(parser.parse_args().work)
    for phrase, auroc in sorted(encoder.aurocs.items(), key=lambda p: p[1]):
        print(f"{auroc:.3f}  {phrase}")
    print(f"mean {np.mean(list(encoder.aurocs.values())):.3f}, logit scale {encoder.logit_scale:.1f}")


if __name__ == "__main__":
    main()
