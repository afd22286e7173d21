"""Planted worlds in real CLIP sets, read with and without a calibration: intervals, power, what is called unseen.

Half of the phrases of a world are labelled, on 600 of its images or on all; the others are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from benchmarks.planted.clip_sets import classes_fail, parts_fail
from benchmarks.planted.measures import Outcome, outcome, summary
from benchmarks.planted.method import answered, ask, diagnose
from benchmarks.planted.world import World

from fsearch.diagnoser.diagnosis import Diagnosis
from fsearch.diagnoser.label_calibration import Learnt, learn
from fsearch.diagnoser.labelled import Labelled, usable
from fsearch.indexer.vector_index.exact_search import ExactSearch
from fsearch.indexer.workspace.calibration import Calibration
from fsearch.indexer.workspace.store import Losses

SETTINGS = ("clip-caltech", "clip-food", "clip-mixed", "clip-halves")
IMAGES = (600, None)
FIGURES = {
    "unseen_absent": "absent `unseen`",
    "absent_held_back": "neither `fails` nor `fine`",
    "unseen_present": "present `unseen`",
    "coverage": "coverage of 90%",
    "width": "width, sd",
    "power": "power",
    "false": "false `fails`",
    "fine_by_gap": "wrong `fine`",
    "ap_absent": "AP, absent listed",
}


def print_table(folder: Path, seeds: Sequence[int]) -> None:
    """Figures on phrases that no label named, one row a setting and number of labelled images."""
    print(f"Planted worlds, seeds {seeds[0]} to {seeds[-1]}; the phrases that were not labelled\n")
    head = ["setting", "labelled images", *FIGURES.values()]
    print(f"| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for name in SETTINGS:
        found: dict[str, list[Outcome]] = {}
        for seed in seeds:
            world = (
                parts_fail(folder, "clip-caltech", seed) if name == "clip-halves" else classes_fail(folder, name, seed)
            )
            for how, result in outcomes(world).items():
                found.setdefault(how, []).append(result)
        for how, several in found.items():
            figures = summary(several)
            cells = ["" if np.isnan(figures[f]) else f"{figures[f]:.2f}" for f in FIGURES]
            print(f"| {name} | {how} | {' | '.join(cells)} |", flush=True)
    print()


def outcomes(world: World) -> dict[str, Outcome]:
    """The answers to one world, by how many of its images were labelled; one fit serves all."""
    artifact = diagnose(world)[0].artifact
    rng, n = np.random.default_rng([world.seed, 50]), len(world.losses)
    named, asked = (np.sort(half) for half in np.array_split(rng.permutation(len(world.phrases)), 2))
    question = replace(
        world,
        texts=world.texts[asked],
        phrases=tuple(world.phrases[i] for i in asked),
        shown=world.shown[asked],
        gaps=world.gaps[asked],
        lifts=world.lifts[asked],
    )
    index, rows = ExactSearch(world.vectors.astype(np.float16)), np.arange(n)

    def answers(known: Calibration | None) -> Outcome:
        diagnosis = Diagnosis(artifact.calibrated(known), Losses("world", rows, rows, world.losses), index)
        found = answered(ask(question, diagnosis), diagnosis.report.signal, 0.0)
        return outcome(question, found, {})

    found = {"none": answers(None)}
    for images in IMAGES:
        seen = np.sort(rng.choice(n, min(n, images or n), replace=False))
        shows = world.shown[named][:, seen]
        own = usable(shows, np.ones_like(shows))
        labels = Labelled(world.texts[named[own]], seen, shows[own], np.ones_like(shows[own]))
        known = as_calibration(learn(index, rows, world.reference, labels), labels)
        found[str(images or "all")] = answers(known)
    return found


def as_calibration(learnt: Learnt, labels: Labelled) -> Calibration:
    """As a workspace would keep it."""
    return Calibration(
        labels="half of the concepts",
        images=len(labels.rows),
        phrases=len(labels.texts),
        made_at="",
        encoder="",
        templates=(),
        logit_scale=learnt.logit_scale,
        slope=learnt.slope,
        slope_error=learnt.slope_error,
        centred_similarity=learnt.centred_similarity,
        log_mean_exp=learnt.log_mean_exp,
    )
