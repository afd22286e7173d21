"""How a gate looks on a terminal: one line a check, what stops a release first."""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from fsearch.search.gate.outcome import GateResult
from fsearch.search.terminal.printable import printable


def checks_table(result: GateResult) -> Table:
    """Outcome, subject, check and reason of each check; long texts fold."""
    table = Table(box=None, pad_edge=False)
    table.add_column("outcome", no_wrap=True)
    for name in ("subject", "check", "reason"):
        table.add_column(name, overflow="fold")
    for check in result.checks:
        texts = (Text(printable(text)) for text in (check.subject, check.check, check.reason))
        table.add_row(Text(check.outcome, style=check.outcome.style), *texts)
    return table


def group_tables(result: GateResult) -> list[Table]:
    """The mean loss by the values of each column that a rule names, with 90% intervals."""
    found = []
    for column, rows in result.tables.items():
        table = Table(box=None, pad_edge=False)
        table.add_column(Text(printable(column)), overflow="fold")
        for name in ("images", "groups", "mean loss", "90% interval", "over the mean", "90% interval"):
            table.add_column(name, justify="right")
        table.add_column("verdict")
        for r in rows:
            numbers = (
                f"{r.images:,}",
                f"{r.groups:,}",
                f"{r.mean_loss:.3f}",
                f"[{r.mean_lo:.3f}, {r.mean_hi:.3f}]",
                f"{r.lift:+.3f}",
                f"[{r.lo:+.3f}, {r.hi:+.3f}]",
            )
            table.add_row(Text(printable(r.value)), *map(Text, numbers), Text(r.verdict, style=r.verdict.style))
        found.append(table)
    return found
