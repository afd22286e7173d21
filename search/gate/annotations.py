"""What stops a release as annotations of GitHub Actions: lines on standard output that it shows beside the rule."""

from __future__ import annotations

from collections.abc import Iterator

from fsearch.search.gate.outcome import GateResult, Outcome


def lines(result: GateResult) -> Iterator[str]:
    """A workflow command a check that fails (`::error`) or could not be told (`::warning`)."""
    for check in result.checks:
        if check.outcome != Outcome.PASSES:
            kind = "error" if check.outcome == Outcome.FAILS else "warning"
            title = _property(f"fsearch gate: {check.subject} {check.outcome}")
            place = f"file={_property(result.source)},line={check.line}"
            yield f"::{kind} {place},title={title}::{_data(f'{check.check}: {check.reason}')}"


def _data(text: str) -> str:
    """Text of a workflow command: what would end it, or begin another, is escaped."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    """Text of a property of one."""
    return _data(text).replace(":", "%3A").replace(",", "%2C")
