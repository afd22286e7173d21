"""The templates, and how numbers are written in them. The one file that imports jinja2.

Every value is escaped; no template has a style or script of its own, so that the strictest content policy fits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from fsearch.diagnoser.discovery.propose import Origin
from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import NotReadyError
from fsearch.indexer.storage.schema import TABLES
from fsearch.search.answer import COLUMNS, Answer

TEMPLATES = Path(__file__).parent / "templates"
MINUS = "\u2212"
_IN_WORDS = {"hypothesis", "verdict", "reason", "within"}  # said elsewhere; all other columns are numbers behind it
_FOUND_BY = {
    Origin.VOCABULARY: "it is of the vocabulary that comes with fsearch",
    Origin.CAPTIONS: "it is a keyword of captions",
    Origin.COLUMN: "it is a value of a column",
    Origin.LLM: "the language model proposed it",
    Origin.CONJUNCTION: "several candidates fail together and not apart",
    Origin.REGION: "these images lie together in the embedding space, and its name is no more than the nearest words",
}
_MEANINGS = {name: about for table in TABLES if table.name == "rankings" for name, _, about in table.columns}


@lru_cache(1)
def environment() -> Any:
    """The jinja2 environment. Raises NotReadyError where jinja2 is not installed."""
    try:
        import jinja2
    except ImportError as error:
        raise NotReadyError("pages need jinja2: pip install 'fsearch-vision[web]'") from error
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(disabled_extensions=["md"], default=True),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"signed": signed, "plain": plain, "q": q_value, "times": times, "cell": cell}
    found.globals |= {"numbers": numbers, "Verdict": Verdict, "found_by": _FOUND_BY}
    return found


def render(name: str, **values: Any) -> str:
    """One template with its values."""
    return str(environment().get_template(name).render(**values))


def signed(value: float | None, digits: int = 3) -> str:
    """A lift: with its sign, and a true minus."""
    if value is None:
        return ""
    rounded = round(value, digits)
    return f"{rounded:+.{digits}f}".replace("-", MINUS) if rounded else f"{0:.{digits}f}"


def plain(value: float | None, digits: int = 3) -> str:
    """A loss."""
    return "" if value is None else f"{value:.{digits}f}".replace("-", MINUS)


def q_value(value: float | None) -> str:
    """A q- or p-value."""
    if value is None:
        return ""
    return "< 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.0995 else f"{value:.2f}"


def times(answer: Answer) -> str:
    """How many times the baseline is lost on such images; empty where that says nothing."""
    if answer.baseline <= 0 or answer.expected_loss <= 0:
        return ""
    ratio = answer.expected_loss / answer.baseline
    return f"{ratio:.1f} times" if ratio >= 1.15 else ""


def cell(text: str) -> str:
    """A text in a cell of a Markdown table."""
    return " ".join(text.replace("|", "\\|").split())


def numbers(answer: Answer) -> Sequence[tuple[str, str, str]]:
    """Every number behind a verdict: its name, its value and what it means. A new column appears by itself."""
    found = []
    for name in COLUMNS:
        value = getattr(answer, name)
        if name not in _IN_WORDS and value is not None:
            found.append((name.replace("_", " "), _written(value), _MEANINGS.get(name, "")))
    return found


def _written(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return {True: "yes", False: "no"}.get(value, str(value))
    if isinstance(value, float) and not math.isfinite(value):
        return "not known"
    return f"{value:.4g}".replace("-", MINUS)
