"""The tables of a run, one row a setting."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from benchmarks.planted.measures import AUROC, LIFT, PREVALENCE, Outcome, strata, summary

RANKING = {
    "failing": "failing",
    "absent": "absent",
    "ap": "AP",
    "ap_best_rival": "best rival",
    "ap_absent": "AP, absent listed",
    "ap_absent_best_rival": "best rival, absent listed",
    "ap_absent_20": "20 nearest, absent listed",
    "ap_absent_100": "100 nearest",
    "power": "power",
    "power_by_lift": "by lift",
    "power_strong": "of those beyond 10 se",
    "false": "false `fails`",
    "false_absent": "of which absent",
}
DOUBT = {
    "fine_by_gap": "wrong `fine`, gap",
    "fine_by_lift": "lift",
    "coverage": "coverage",
    "coverage_realised": "of the mean drawn",
    "width": "width, sd",
    "unseen_absent": "absent `unseen`",
    "unseen_absent_unknown": "unknown words",
    "absent_held_back": "neither `fails` nor `fine`",
    "unseen_present": "present `unseen`",
    "hidden": "`fails` apart from the worst",
    "hidden_false": "of which false",
    "hidden_found": "hidden ones found",
    "alarms": "null worlds with `fails`",
    "seconds": "CPU s a world",
}
_LINE = (
    "ap",
    "ap_absent",
    "false",
    "false_absent",
    "power",
    "fine_by_gap",
    "coverage",
    "unseen_absent",
    "unseen_present",
    "hidden",
    "hidden_false",
    "hidden_found",
)


def print_tables(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Print what was measured in each setting, in Markdown."""
    found = {name: summary(o) for name, o in outcomes.items()}
    for title, columns in (("Ranking and discoveries", RANKING), ("Intervals and doubt", DOUBT)):
        head = ["setting", "worlds", *columns.values()] if columns is RANKING else ["setting", *columns.values()]
        rows = [
            [name, *([str(int(s["worlds"]))] if columns is RANKING else []), *(_cell(key, s[key]) for key in columns)]
            for name, s in found.items()
        ]
        _print(title, head, rows)
    _coverage(outcomes)
    _scorers(outcomes)


def line(found: Mapping[str, float]) -> str:
    """The figures that matter most, in one line."""
    return ", ".join(f"{key} {_cell(key, found[key])}" for key in _LINE if not np.isnan(found[key]))


def _coverage(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Coverage in each stratum, with the number of intervals."""
    edges = {"prevalence": PREVALENCE, "AUROC": AUROC, "lift": LIFT}
    head = ["setting"]
    for name, marks in edges.items():
        head += [f"{name} < {m:g}" for m in marks[1:-1]] + [f"{name} >= {marks[-2]:g}"]
    rows = []
    for name, several in outcomes.items():
        cells = [cell for stratum in strata(several).values() for cell in stratum]
        rows.append([name, *("" if not n else f"{share:.2f} ({n})" for share, n in cells)])
    _print("Coverage of 90% intervals (number of intervals)", head, rows)


def _scorers(outcomes: Mapping[str, Sequence[Outcome]]) -> None:
    """Average precision of every scorer where something fails."""
    scored = {
        name: [o.scores for o in several if o.scores and not np.isnan(o.scores["fsearch"][0])]
        for name, several in outcomes.items()
    }
    scored = {name: several for name, several in scored.items() if several}
    for k, title in enumerate(("Average precision", "Average precision, absent phrases listed", "nDCG")):
        rows = []
        for scorer in dict.fromkeys(s for several in scored.values() for s in several[0]):
            values = [[s[scorer][k] for s in several if scorer in s] for several in scored.values()]
            rows.append([scorer, *(f"{np.mean(v):.3f} ({np.std(v):.3f})" if v else "" for v in values)])
        if scored:
            _print(f"{title}: mean over worlds (standard deviation)", ["scorer", *scored], rows)


def _print(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"{title}\n\n| {' | '.join(head)} |\n|---|{'---:|' * (len(head) - 1)}")
    for row in rows:
        print(f"| {' | '.join(row)} |")
    print()


def _cell(key: str, value: float) -> str:
    if np.isnan(value):
        return ""
    return f"{value:.1f}" if key in ("failing", "absent", "hidden", "seconds") else f"{value:.3f}"
