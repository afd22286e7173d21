"""Write what the labelled sets teach of ViT-B-32 (openai) into data/calibrations.json, with where it came from."""

from __future__ import annotations

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from benchmarks.calibration.unseen import SINGLE, concepts, learnt
from benchmarks.planted.clip_sets import LOGIT_SCALE, labelled_set

from fsearch.diagnoser.labelled import Labelled, usable
from fsearch.diagnoser.membership import membership
from fsearch.diagnoser.truth_slope import pooled_slope, slopes_of_truth
from fsearch.indexer.workspace.calibration import SHIPPED, Calibration

ARCHITECTURE, PRETRAINED = "ViT-B-32", "openai"


def taught(folder: Path, sets: Sequence[str]) -> Calibration:
    """What the labelled sets teach together."""
    slopes, noise, supports, images = [], [], [], 0
    for name in sets:
        whole = labelled_set(folder, name)
        retriever = whole.retriever(whole.images)
        some = usable(whole.shown, np.ones_like(whole.shown))
        labels = Labelled(whole.texts[some], retriever.rows, whole.shown[some], np.ones_like(whole.shown[some]))
        found = retriever.find(labels.texts)
        chances = membership(found.directions @ whole.images.T, found.support.anchor, found.scale)
        told = slopes_of_truth(chances, labels, found.quality, len(whole.images))
        slopes.append(told.values)
        noise.append(told.noise)
        supports.append(concepts(whole).there)
        images += len(whole.images)
    slope, error = pooled_slope(np.concatenate(slopes), np.concatenate(noise))
    centred, log_mean_exp = learnt(supports)
    names = ", ".join(name.removeprefix("clip-") for name in sets)
    return Calibration(
        labels=f"the sets {names}, as shipped with fsearch (benchmarks/calibration)",
        images=images,
        phrases=sum(map(len, slopes)),
        made_at=datetime.datetime.now(datetime.UTC).date().isoformat(),
        encoder="",
        templates=(),
        logit_scale=LOGIT_SCALE,
        slope=round(slope, 4),
        slope_error=round(error, 4),
        centred_similarity=round(centred, 4),
        log_mean_exp=round(log_mean_exp, 3),
    )


def ship(folder: Path) -> None:
    """Measure on every set, write, and say what was written."""
    row = {"architecture": ARCHITECTURE, "pretrained": PRETRAINED, **asdict(taught(folder, SINGLE))}
    SHIPPED.write_text(json.dumps([row], indent=1) + "\n", encoding="utf-8")
    print(f"{SHIPPED.name}: {row}")
