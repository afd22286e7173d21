"""How answers look in a notebook: a table with interval bars and, of a single answer, its two strips of images.

Styles are written at each element and colours are the notebook's own, light or dark: nothing leaks into other cells.
Answers are Any here: search/answer.py, which has them, calls this file.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.decode import RejectedImageError, decode

if TYPE_CHECKING:
    from PIL import Image


STRIP = 6  # images of a strip
_SIDE = 96  # pixels
_MARKS = {"fails": "\u25b2", "suspect": "\u25b3", "fine": "\u25cf", "unclear": "\u25c7", "unseen": "\u25cc"}
_COLOURS = {"fails": "#c9472f", "suspect": "#a87613", "fine": "#2f7fb0", "unclear": "#8a857b", "unseen": "#9468b3"}
_CELL = "padding:2px 10px 2px 0;text-align:left;white-space:nowrap;font-variant-numeric:tabular-nums"


def open_image(image: Any) -> Image.Image:
    """The pixels of an image that is a file. Raises BadInputError for one that is not, or is gone."""
    if image.path is None or "://" in image.path:
        raise BadInputError(f"{image.key} is no file that can be opened here; fsearch report and serve show it")
    try:
        return decode(Path(image.path).read_bytes())
    except (OSError, RejectedImageError) as error:
        raise BadInputError(f"{image.path}: {getattr(error, 'strerror', None) or error}") from error


def table_html(answers: Any) -> str:
    """A table of answers; of a single one, the answer whole."""
    if len(answers) == 1:
        return answer_html(answers[0])
    blocks = [_table(answers)]
    if answers.hidden:
        blocks.append(f"<p style='margin:8px 0 4px'>{escape(answers.hidden[0].within)}, which hides it:</p>")
        blocks.append(_table(answers.hidden))
    notes = "".join(f"<p style='margin:4px 0'>note: {escape(note)}</p>" for note in answers.notes)
    return "".join(blocks) + notes


def _table(answers: Any) -> str:
    rows = [a for a in answers if a.verdict != Verdict.UNSEEN]
    ends = [v for a in rows for v in (a.lo, a.hi)]
    at = _scale(min([0.0, *ends]), max([0.0, *ends]))
    head = "".join(f"<th style='{_CELL};font-weight:600'>{name}</th>" for name in ("", "hypothesis", "", "lift", "q"))
    body = "".join(_row(a, at) for a in answers)
    return f"<table style='border-collapse:collapse'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def answer_html(a: Any) -> str:
    """One answer: its verdict, reason and numbers, and the images that fail and that do not."""
    _, *numbers = a.lines()
    head = f"<p style='margin:0 0 2px'><b>{escape(a.title)}</b> {_verdict(a)} {escape(a.reason)}</p>"
    lines = "".join(f"<div style='opacity:.75'>{escape(line.strip())}</div>" for line in numbers)
    strips: Sequence[tuple[str, tuple[Any, ...]]] = (("fails", a.failing), ("passes", a.passing))
    if a.verdict == Verdict.UNSEEN:
        strips = (("nearest", a.nearest),)
    return head + lines + "".join(_strip(name, images[:STRIP]) for name, images in strips)


def rows_html(rows: Sequence[dict[str, Any]], head: str) -> str:
    """Plain rows under a line of text."""
    names = list(rows[0]) if rows else []

    def cells(values: Sequence[Any], tag: str) -> str:
        texts = [f"{v:.4g}" if isinstance(v, float) else "" if v is None else str(v) for v in values]
        return "<tr>" + "".join(f"<{tag} style='{_CELL}'>{escape(t)}</{tag}>" for t in texts) + "</tr>"

    body = "".join(cells(list(row.values()), "td") for row in rows)
    table = f"<table style='border-collapse:collapse'>{cells(names, 'th')}{body}</table>" if rows else ""
    return f"<pre style='margin:0 0 6px'>{escape(head)}</pre>{table}"


def _scale(low: float, high: float) -> Callable[[float], float]:
    span = high - low or 1.0
    return lambda value: round(4 + 192 * (value - low) / span, 1)


def _row(a: Any, at: Callable[[float], float]) -> str:
    unseen = a.verdict == Verdict.UNSEEN
    bar = "" if unseen else _bar(a, at)
    numbers = ("", "") if unseen else (f"{a.lift:+.3f}", "&lt;.001" if a.q_value < 0.001 else f"{a.q_value:.3f}")
    cells = (_verdict(a), escape(a.title), bar, *numbers)
    return "<tr title='" + escape(a.reason) + "'>" + "".join(f"<td style='{_CELL}'>{c}</td>" for c in cells) + "</tr>"


def _verdict(a: Any) -> str:
    return f"<span style='color:{_COLOURS[a.verdict]};font-weight:600'>{_MARKS[a.verdict]} {a.verdict}</span>"


def _bar(a: Any, at: Callable[[float], float]) -> str:
    colour, zero = _COLOURS[a.verdict], at(0.0)
    return (
        f"<svg width='200' height='16' role='img' aria-label='{a.lo:+.3f} to {a.hi:+.3f}'>"
        f"<line x1='{zero}' x2='{zero}' y1='0' y2='16' stroke='currentColor' stroke-opacity='.5'/>"
        f"<line x1='{at(a.lo)}' x2='{at(a.hi)}' y1='8' y2='8' stroke='{colour}' stroke-width='2'/>"
        f"<circle cx='{at(a.lift)}' cy='8' r='3.5' fill='{colour}'/></svg>"
    )


def _strip(name: str, images: Sequence[Any]) -> str:
    shots = []
    for image in images:
        try:
            pixels = open_image(image)
        except BadInputError:
            continue
        pixels.thumbnail((_SIDE, _SIDE))
        file = io.BytesIO()
        pixels.save(file, "WEBP", quality=80)
        data = base64.b64encode(file.getvalue()).decode()
        text = escape(" ".join(part for part in (f"{image.loss:.2f}", image.caption) if part))
        shots.append(
            f"<figure style='margin:0 8px 0 0;width:{_SIDE}px;font-size:11px'><img width='{_SIDE}' alt='{text}' "
            f"src='data:image/webp;base64,{data}'><figcaption>{text}</figcaption></figure>"
        )
    strip = f"<div style='display:flex;flex-wrap:wrap'>{''.join(shots)}</div>"
    return f"<div style='margin-top:8px'><b>{name}</b>{strip}</div>" if shots else ""
