"""What a gate writes for build servers: JUnit XML, SARIF, JSON, Markdown for a pull request, by a file's suffix.

Texts in it come from phrases, columns and reasons of others: each format's own characters are escaped, and those that
no XML may hold are shown by number.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html import escape
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree

import fsearch
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.search.gate.outcome import Check, GateResult, Outcome, finite

SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"
_LISTED = 50  # checks of one outcome in a comment on a pull request
# control characters, marks that turn or hide text, and what no XML may hold
_UNSHOWN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufffe\uffff]"
)


def write(result: GateResult, path: Path) -> None:
    """Write `result` to `path`, as its suffix says."""
    write_atomic(path, _FORMATS[path.suffix.lower()](result).encode())


def check_target(path: Path) -> None:
    """Raise BadInputError where a result cannot be written to `path`, before the work is done."""
    if path.suffix.lower() not in _FORMATS:
        raise BadInputError(f"--out {path}: use {', '.join(_FORMATS)}")
    if not path.parent.is_dir():
        raise BadInputError(f"--out {path}: no such folder: {path.parent}")


def as_json(result: GateResult) -> str:
    """Everything."""
    return json.dumps(result.as_dict(), indent=1, allow_nan=False) + "\n"


def as_junit(result: GateResult) -> str:
    """JUnit XML: a test case a check; what could not be told is an error, since a skipped test would pass."""
    counts = result.counts
    numbers = {
        "tests": str(len(result.checks)),
        "failures": str(counts[Outcome.FAILS]),
        "errors": str(counts[Outcome.UNKNOWN]),
        "skipped": "0",
    }
    root = ElementTree.Element("testsuites", {"name": "fsearch gate", **numbers})
    suite = ElementTree.SubElement(root, "testsuite", {"name": visible(result.source), **numbers})
    properties = ElementTree.SubElement(suite, "properties")
    told = {"model": result.model, "run": result.run_id, "report": result.report, "fsearch": fsearch.__version__}
    for name, value in told.items():
        if value is not None:
            ElementTree.SubElement(properties, "property", {"name": name, "value": visible(value)})
    for check in result.checks:
        named = {"classname": visible(check.rule), "name": visible(f"{check.subject}: {check.check}")}
        case = ElementTree.SubElement(suite, "testcase", named)
        if check.outcome != Outcome.PASSES:
            tag = "failure" if check.outcome == Outcome.FAILS else "error"
            told_of = {"message": visible(check.reason), "type": str(check.outcome)}
            ElementTree.SubElement(case, tag, told_of).text = visible(
                f"{result.source} line {check.line}: {check.reason}"
            )
    out = ElementTree.SubElement(suite, "system-out")
    out.text = "\n".join(visible(line) for line in (result.sentence, *result.notes))
    ElementTree.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(root, encoding="unicode") + "\n"


def as_sarif(result: GateResult) -> str:
    """SARIF 2.1.0: a result a check that fails or could not be told; passes are only counted."""
    stopped = [check for check in result.checks if check.outcome != Outcome.PASSES]
    ids = list(dict.fromkeys(_rule_id(check) for check in stopped))
    driver = {
        "name": "fsearch",
        "version": fsearch.__version__,
        "rules": [{"id": i, "shortDescription": {"text": f"A release must keep: {i}"}} for i in ids],
    }
    results = [
        {
            "ruleId": _rule_id(check),
            "ruleIndex": ids.index(_rule_id(check)),
            "level": "error" if check.outcome == Outcome.FAILS else "warning",
            "message": {"text": visible(f"{check.subject}: {check.outcome}: {check.reason}")},
            "locations": [
                {
                    "physicalLocation": {
                        "artifactLocation": {"uri": _uri(result.source)},
                        "region": {"startLine": max(check.line, 1)},
                    }
                }
            ],
            "partialFingerprints": {"check/v1": visible(f"{check.rule}/{check.subject}/{check.check}")},
            "properties": {"value": finite(check.value), "lo": finite(check.lo), "hi": finite(check.hi)},
        }
        for check in stopped
    ]
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": True, "exitCode": result.outcome.exit_code}],
        "results": results,
        "properties": {
            "outcome": str(result.outcome),
            "passed": result.counts[Outcome.PASSES],
            "report": result.report,
        },
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, indent=1) + "\n"


def as_markdown(result: GateResult) -> str:
    """A comment for a pull request: what stops the release, then what passed, folded away."""
    sign = {Outcome.PASSES: "\u2705", Outcome.FAILS: "\u274c", Outcome.UNKNOWN: "\u2753"}[result.outcome]
    lines = [f"## {sign} {_md(result.sentence)}", ""]
    if result.report is not None:
        lines += [f"[The report of run {result.run_id}](<{_link(result.report)}>)", ""]
    for outcome in (Outcome.FAILS, Outcome.UNKNOWN):
        lines += _md_table([c for c in result.checks if c.outcome == outcome], str(outcome))
    for column, rows in result.tables.items():
        lines += [f"### Mean loss by {_md(column)}", "", "| value | images | mean loss | 90% interval | verdict |"]
        lines += ["|---|---:|---:|---|---|"]
        lines += [
            f"| {_md(r.value)} | {r.images:,} | {r.mean_loss:.3f} | {r.mean_lo:.3f} to {r.mean_hi:.3f} | {r.verdict} |"
            for r in rows
        ]
        lines.append("")
    passed = [c for c in result.checks if c.outcome == Outcome.PASSES]
    if passed:
        lines += [f"<details><summary>{len(passed)} passed</summary>", "", *_md_table(passed, ""), "</details>", ""]
    lines += [f"- {_md(note)}" for note in result.notes]
    return "\n".join(lines).rstrip() + "\n"


def visible(text: object) -> str:
    """`text` with each character that is not shown, or that XML refuses, as its escape."""
    return _UNSHOWN.sub(lambda found: found[0].encode("unicode_escape", "surrogatepass").decode(), str(text))


def _md_table(checks: list[Check], title: str) -> list[str]:
    if not checks:
        return []
    lines = [f"### {len(checks)} {title}", ""] if title else []
    lines += ["| subject | check | reason |", "|---|---|---|"]
    lines += [f"| {_md(c.subject)} | {_md(c.check)} | {_md(c.reason)} |" for c in checks[:_LISTED]]
    more = len(checks) - _LISTED
    return [*lines, *([f"| and {more:,} more | | |"] if more > 0 else []), ""]


def _md(text: object) -> str:
    """Text as text: no markup, no link, no mention of anybody."""
    plain = escape(visible(" ".join(str(text).split())), quote=False)
    plain = re.sub(r"([\\`*_\[\]|~#])", r"\\\1", plain)
    return plain.replace("@", "&#64;").replace("://", "&#58;//").replace("www.", "www&#46;")


def _link(target: str) -> str:
    """The target of a link, in angle brackets."""
    return quote(target, safe="/:?&=%#.,+-_~@", errors="replace")


def _uri(path: str) -> str:
    """A path as SARIF has it: relative where it can be, with forward slashes."""
    place = Path(path)
    if place.is_absolute() and place.is_relative_to(Path.cwd()):
        place = place.relative_to(Path.cwd())
    return place.as_uri() if place.is_absolute() else quote(place.as_posix(), errors="replace")


def _rule_id(check: Check) -> str:
    """The kind of check, without its number: "max_gap"."""
    return check.check.split()[0]


_FORMATS: dict[str, Callable[[GateResult], str]] = {
    ".xml": as_junit,
    ".sarif": as_sarif,
    ".md": as_markdown,
    ".json": as_json,
}
