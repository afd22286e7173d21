"""How results look on a terminal: rich tables from answers, rankings and SQL rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from rich.text import Text

from fsearch.diagnoser.verdict import Verdict
from fsearch.search.answer import Answer
from fsearch.search.export import row_tuples
from fsearch.search.terminal.printable import printable

if TYPE_CHECKING:
    from rich.table import Table

    from fsearch.indexer.embedding.pipeline import IndexReport
    from fsearch.indexer.losses.loss_report import LossesReport
    from fsearch.search.demo import DemoReport
    from fsearch.search.gate.outcome import GateResult

_WIDTHS = {
    "rank": 4,
    "verdict": 7,
    "lift": 6,
    "90% interval": 16,
    "observed": 8,
    "adjusted": 8,
    "vs group": 8,
    "n eff": 5,
    "q": 5,
    "true lift": 9,
}
_LEAST_PHRASE = 20  # characters that a text keeps in a line
_LEFT_OUT_FIRST = ("vs group", "adjusted", "observed", "n eff", "90% interval")  # verdict, lift and q stay
UNBOUNDED = 10_000  # the width of a pipe: no line may be folded or cut


def ranking_table(
    answers: Sequence[Answer],
    width: int = UNBOUNDED,
    first: int = 1,
    truths: Mapping[str, float] | None = None,
) -> Table:
    """One line an answer, ranked from `first` on, for a terminal of `width`: on a narrow one columns are left out.

    `truths` are true lifts by hypothesis, where they are known: one more column.
    """
    from rich.table import Table

    cells = {name: [cell(i, a) for i, a in enumerate(answers, first)] for name, cell in _CELLS.items()}
    if truths is not None:
        cells["true lift"] = [Text(printable(_signed(truths.get(a.text)))) for a in answers]
    for name in ("adjusted", "vs group"):
        if not any(cells[name]):
            del cells[name]
    phrase = min(_LEAST_PHRASE, max((len(a.title) for a in answers), default=0))
    names = fitting({name: _WIDTHS.get(name, phrase) for name in cells}, width, _LEFT_OUT_FIRST)
    table = Table(box=None, pad_edge=False)
    for name in names:
        if name == "hypothesis":
            table.add_column(name, overflow="fold")
        else:  # numbers keep their width on a narrow terminal; the phrase folds
            table.add_column(name, justify="left" if name == "verdict" else "right", min_width=_WIDTHS[name])
    for row in zip(*(cells[name] for name in names), strict=True):
        table.add_row(*row)
    return table


def fitting(widths: Mapping[str, int], width: int, left_out_first: Sequence[str]) -> list[str]:
    """The columns that fit into `width`, of `widths` each; those to be left out first are left out first."""
    kept = dict(widths)
    for name in left_out_first:
        if sum(kept.values()) + 2 * (len(kept) - 1) > width:
            kept.pop(name, None)
    return list(kept)


def fitting_rows(rows: pa.Table, width: int, left_out_first: Sequence[str]) -> pa.Table:
    """`rows` without the columns that a terminal of `width` has no room for."""
    widths = {
        name: max(len(name), *(min(_LEAST_PHRASE, len(_cell(v))) for v in rows[name].to_pylist()), 0)
        for name in rows.column_names
    }
    return rows.select(fitting(widths, width, left_out_first))


def _seen(cell: Callable[[Answer], str]) -> Callable[[int, Answer], Text]:
    """A cell that is empty where no image speaks for the phrase."""
    return lambda _, a: Text(printable("" if a.verdict == Verdict.UNSEEN else cell(a)))


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.3f}"


_CELLS: dict[str, Callable[[int, Answer], Text]] = {
    "rank": lambda i, _: Text(printable(str(i))),
    "hypothesis": lambda _, a: Text(printable(f"  or: {a.title}" if a.wording_of else a.title)),
    "verdict": lambda _, a: Text(a.verdict, style=a.verdict.style),
    "lift": _seen(lambda a: _signed(a.lift)),
    "90% interval": _seen(lambda a: f"[{a.lo:+.3f}, {a.hi:+.3f}]"),
    "observed": _seen(lambda a: _signed(a.observed_lift)),
    "adjusted": lambda _, a: Text(printable(_signed(a.adjusted_lift))),
    "vs group": lambda _, a: Text(printable(_signed(a.contrast))),
    "n eff": _seen(lambda a: f"{a.n_effective:.0f}"),
    "q": _seen(lambda a: f"{a.q_value:.3f}" if a.q_value >= 0.001 else "<.001"),
}


def index_lines(report: IndexReport) -> list[str]:
    """What an index run did, in a line or two."""
    counts = [
        (report.embedded, "embedded"),
        (report.duplicates, "already embedded (same bytes)"),
        (report.unchanged, "unchanged"),
        (report.changed, "changed"),
        (report.renamed, "renamed"),
        (report.missing, "now missing"),
        (report.rejected, "rejected"),
    ]
    said = ", ".join(f"{n:,} {word}" for n, word in counts if n)
    lines = [f"{report.found:,} images found: {said or 'nothing to do'}"]
    lines += [report.manifest] if report.manifest else []
    lines += [report.rows] if report.rows else []
    if report.losses or report.failed_losses:
        failed = f", {report.failed_losses:,} failed" if report.failed_losses else ""
        replaced = f", {report.replaced_losses:,} of another origin replaced" if report.replaced_losses else ""
        rest = f"; {report.without_loss:,} images have none and take no part" if report.without_loss else ""
        lines.append(f"{report.losses:,} losses stored{failed}{replaced}{rest}")
    if report.index:
        lines.append(f"index: {report.index}")
    if report.rejected:
        lines.append("rejected files and reasons: fsearch info")
    return [*lines, *report.notes]


def losses_lines(report: LossesReport) -> list[str]:
    """What adding losses did, in a few lines."""
    parts = [
        (report.added, "losses added"),
        (report.kept, "there already"),
        (report.replaced, "of another origin replaced"),
        (report.others, "of other images kept"),
        (report.failed, "failed"),
    ]
    counts = ", ".join(f"{n:,} {word}" for n, word in parts if n)
    lines = [report.rows] if report.rows else []
    lines += [f"model {report.model}: {counts or 'nothing to do'}; {report.task}, mean {report.mean:.4g}"]
    if report.without:
        lines.append(f"{report.without:,} images have no loss of it and take no part")
    if report.failed:
        lines.append('reasons: fsearch sql "SELECT key, reason FROM prediction_errors JOIN images USING (image_id)"')
    return [*lines, *report.notes]


def demo_lines(report: DemoReport, program: str, options: str) -> list[str]:
    """What the demo showed, and commands to try next; the last is the page."""
    stages = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in report.seconds.items())
    return [
        "",
        f"The black box is right on {report.accuracy:.1%} of these {report.fit.images:,} portraits "
        f"(mean loss {report.mean_loss:.3f}). The list says on whom it is not.",
        str(report.fit),
        f"  {stages}",
        "",
        *_unlisted(report),
        "",
        *_gated(report.gate, f"{program} gate{options}"),
        "",
        "Try next:",
        f'  {program} query{options} "dark skin tone"',
        f'  {program} query{options} "dark skin in dim light" vs "light skin in dim light"',
        f'  {program} sql{options} "SELECT skin_tone, avg(loss) AS mean_loss FROM worst_images GROUP BY 1 ORDER BY 1"',
        f"  {program} serve{options}{_needs_web()}",
    ]


def _needs_web() -> str:
    """What the page asks to be installed first, where something is missing."""
    from fsearch.search.web.server import missing

    return "" if missing() is None else "  # first: pip install 'fsearch-vision[web]'"


def _unlisted(report: DemoReport) -> list[str]:
    """What the demo discovered beside its list."""
    found = report.unlisted
    if found is None:
        return ["Nothing fails that the list does not say (fsearch discover)."]
    q = f"q {found.head.q_value:.3f}" if found.head.q_value >= 0.001 else "q < 0.001"
    numbers = f"lift {found.head.lift:+.3f}, {q}"
    return [f"Nobody listed this, and it fails (fsearch discover: {numbers}):", f"  {printable(found.head.text)}"]


def _gated(gate: GateResult, command: str) -> list[str]:
    """What the demo's gate came to, and the command that asks it again."""
    outcome = gate.sentence.partition(":")[0].capitalize()
    checks = (f"  {c.outcome:<6}  {c.subject}: {c.reason}" for c in gate.checks)
    return [f"Would it be released? {outcome} ({command} {gate.source}):", *checks]


def sql_table(rows: pa.Table) -> Table:
    """SQL rows for reading."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for field in rows.schema:
        number = pa.types.is_integer(field.type) or pa.types.is_floating(field.type)
        table.add_column(Text(printable(field.name)), justify="right" if number else "left")
    for row in row_tuples(rows):
        table.add_row(*(Text(printable(_cell(v))) for v in row))
    return table


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    return "" if value is None else str(value)
