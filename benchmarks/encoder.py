"""How well the demo encoder knows its own phrases: mean and lowest AUROC on freshly rendered portraits."""

from __future__ import annotations

from fsearch.data.training.measure import COUNT, SEED, phrase_aurocs
from fsearch.indexer.embedding.open_clip_encoder import DEMO_FOLDER


def main() -> None:
    rows = sorted(phrase_aurocs(DEMO_FOLDER), key=lambda r: r.auroc)
    mean = sum(r.auroc for r in rows) / len(rows)
    print(f"demo encoder: {len(rows)} phrases on {COUNT:,} portraits of seed {SEED}: mean AUROC {mean:.3f}")
    print("  lowest: " + ", ".join(f"{r.phrase} {r.auroc:.3f}" for r in rows[:5]))


if __name__ == "__main__":
    main()
