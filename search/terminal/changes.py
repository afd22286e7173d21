"""How a comparison looks on a terminal: one line a phrase, what got worse first, and every number where it is asked."""

from __future__ import annotations

from collections.abc import Callable

from rich.table import Table
from rich.text import Text

from fsearch.diagnoser.change_verdict import MIN_PAIRED, ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.verdict import MIN_EVIDENCE, Q_LEVEL
from fsearch.search.compare.result import ChangeAnswer, Comparison, found, label
from fsearch.search.terminal.printable import printable
from fsearch.search.terminal.render import UNBOUNDED, fitting

_WIDTHS = {
    "rank": 4,
    "verdict": 7,
    "change": 6,
    "90% interval": 16,
    "before": 6,
    "after": 6,
    "n eff": 5,
    "q": 5,
    "found": 5,
}
_LEAST_PHRASE = 20  # characters that a text keeps in a line
_LEFT_OUT_FIRST = ("n eff", "before", "after", "90% interval")  # verdict, change and q stay


def _seen(cell: Callable[[Change], str]) -> Callable[[int, Change], Text]:
    """A cell that is empty where no image speaks for the phrase."""
    return lambda _, c: Text("" if c.verdict == ChangeVerdict.UNSEEN else printable(cell(c)))


_CELLS: dict[str, Callable[[int, Change], Text]] = {
    "rank": lambda i, _: Text(str(i or "")),
    "hypothesis": lambda _, c: Text(printable(label(c))),
    "verdict": lambda _, c: Text(c.verdict, style=c.verdict.style),
    "change": _seen(lambda c: f"{c.change:+.3f}"),
    "90% interval": _seen(lambda c: f"[{c.lo:+.3f}, {c.hi:+.3f}]"),
    "before": _seen(lambda c: f"{c.before:.3f}"),
    "after": _seen(lambda c: f"{c.after:.3f}"),
    "n eff": _seen(lambda c: f"{c.n_effective:.0f}"),
    "q": _seen(lambda c: f"{c.q_value:.3f}" if c.q_value >= 0.001 else "<.001"),
    "found": lambda _, c: Text("yes" * found(c)),
    "": lambda _, c: Text("against the whole" if c.simpson else ""),
}


def changes_table(comparison: Comparison, width: int = UNBOUNDED) -> Table:
    """All images, then one line a phrase, on a terminal of `width`: where that is narrow, columns are left out."""
    lines = list(enumerate((comparison.whole, *comparison.answers)))
    cells = {name: [cell(i, c) for i, c in lines] for name, cell in _CELLS.items()}
    for name in ("found", ""):
        if not any(map(str, cells[name])):
            del cells[name]
    phrase = min(_LEAST_PHRASE, max(len(label(c)) for _, c in lines))
    names = fitting({name: _WIDTHS.get(name, phrase) for name in cells}, width, _LEFT_OUT_FIRST)
    table = Table(box=None, pad_edge=False)
    for name in names:
        left = name in ("hypothesis", "verdict", "found", "")
        table.add_column(name, justify="left" if left else "right", min_width=_WIDTHS.get(name), overflow="fold")
    for row in zip(*(cells[name] for name in names), strict=True):
        table.add_row(*row)
    return table


def change_lines(c: Change) -> str:
    """Everything that went into one verdict, in words a reader can check."""
    lines = [
        f"{c.hypothesis}: why {c.verdict}",
        *([f"  found       nobody listed it: {c.origin}"] if isinstance(c, ChangeAnswer) and found(c) else []),
        f"  rule        {c.reason}",
        f"  images      {c.shown:.0f} with both losses seem to show it ({c.share:.1%}); "
        f"n_effective {c.n_effective:.0f} (unseen below {MIN_EVIDENCE:.0f})",
        f"  paired      {c.paired:.0%} of its images have both losses (below {MIN_PAIRED:.0%} worse or unclear)",
        f"  before      {c.before:.4f}, after {c.after:.4f}, by images of which {c.purity:.0%} show it",
        f"  change      {c.change:+.4f} [{c.lo:+.4f}, {c.hi:+.4f}], 90%: standard error {c.standard_error:.4f}",
        f"  evidence    p {c.p_value:.4g} under random signs, q {c.q_value:.4g} (level {Q_LEVEL:g})",
        f"  matters     from {c.min_effect:.4f} on; worse and better from half of it",
    ]
    return printable("\n".join(lines))
