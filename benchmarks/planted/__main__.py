"""make bench-planted: every setting, every scorer, one table.

    python -m benchmarks.planted [--held-out] [--seeds 0:5] [--clip FOLDER] [--settings NAME ...]

Development uses seeds below 1000. --held-out uses 1000 to 1019: for the reported table, when the method is frozen.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from benchmarks.measure import machine
from benchmarks.planted import real_clip
from benchmarks.planted.measures import coverage, discoveries, ordering
from benchmarks.planted.ours import verdicts
from benchmarks.planted.pool import Pool, make_pool
from benchmarks.planted.rivals import RIVALS, Evidence
from benchmarks.planted.table import print_tables
from benchmarks.planted.worlds import SETTINGS, World

from fsearch.diagnoser.bridge import DEFAULT
from fsearch.diagnoser.reference_bank import ReferenceBank
from fsearch.indexer.storage.vectors import unit
from fsearch.search.query import reference_bank

FIRST_HELD_OUT, HELD_OUT, DEVELOPMENT = 1000, "1000:1020", "0:5"
DEV_POOL, HELD_OUT_POOL = 900, 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", help=f"first:end; {DEVELOPMENT}, or {HELD_OUT} with --held-out")
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--clip", type=Path, help=f"folder of {real_clip.FILE}; without it real CLIP is left out")
    parser.add_argument("--settings", nargs="*", default=[*SETTINGS, "real CLIP"])
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    first, end = (int(v) for v in (args.seeds or (HELD_OUT if args.held_out else DEVELOPMENT)).split(":"))
    seeds = range(first, end)
    if args.held_out != (first >= FIRST_HELD_OUT) or (not args.held_out and end > FIRST_HELD_OUT):
        parser.error(f"seeds from {FIRST_HELD_OUT} on are held out, and only those go with --held-out")
    rows = []
    if set(args.settings) & set(SETTINGS):
        pool = make_pool(HELD_OUT_POOL if args.held_out else DEV_POOL)
        reference = reference_bank(pool.encoder)
        for name in [s for s in SETTINGS if s in args.settings]:
            rows += [_portraits(pool, reference, SETTINGS[name](pool, seed)) for seed in seeds]
    clip = real_clip.load(args.clip) if args.clip and "real CLIP" in args.settings else None
    if clip:
        rows += [_clip(*clip, real_clip.plant(clip[0], seed)) for seed in seeds]
    if args.out:
        args.out.write_text(json.dumps(rows))
    print_tables(rows, f"seeds {seeds.start} to {seeds.stop - 1}{', held out' if args.held_out else ''}; {machine()}")


def _portraits(pool: Pool, reference: ReferenceBank, world: World) -> dict[str, object]:
    evidence = Evidence(
        pool.embeddings[world.rows],
        world.losses,
        pool.texts,
        reference.mean.astype(np.float32),
        pool.shown[:, world.rows],
    )
    row = _measure(evidence, reference, world)
    if world.setting == "interaction":
        row["conjunction_first"] = _conjunction_first(pool, world, row.pop("lifts"))  # type: ignore[arg-type]
    return row


def _clip(images: np.ndarray, captions: np.ndarray, world: World) -> dict[str, object]:
    reference = ReferenceBank(captions, real_clip.LOGIT_SCALE)
    shown = world.lifts[:, None] == world.lifts[None]
    return _measure(Evidence(images, world.losses, captions, unit(reference.mean[None])[0], shown), reference, world)


def _measure(evidence: Evidence, reference: ReferenceBank, world: World) -> dict[str, object]:
    began = time.perf_counter()
    ours = verdicts(evidence, reference, world.seed)
    seconds = time.perf_counter() - began
    scores = ours.scores | {name: score(evidence) for name, score in RIVALS.items()}
    fails, unseen = ours.words == "fails", ours.words == "unseen"
    row: dict[str, object] = {"setting": world.setting, "seed": world.seed, "seconds": seconds, "signal": ours.signal}
    row["failing"] = int((world.failing & world.asked).sum())
    row["fails"] = int(fails.sum())
    if world.setting != "null":
        row["scores"] = {
            name: vars(ordering(s, world)) for name, s in scores.items() if world.failing[world.asked].any()
        }
        row["false"], row["power"] = discoveries(fails, world)
    if world.setting != "real CLIP":
        row["coverage"], row["width"] = coverage(ours.lo, ours.hi, ~unseen, world)
        row["unseen_false"] = float(unseen[world.asked & ~world.absent].mean())
    if world.absent.any():
        row["unseen_found"] = float(unseen[world.absent].mean())
    if world.setting == "interaction":
        row["lifts"] = ours.scores[DEFAULT.name]
    return row


def _conjunction_first(pool: Pool, world: World, lifts: np.ndarray) -> bool:
    """Whether the best phrase of the pair ranks above every phrase of either part alone."""
    both = [i for i, p in enumerate(pool.phrases) if set(p.concepts) == set(world.planted)]
    parts = [i for i, p in enumerate(pool.phrases) if len(p.concepts) == 1 and p.concepts[0] in world.planted]
    return bool(lifts[both].max() > lifts[parts].max())


if __name__ == "__main__":
    main()
