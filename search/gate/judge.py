"""What each rule says of what was found: pure functions from findings to checks. Nothing unknown ever passes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fsearch.diagnoser.change_verdict import ChangeVerdict
from fsearch.diagnoser.changes import Change
from fsearch.diagnoser.group_table import GroupRow
from fsearch.diagnoser.lift import interval
from fsearch.diagnoser.verdict import Verdict
from fsearch.search.answer import Answer
from fsearch.search.gate.outcome import Check, Outcome, at_most, surely_at_most
from fsearch.search.gate.rules import SMALL, Rule

Floats = NDArray[np.float64]
_UNKNOWN = frozenset({Verdict.UNSEEN, Verdict.UNCLEAR})
_ONE_SIDED = 0.05


@dataclass(frozen=True, slots=True)
class Judged:
    """A phrase, or a value of a column, as a rule sees it. `support` counts images, or groups of repeats if fewer."""

    subject: str
    verdict: Verdict
    reason: str
    lift: float
    lo: float
    hi: float
    support: float

    @classmethod
    def of(cls, found: Answer | GroupRow) -> Judged:
        """What a rule sees of an answer, or of a row of a group table."""
        if isinstance(found, Answer):
            name, support = found.title, min(found.shown, found.n_effective)
        else:
            name, support = found.value, float(min(found.images, found.groups))
        return cls(name, found.verdict, found.reason, found.lift, found.lo, found.hi, support)


def judge(rule: Rule, found: Judged) -> list[Check]:
    """What a rule says of one subject by itself."""
    numbered = _numbers(found.verdict != Verdict.UNSEEN, found.lift, found.lo, found.hi)
    check = partial(numbered, rule=rule.title, line=rule.line, subject=found.subject)
    if found.verdict in _UNKNOWN and found.verdict not in rule.accepted:
        return [check(check="verdict", outcome=Outcome.UNKNOWN, reason=f"{found.verdict}: {found.reason}")]
    if found.verdict == Verdict.UNSEEN:
        return [check(check="verdict", outcome=Outcome.PASSES, reason=f"unseen, as the rule allows: {found.reason}")]
    checks = []
    if rule.verdicts is not None:
        outcome = Outcome.PASSES if found.verdict in rule.accepted else Outcome.UNKNOWN
        outcome = Outcome.FAILS if found.verdict == Verdict.FAILS and outcome != Outcome.PASSES else outcome
        reason = f"{found.verdict}: {found.reason}"
        checks.append(check(check="verdict", outcome=outcome, reason=reason))
    if rule.max_lift is not None:
        outcome = at_most(found.lift, rule.max_lift)
        reason = f"the lift is {found.lift:+.3g}"
        checks.append(check(check=f"max_lift {rule.max_lift:g}", outcome=outcome, reason=reason))
    if rule.max_upper is not None:
        outcome = surely_at_most(found.lo, found.hi, rule.max_upper)
        reason = f"the lift lies between {found.lo:+.3g} and {found.hi:+.3g}"
        checks.append(check(check=f"max_upper {rule.max_upper:g}", outcome=outcome, reason=reason))
    return [_supported(rule, c, found.support) for c in checks]


def judge_change(rule: Rule, found: Change, against: str) -> list[Check]:
    """What a rule says of the change of one subject from the model or run `against`."""
    asked = f"no_worse_than {against}" + ("" if rule.max_change is None else f" by {rule.max_change:g}")
    numbered = _numbers(found.verdict != ChangeVerdict.UNSEEN, found.change, found.lo, found.hi)
    check = partial(numbered, rule=rule.title, line=rule.line, subject=found.hypothesis, check=asked)
    reason = f"{found.verdict}: {found.change:+.3g} [{found.lo:+.3g}, {found.hi:+.3g}]; {found.reason}"
    if found.verdict in (ChangeVerdict.UNSEEN, ChangeVerdict.UNCLEAR) and found.verdict not in rule.accepted:
        return [check(outcome=Outcome.UNKNOWN, reason=f"{found.verdict}: {found.reason}")]
    if found.verdict == ChangeVerdict.UNSEEN:
        return [check(outcome=Outcome.PASSES, reason=f"unseen, as the rule allows: {found.reason}")]
    if rule.max_change is not None:
        outcome = surely_at_most(found.lo, found.hi, rule.max_change)
    else:
        outcome = Outcome.FAILS if found.verdict == ChangeVerdict.WORSE else Outcome.PASSES
    return [_supported(rule, check(outcome=outcome, reason=reason), min(found.shown, found.n_effective))]


def judge_gap(rule: Rule, group: str, siblings: Sequence[Judged], difference: Floats, error: Floats) -> Check:
    """What a rule says of the largest gap between siblings, from (g, g) differences and their standard errors.

    It passes where every gap, whichever way, surely keeps the limit, and fails where one surely does not: for all pairs
    together (Bonferroni), since the largest of many is large by chance.
    """
    from scipy.special import ndtri

    limit = rule.max_gap or 0.0
    check = partial(Check, rule=rule.title, line=rule.line, subject=group, check=f"max_gap {limit:g}")
    known = [i for i, s in enumerate(siblings) if s.verdict not in _UNKNOWN]
    known += [i for i, s in enumerate(siblings) if s.verdict == Verdict.UNCLEAR and s.verdict in rule.accepted]
    pairs = [(i, j) for i in sorted(known) for j in sorted(known) if i < j]
    unknown = [f"{s.subject!r} is {s.verdict}" for s in siblings if s.verdict in _UNKNOWN - rule.accepted]
    if not pairs:
        why = _named(unknown) or f"{len(siblings)} of the group"
        return check(outcome=Outcome.UNKNOWN, reason=f"no two siblings can be compared; not known: {why}")
    width = -float(ndtri(_ONE_SIDED / (2 * len(pairs))))
    sizes = {(i, j): abs(float(difference[i, j])) for i, j in pairs}
    uppers = [surely_at_most(-np.inf, interval(sizes[p], float(error[p]))[1], limit) for p in pairs]
    lowers = [sizes[p] - width * float(error[p]) > limit for p in pairs]
    outcome = Outcome.FAILS if any(lowers) else Outcome.UNKNOWN
    outcome = Outcome.PASSES if all(u == Outcome.PASSES for u in uppers) else outcome
    i, j = max(pairs, key=lambda p: sizes[p])
    high, low = (i, j) if difference[i, j] >= 0 else (j, i)
    lo, hi = interval(sizes[i, j], float(error[i, j]))
    size = f"{sizes[i, j]:.3g} [{lo:+.3g}, {hi:+.3g}]"
    reason = f"{siblings[high].subject} loses {size} more than {siblings[low].subject}"
    found = check(outcome=outcome, reason=reason, value=sizes[i, j], lo=lo, hi=hi)
    if unknown:
        found = _not_passed(found, _named(unknown))
    return _supported(rule, found, min(siblings[i].support for i in known))


def _numbers(seen: bool, value: float, lo: float, hi: float) -> Callable[..., Check]:
    """A check with the numbers that were looked at, where there are some to look at."""
    return partial(Check, value=value, lo=lo, hi=hi) if seen else Check


def _supported(rule: Rule, check: Check, support: float) -> Check:
    """The check, which does not pass where too few images speak for it and the rule does not allow that."""
    if support >= rule.min_support or SMALL in rule.allow:
        return check
    return _not_passed(check, f"about {support:.0f} images or groups of them, fewer than {rule.min_support:g}")


def _not_passed(check: Check, why: str) -> Check:
    if check.outcome != Outcome.PASSES:
        return check
    return replace(check, outcome=Outcome.UNKNOWN, reason=f"{why}; {check.reason}")


def _named(subjects: Sequence[str]) -> str:
    more = f" and {len(subjects) - 5} more" if len(subjects) > 5 else ""
    return ", ".join(subjects[:5]) + more
