"""Rules read from a YAML file, or made for a bare hypothesis file. A file is valid as a whole, or refused."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fsearch.diagnoser.verdict import Verdict
from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.yaml_file import LINE, parse_settings, read_settings
from fsearch.search.gate.rules import ALLOWED, BASELINE, Kind, Rule, Rules
from fsearch.search.hypotheses import Hypothesis, from_phrases, read_hypotheses, shipped

_TOP = ("model", "baseline", "where", "hypotheses", "max_errors", "rules")
_KINDS: tuple[Kind, ...] = ("phrase", "group", "file", "by", "all")
_LIMITS = ("max_lift", "max_upper", "max_gap", "max_change", "min_support")
_SIGNED = ("max_lift", "max_upper")  # a group may have to lose less than the mean
_KEYS = (*_KINDS, "name", "verdict", *_LIMITS, "no_worse_than", "allow")
_ONLY_RULES = (*_KINDS[2:], "verdict", *_LIMITS, "no_worse_than", "allow")  # hypotheses have phrases and groups
_CHECKS = ("verdict", "max_lift", "max_upper", "max_gap", "no_worse_than")
_SENSELESS: dict[Kind, tuple[str, ...]] = {
    "by": ("no_worse_than", "max_change"),
    "all": ("verdict", "max_lift", "max_upper", "max_gap"),
}
_RULES = re.compile(r"^rules\s*:", re.MULTILINE)
FINE = frozenset({str(Verdict.FINE)})


def read_rules(path: Path, *, baseline: str | None = None, by: Sequence[str] = ()) -> Rules:
    """The rules of a YAML file, or the default rules for a hypothesis file.

    Parameters
    ----------
    baseline : what `no_worse_than: baseline` means, in place of what the file says; of a bare hypothesis file, every
        phrase, and the whole, must then be no worse, whether it fails or not.
    by : columns whose values must each be fine, beside the rules.

    Raises BadInputError naming the file and line of the first thing wrong.
    """
    more = tuple(Rule(kind="by", subject=column, verdicts=FINE) for column in by)
    if path.suffix.lower() in (".yaml", ".yml") and path.is_file():
        content = read_settings(path, "rules", marked=True)
        if isinstance(content, Mapping):
            found = _Reader(path, baseline).rules(content)
            return replace(found, rules=(*found.rules, *more))
        _refuse_rules(path, content)
    found = _bare(path, read_hypotheses(path), baseline)
    return replace(found, rules=(*found.rules, *more))


def given_rules(text: str, *, baseline: str | None = None) -> Rules:
    """The rules that a text holds, which is no file: YAML with 'rules:', or phrases, one a line. See `read_rules`.

    Of files, it may name those alone that come with fsearch. Raises BadInputError.
    """
    if _RULES.search(text):
        path = Path("rules.yaml")
        content = parse_settings(text.encode(), path, marked=True)
        if not isinstance(content, Mapping):
            raise BadInputError(f"{path}: rules are a mapping with 'rules:'; see docs/ci.md")
        return _Reader(path, baseline, alone=True).rules(content)
    phrases = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    if not phrases:
        raise BadInputError("give rules, or phrases, one a line")
    return _bare(Path("hypotheses.txt"), from_phrases(phrases), baseline)


def _bare(path: Path, phrases: Sequence[Hypothesis], baseline: str | None) -> Rules:
    """The rules for phrases that none are written for."""
    own = Rule(kind="file", subject=str(path), phrases=tuple(phrases))
    if baseline is None:
        return Rules(path, (replace(own, verdicts=FINE),))
    whole = Rule(kind="all", subject="all images", no_worse_than=baseline)
    return Rules(path, (replace(own, no_worse_than=baseline), whole))


def _refuse_rules(path: Path, content: Any) -> None:
    """Raise BadInputError where a list of hypotheses is one of rules: what they ask for would not be looked at."""
    for entry in content if isinstance(content, list) else ():
        wrong = [name for name in entry if name in _ONLY_RULES] if isinstance(entry, Mapping) else []
        if wrong:
            raise BadInputError(
                f"{path} line {entry[LINE]}: {wrong[0]!r} is of a rule, and this is a list of hypotheses; write the "
                "rules under 'rules:'"
            )


@dataclass(slots=True)
class _Reader:
    """Reads one file; `baseline` is what the command line names, and then what the file does.

    Where it is `alone`, no file lies beside it that it could name.
    """

    path: Path
    baseline: str | None
    alone: bool = False
    line: int = 1
    known: tuple[Hypothesis, ...] = ()

    def rules(self, content: Mapping[Any, Any]) -> Rules:
        self._known_keys(content, _TOP)
        self.baseline = self.baseline or self._text(content, "baseline")
        self.known = tuple(h for file in self._texts(content, "hypotheses") for h in self._file(file))
        entries = content.get("rules")
        if not isinstance(entries, list) or not entries:
            raise self._wrong("'rules' must be a list of one rule or more")
        errors = self._number(content, "max_errors")
        rules = tuple(self._rule(i, entry) for i, entry in enumerate(entries, start=1))
        model, where = self._text(content, "model"), self._text(content, "where")
        return Rules(self.path, rules, model, where, int(errors or 0))

    def _rule(self, number: int, entry: Any) -> Rule:
        if not isinstance(entry, Mapping):
            raise self._wrong(f"rule {number} must be a mapping, as in 'phrase: dark skin'")
        self.line = entry[LINE]
        self._known_keys(entry, _KEYS)
        kinds = [kind for kind in _KINDS if kind in entry]
        if len(kinds) != 1:
            raise self._wrong(f"a rule is about one of {', '.join(_KINDS)}; this has {', '.join(kinds) or 'none'}")
        kind = kinds[0]
        subject, phrases = self._subject(kind, entry)
        limits = {name: self._number(entry, name) for name in _LIMITS}
        rule = Rule(
            kind=kind,
            subject=subject,
            phrases=phrases,
            name=self._text(entry, "name") or "",
            line=self.line,
            verdicts=self._words(entry, "verdict", [str(v) for v in Verdict]),
            no_worse_than=self._no_worse_than(entry),
            allow=self._words(entry, "allow", ALLOWED) or frozenset(),
            **{name: value for name, value in limits.items() if value is not None},
        )
        return self._sensible(rule, entry)

    def _sensible(self, rule: Rule, entry: Mapping[Any, Any]) -> Rule:
        """The rule, which asks for a verdict of `fine` where it asks for nothing else. Raises BadInputError."""
        for name in _SENSELESS.get(rule.kind, ()):
            if name in entry:
                raise self._wrong(f"{name!r} says nothing of a rule about {rule.kind!r}")
        if rule.max_change is not None and rule.no_worse_than is None:
            raise self._wrong("'max_change' needs 'no_worse_than', the model it is a change from")
        if rule.max_gap is not None and rule.kind != "by" and not rule.siblings():
            raise self._wrong("'max_gap' needs siblings: two phrases or more, or phrases with a group")
        if rule.kind == "all" and rule.no_worse_than is None:
            raise self._wrong("a rule about all images needs 'no_worse_than'")
        return rule if any(name in entry for name in _CHECKS) else replace(rule, verdicts=FINE)

    def _subject(self, kind: Kind, entry: Mapping[Any, Any]) -> tuple[str, tuple[Hypothesis, ...]]:
        if kind == "phrase":
            texts = self._texts(entry, kind)
            own = {h.text.lower(): h for h in reversed(self.known)}
            try:
                phrases = from_phrases([own.get(text.lower(), text) for text in texts])
            except BadInputError as error:
                raise self._wrong(str(error)) from error
            return ", ".join(texts), tuple(phrases)
        subject = self._text(entry, kind)
        if subject is None:
            raise self._wrong(f"{kind!r} is empty")
        if kind == "file":
            return subject, tuple(self._file(subject))
        if kind == "group":
            groups = sorted({h.group for h in self.known if h.group is not None})
            if subject not in groups:
                raise self._wrong(f"no phrase of 'hypotheses' is of group {subject!r}{_near(subject, groups)}")
            return subject, tuple(h for h in self.known if h.group == subject)
        if kind == "all" and subject != "images":
            raise self._wrong("write 'all: images'")
        return ("all images" if kind == "all" else subject), ()

    def _file(self, name: str) -> list[Hypothesis]:
        """The phrases of a file, which is looked for beside the rules; or of one that comes with fsearch."""
        if self.alone and name not in shipped():
            known = ", ".join(shipped())
            raise self._wrong(f"here a file can only be one that comes with fsearch ({known}); write phrases out")
        beside = self.path.parent / name
        return read_hypotheses(Path(name) if name in shipped() and (self.alone or not beside.is_file()) else beside)

    def _no_worse_than(self, entry: Mapping[Any, Any]) -> str | None:
        name = self._text(entry, "no_worse_than")
        if name == BASELINE and self.baseline is None:
            raise self._wrong("no baseline is named: give 'baseline' at the top of the file, or --baseline")
        return self.baseline if name == BASELINE else name

    def _known_keys(self, mapping: Mapping[Any, Any], known: Sequence[str]) -> None:
        for name in mapping:
            if name != LINE and name not in known:
                raise self._wrong(f"unknown key {str(name)[:60]!r}{_near(str(name), known)}")

    def _text(self, mapping: Mapping[Any, Any], name: str) -> str | None:
        value = mapping.get(name)
        if value is not None and not (isinstance(value, str) and value.strip()):
            raise self._wrong(f"{name!r} must be a text")
        if name in mapping and value is None:
            raise self._wrong(f"{name!r} is empty")
        return value.strip() if isinstance(value, str) else None

    def _texts(self, mapping: Mapping[Any, Any], name: str) -> list[str]:
        value = mapping.get(name)
        several = value if isinstance(value, list) else [value]
        return [text for v in several if (text := self._text({name: v} if name in mapping else {}, name)) is not None]

    def _words(self, mapping: Mapping[Any, Any], name: str, known: Sequence[str]) -> frozenset[str] | None:
        if name not in mapping:
            return None
        words = self._texts(mapping, name)
        if not words:
            raise self._wrong(f"{name!r} is empty")
        for word in words:
            if word not in known:
                raise self._wrong(f"{name!r} is of {', '.join(known)}; not {word[:60]!r}{_near(word, known)}")
        return frozenset(words)

    def _number(self, mapping: Mapping[Any, Any], name: str) -> float | None:
        text = self._text(mapping, name)
        if text is None:
            return None
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or (number < 0 and name not in _SIGNED):
            least = "" if name in _SIGNED else " from 0 on"
            raise self._wrong(f"{name!r} must be a number{least}; not {text[:60]!r}")
        return number

    def _wrong(self, what: str) -> BadInputError:
        return BadInputError(f"{self.path} line {self.line}: {what}")


def _near(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, 1, 0.5)
    return f"; did you mean {near[0]!r}?" if near else ""
