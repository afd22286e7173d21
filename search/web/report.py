"""A stored run as one file to send: HTML without script, thumbnails inside, or Markdown. It needs no other file."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import fsearch
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.answer import Answer, Ranking
from fsearch.search.neighbour import Neighbour
from fsearch.search.stored_ranking import latest_run, stored_ranking
from fsearch.search.web.overview import Making, Overview, Summary
from fsearch.search.web.plots import Axis, bars
from fsearch.search.web.templating import TEMPLATES, render

Format = Literal["html", "md"]
IMAGES = 8  # of each strip
MAX_IMAGE_BYTES = 3_400_000  # of all thumbnails, before base64 adds a third: a report of 50 phrases fits in 5 MB
_SIDES = (160, 128, 112, 96, 80, 64, 48)  # of thumbnails, in pixels: the largest that fits
_DETAILED = (Verdict.FAILS, Verdict.SUSPECT)
_FOLDED = (Verdict.UNSEEN, Verdict.UNCLEAR)


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """What a report holds.

    Attributes
    ----------
    images : of each strip, at most.
    redact : whether images, their names and where they lie stay out.
    format : "html", or "md" without images.
    """

    images: int = IMAGES
    redact: bool = False
    format: Format = "html"


def report(store: Store, reader: ImageReader, run_id: int | None, options: ReportOptions = ReportOptions()) -> str:
    """The report of a run, the last one by default. Raises BadInputError where there is none."""
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
    shown = _shown(ranking, options)
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
        "redact": options.redact,
    }
    if options.format == "md":
        return render("report.md", **values)
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return render(
        "report.html",
        **values,
        style=style,
        style_hash=f"sha256-{base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()}",
        detailed=[(rank, a) for rank, a in [*ranked, *hidden] if a.verdict in _DETAILED],
        others=[(rank, a) for rank, a in ranked if a.verdict not in _DETAILED],
        lazy=False,
        ranks={a.title: rank for rank, a in [*every, *hidden]},
        axis=Axis.of([a for a in ranking.answers if a.verdict not in _FOLDED]),
        hidden_axis=Axis.of(ranking.hidden),
        bars=bars,
        href=lambda rank, answer: f"#k{rank}",
        images=options.images,
        thumb=_inlined(shown, reader, _source_of(store)),
        link=lambda image: None if options.redact else _link(image),
    )


def write_report(store: Store, run_id: int | None, out: Path, options: ReportOptions = ReportOptions()) -> Path:
    """Write the report of a run to `out`, whole or not at all. Raises BadInputError where it cannot be."""
    if not out.parent.is_dir():
        raise BadInputError(f"--out {out}: no such folder: {out.parent}")
    write_atomic(out, report(store, ImageReader(store), run_id, options).encode())
    return out


def format_of(out: Path) -> Format:
    """What a report is written as, by its suffix. Raises BadInputError where it cannot be written there."""
    kinds: dict[str, Format] = {".html": "html", ".htm": "html", ".md": "md"}
    if out.suffix.lower() not in kinds:
        raise BadInputError(f"--report {out}: use .html or .md")
    if not out.parent.is_dir():
        raise BadInputError(f"--report {out}: no such folder: {out.parent}")
    return kinds[out.suffix.lower()]


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
    if options.redact or options.format == "md":
        return []
    found = []
    for a in (*ranking.answers, *ranking.hidden):
        strips = (a.nearest,) if a.verdict == Verdict.UNSEEN else (a.failing, a.passing)
        found += [n for strip in strips for n in strip[: options.images]]
    return found


def _source_of(store: Store) -> Callable[[Sequence[int]], dict[int, str]]:
    def sources(image_ids: Sequence[int]) -> dict[int, str]:
        rows = store.catalog.sql(
            "SELECT image_id, source FROM images WHERE list_contains(?::BIGINT[], image_id)", [list(image_ids)]
        )
        return dict(zip(*(rows[name].to_pylist() for name in ("image_id", "source")), strict=True))

    return sources


def _inlined(
    shown: Sequence[Neighbour], reader: ImageReader, sources_of: Callable[[Sequence[int]], dict[int, str]]
) -> Callable[[Neighbour], str | None]:
    """What gives an image as a data URL: all of them as large as MAX_IMAGE_BYTES allows, None for one that is gone."""
    sources, count = sources_of([n.image_id for n in shown]), len(shown)
    thumbnails: dict[int, bytes] = {}
    for side in _SIDES:
        thumbnails = {}
        total = 0
        for n in shown:
            if n.image_id not in thumbnails:
                thumbnails[n.image_id] = _thumbnail(reader, sources[n.image_id], n.key, side)
            total += len(thumbnails[n.image_id])
            if total > MAX_IMAGE_BYTES and side > _SIDES[-1] and count > 1:
                break
        else:
            break

    def url(image: Neighbour) -> str | None:
        data = thumbnails.get(image.image_id)
        return f"data:image/webp;base64,{base64.b64encode(data).decode()}" if data else None

    return url


def _thumbnail(reader: ImageReader, source: str, key: str, side: int) -> bytes:
    try:
        return reader.thumbnail(source, key, side)
    except RejectedImageError:
        return b""


def _link(image: Neighbour) -> str | None:
    """A link that opens the image from disk, or where it is on the network."""
    if image.path is None:
        return None
    return image.path if "://" in image.path else Path(image.path).absolute().as_uri()
