"""A stored run as one file to send: HTML without script, thumbnails inside, or Markdown. It needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import fsearch
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer, Ranking
from fsearch.search.neighbour import Neighbour
from fsearch.search.stored_ranking import latest_run, stored_ranking
from fsearch.search.thumbnails import Shown
from fsearch.search.web.change_report import Compared
from fsearch.search.web.overview import Making, Overview, Summary
from fsearch.search.web.plots import Axis, bars
from fsearch.search.web.sent import ReportOptions, framed
from fsearch.search.web.templating import render

_DETAILED = (Verdict.FAILS, Verdict.SUSPECT)
_FOLDED = (Verdict.UNSEEN, Verdict.UNCLEAR)


def report(
    store: Store,
    reader: ImageReader,
    run_id: int | None,
    options: ReportOptions,
    compared: Sequence[int] = (),
) -> str:
    """The report of a run, the last one by default, and of stored comparisons beside it, by number.

    Raises BadInputError where there is none.
    """
    ranking = stored_ranking(store, reader, latest_run(store) if run_id is None else run_id)
    every = list(enumerate(ranking.answers, start=1))
    ranked = [(rank, a) for rank, a in every if a.wording_of is None]  # other wordings stand with what they are of
    summary = Summary.of([a for _, a in ranked], ranking.correction)
    about, making = Overview.of(store, ranking.model), Making.of(store, ranking)
    explained = {id(a): by for a, by in summary.explained}
    apart = [(rank, a, explained[id(a)]) for rank, a in ranked if id(a) in explained]
    judged = [(rank, a) for rank, a in ranked if a.verdict not in _FOLDED and id(a) not in explained]
    unseen, unclear = ([(rank, a) for rank, a in ranked if a.verdict == word] for word in _FOLDED)
    hidden = list(enumerate(ranking.hidden, start=len(every) + 1))
    beside = [Compared.of(store, reader, number, options.shown) for number in compared]
    shown: list[Shown] = [*_shown(ranking, options), *(image for found in beside for image in found.images)]
    values = {
        "about": about,
        "summary": summary,
        "ranking": ranking,
        "making": making,
        "steps": next_steps(summary, about, [a for _, a in unseen]),
        "every": every,
        "judged": judged,
        "hidden": hidden,
        "apart": apart,
        "unseen": unseen,
        "unclear": unclear,
        "version": fsearch.__version__,
        "sources": [Path(s).name or s for s in about.sources],
        "compared": beside,
    }
    if options.format == "md":
        return render("report.md", **values, redact=options.redact)
    return render(
        "report.html",
        **values,
        **framed(shown, store, reader, options),
        detailed=[(rank, a) for rank, a in [*ranked, *hidden] if a.verdict in _DETAILED],
        others=[(rank, a) for rank, a in ranked if a.verdict not in _DETAILED],
        ranks={a.title: rank for rank, a in [*every, *hidden]},
        axis=Axis.of([a for a in ranking.answers if a.verdict not in _FOLDED]),
        hidden_axis=Axis.of(ranking.hidden),
        bars=bars,
        href=lambda rank, answer: f"#k{rank}",
    )


def next_steps(summary: Summary, about: Overview, unseen: Sequence[Answer]) -> list[str]:
    """What the reader can do about it, in order."""
    steps = []
    if summary.causes:
        worst = summary.causes[0]
        steps.append(
            f"Look at the failing images of \u201c{worst.text}\u201d: do they show it, and are their labels right?"
        )
        steps.append(
            "Then collect, relabel or weight training images of what fails, and measure again on held-out ones."
        )
    elif summary.counts[Verdict.SUSPECT]:
        steps.append("Add images of what is suspect: with more of them it is either confirmed or cleared.")
    else:
        steps.append("Ask about more kinds of image: only what was named was looked at.")
    if about.fit.get("training_share") or about.splits != ("held-out",):
        steps.append(
            "Make sure that the losses are of images the model did not train on: training losses hide failures."
        )
    if unseen:
        steps.append(f"Add images of \u201c{unseen[0].text}\u201d before anything is said of them.")
    return steps


def _shown(ranking: Ranking, options: ReportOptions) -> list[Neighbour]:
    """The images the report shows; none where it is redacted."""
    found: list[Neighbour] = []
    if not options.shown:
        return found
    for a in (*ranking.answers, *ranking.hidden):
        strips = (a.nearest,) if a.verdict == Verdict.UNSEEN else (a.failing, a.passing)
        found += [n for strip in strips for n in strip[: options.shown]]
    return found
