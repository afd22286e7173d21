"""The demo's wall time by stage, and how much of it is fsearch's own beside the bare model passes and XGBoost."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from benchmarks.measure import machine, seconds

import fsearch
from fsearch.data.blackbox.model import judge, load
from fsearch.data.portraits import draw, sample
from fsearch.diagnoser.ensemble import MEMBERS, quantise, train
from fsearch.diagnoser.fit import PERMUTED_MEMBERS
from fsearch.indexer.encoder import identify, load_encoder
from fsearch.indexer.indexing import BATCH
from fsearch.search.demo import COUNT, SEED, run_demo


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        ws = fsearch.open(folder / "demo.fsearch")
        total = seconds(lambda: stages.update(run_demo(ws, folder).seconds))
    bare = bare_passes()
    known = total - stages["render"]
    own = known - sum(bare.values())
    print(f"demo: {COUNT:,} portraits in {total:.1f} s ({machine()})")
    print("  stages: " + ", ".join(f"{k} {v:.1f} s" for k, v in stages.items()))
    print("  bare:   " + ", ".join(f"{k} {v:.1f} s" for k, v in bare.items()))
    print(f"  fsearch's own, rendering apart: {own:.1f} s of {known:.1f} s = {own / known:.0%}")
    print(f"  fsearch's own, of all: {own / total:.0%}")


stages: dict[str, float] = {}


def bare_passes() -> dict[str, float]:
    """Seconds of what cannot be avoided: loading libraries and weights, both models' passes, and XGBoost's training."""
    portraits = sample(COUNT, SEED)
    images = [draw(p) for p in portraits]
    encoder = load_encoder(identify("demo", None))
    prepared = [encoder.prepare(i) for i in images]
    vectors: list[np.ndarray] = []
    smiling = np.array([p.expression == "smiling" for p in portraits])
    model = load()
    found: dict[str, float] = {}
    found["encoder"] = seconds(
        lambda: vectors.extend(encoder.embed_images(prepared[i : i + BATCH]) for i in range(0, COUNT, BATCH))
    )
    losses = judge(model, images, smiling).losses
    found["black box"] = seconds(lambda: judge(model, images, smiling))
    embeddings = np.concatenate(vectors)
    found["XGBoost"] = seconds(lambda: train(quantise(embeddings), losses, members=MEMBERS + PERMUTED_MEMBERS))
    return found


if __name__ == "__main__":
    main()
