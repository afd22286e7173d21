"""The tables of a run: means, medians and spread over seeds."""

from __future__ import annotations

from typing import Any

import numpy as np

Row = dict[str, Any]


def print_tables(rows: list[Row], head: str) -> None:
    settings = list(dict.fromkeys(r["setting"] for r in rows))
    print(f"planted worlds, {head}\n")
    _scorers(rows, [s for s in settings if s != "null"])
    _answers(rows, settings)


def _scorers(rows: list[Row], settings: list[str]) -> None:
    """Average precision of the truly failing phrases."""
    print("Average precision of the truly failing phrases: mean over seeds, median (standard deviation)\n")
    print(f"| scorer | {' | '.join(settings)} |")
    print(f"|---|{'---:|' * len(settings)}")
    names = list(next(r["scores"] for r in rows if r.get("scores")))
    for name in names:
        cells = []
        for setting in settings:
            found = [r["scores"][name]["average_precision"] for r in rows if r["setting"] == setting and r["scores"]]
            cells.append(f"{np.mean(found):.3f}, {np.median(found):.3f} ({np.std(found):.3f})" if found else "")
        print(f"| {name} | {' | '.join(cells)} |")
    print("\nThe default: precision among the first 5 and 10, nDCG, median seconds a world\n")
    print("| setting | P@5 | P@10 | nDCG | seconds |\n|---|---:|---:|---:|---:|")
    for setting in settings:
        found = [r for r in rows if r["setting"] == setting and r["scores"]]
        if not found:
            continue
        means = [
            np.mean([r["scores"]["membership"][k] for r in found]) for k in ("precision_5", "precision_10", "ndcg")
        ]
        seconds = np.median([r["seconds"] for r in found])
        print(f"| {setting} | {means[0]:.2f} | {means[1]:.2f} | {means[2]:.3f} | {seconds:.1f} |")
    print()


def _answers(rows: list[Row], settings: list[str]) -> None:
    print("The default's answers: means over seeds\n")
    print(
        "| setting | worlds | truly failing (median) | false among `fails` | power | coverage of 90% | width, sd "
        "| wrongly `unseen` | absent found | also |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---|"
    )
    for setting in settings:
        found = [r for r in rows if r["setting"] == setting]
        also = ""
        if setting == "null":
            also = f"worlds with any `fails`: {sum(r['fails'] > 0 for r in found)} of {len(found)}"
        if setting == "interaction":
            also = f"conjunction above both parts: {sum(r['conjunction_first'] for r in found)} of {len(found)}"
        quiet = sum(not r["signal"] for r in found)
        if quiet and setting != "null":
            also = f"{also}; " if also else ""
            also += f"no signal, nothing judged: {quiet}"
        cells = [_mean(found, k) for k in ("false", "power", "coverage", "width", "unseen_false", "unseen_found")]
        failing = int(np.median([r["failing"] for r in found]))
        print(f"| {setting} | {len(found)} | {failing} | {' | '.join(cells)} | {also} |")


def _mean(rows: list[Row], key: str) -> str:
    found = [r[key] for r in rows if r.get(key) is not None]
    return f"{np.nanmean(found):.3f}" if found else ""
