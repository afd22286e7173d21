"""The demo's wall time by stage, beside a bare program that only loads the libraries and models and runs them.

    python -m benchmarks.demo          the comparison
    python -m benchmarks.demo bare     the bare program, in a process of its own

The bare program starts from ready-made pixels and ends with trained trees: no files, no catalog, no index, no evidence.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

import numpy as np
from benchmarks.measure import machine, seconds

from fsearch.data.portraits import draw, sample
from fsearch.search.demo import COUNT, SEED


def main() -> None:
    bare: dict[str, float] = json.loads(
        subprocess.run(
            [sys.executable, "-m", "benchmarks.demo", "bare"], check=True, capture_output=True, text=True
        ).stdout
    )
    with tempfile.TemporaryDirectory() as name:
        command = [sys.executable, "-m", "fsearch.cli", "demo", f"{name}/demo", "-w", f"{name}/demo.fsearch"]
        said: list[str] = []
        total = seconds(lambda: said.extend(run(command)))
    stages = next(line.strip() for line in said if line.strip().startswith("render "))
    render = float(stages.split()[1])
    known = total - render
    own = known - sum(bare.values())
    print(f"demo: {COUNT:,} portraits, the whole command {total:.1f} s ({machine()})")
    print(f"  stages: {stages}")
    print("  bare program: " + ", ".join(f"{k} {v:.1f} s" for k, v in bare.items()))
    print(f"  fsearch's own share, rendering the portraits apart: {own:.1f} s of {known:.1f} s = {own / known:.0%}")


def run(command: list[str]) -> list[str]:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()


def bare() -> None:
    portraits = sample(COUNT, SEED)
    images = [draw(p) for p in portraits]
    smiling = np.array([p.expression == "smiling" for p in portraits])
    found: dict[str, float] = {}
    found["libraries"] = seconds(load_libraries)

    from fsearch.data.blackbox.model import judge, load
    from fsearch.diagnoser.ensemble import MEMBERS, here, train
    from fsearch.diagnoser.fit import PERMUTED_MEMBERS
    from fsearch.indexer.embedding.batch_sizes import BATCH
    from fsearch.indexer.embedding.encoder import identify, load_encoder

    loaded: list = []
    found["weights"] = seconds(lambda: loaded.extend((load_encoder(identify("demo", None)), load())))
    encoder, model = loaded
    prepared = [encoder.prepare(i) for i in images]
    vectors: list[np.ndarray] = []
    found["encoder"] = seconds(
        lambda: vectors.extend(encoder.embed_images(prepared[i : i + BATCH]) for i in range(0, COUNT, BATCH))
    )
    losses: list[np.ndarray] = []
    found["black box"] = seconds(lambda: losses.append(judge(model, images, smiling).losses))
    embeddings = np.concatenate(vectors)
    members = MEMBERS + PERMUTED_MEMBERS
    found["ensemble"] = seconds(lambda: train(here(embeddings), embeddings, losses[0], members=members))
    sys.stdout.write(json.dumps(found))


def load_libraries() -> None:
    import open_clip  # noqa: F401
    import torch  # noqa: F401
    import xgboost  # noqa: F401


if __name__ == "__main__":
    bare() if sys.argv[1:] == ["bare"] else main()
