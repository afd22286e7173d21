"""The work of `fsearch gate`: ask what the rules need, once, and judge every rule by it."""

from __future__ import annotations

from functools import partial
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.search.compare.question import Named, named, rows_where
from fsearch.search.gate.judge import Judged, judge, judge_change, judge_gap
from fsearch.search.gate.outcome import Check, GateResult, Outcome, in_order
from fsearch.search.gate.rules import Key, Rule, Rules, key
from fsearch.search.gate.sources import Asks, Changes, Sources
from fsearch.search.hypotheses import Hypothesis
from fsearch.search.options import QueryOptions
from fsearch.search.session import Session


def run_gate(
    workspace: Asks,
    session: Session,
    rules: Rules,
    *,
    model: str | None,
    options: QueryOptions,
    report: bool = False,
    progress: Any = None,
) -> GateResult:
    """Ask what `rules` need of `model`, and judge. With `report`, every phrase is ranked, for its run to be reported.

    Raises FsearchError where the gate cannot run: it has then no outcome at all.
    """
    store = session.store(workspace.root)
    sources = Sources(workspace, session, store, store.only_model(model or rules.model), options)
    if options.where is not None:  # chosen by its own losses, a model's images would be good or bad by choice
        rows_where(store, Named(sources.model), Named(sources.model), options.where)
    asked = rules.phrases if report else _to_rank(rules, sources)
    if asked:
        sources.rank(asked, progress)
    elif report:
        raise BadInputError("a report is of phrases, and no rule names one")
    changes = {name: sources.changes(name, phrases) for name, phrases in _by_baseline(rules).items()}
    checks = _errors(rules, sources)
    for rule in rules.rules:
        checks += _by(rule, sources) if rule.kind == "by" else _lifts(rule, sources)
        if rule.no_worse_than is not None:
            checks += _changes(rule, changes[rule.no_worse_than])
    return GateResult(
        source=str(rules.path),
        model=sources.model,
        checks=in_order(checks),
        run_id=sources.ranking.run_id if sources.ranking else None,
        comparisons=tuple(sources.comparisons),
        tables=sources.tables,
        notes=tuple(dict.fromkeys(sources.notes)),
    )


def _to_rank(rules: Rules, sources: Sources) -> list[Hypothesis]:
    """The phrases whose lifts are looked at; a comparison of two models needs none of them."""
    wanted: dict[Key, Hypothesis] = {}
    for rule in rules.rules:
        own = rule.no_worse_than is not None and named(sources.store, rule.no_worse_than).model == sources.model
        if rule.looks_at_lifts or rule.max_gap is not None or own:
            for phrase in rule.phrases:
                wanted.setdefault(key(phrase), phrase)
    return list(wanted.values())


def _by_baseline(rules: Rules) -> dict[str, list[Hypothesis]]:
    """The phrases that are compared with each baseline, together: q-values are over all of them."""
    found: dict[str, dict[Key, Hypothesis]] = {}
    for rule in rules.rules:
        if rule.no_worse_than is not None:
            own = found.setdefault(rule.no_worse_than, {})
            for phrase in rule.phrases:
                own.setdefault(key(phrase), phrase)
    return {name: list(phrases.values()) for name, phrases in found.items()}


def _errors(rules: Rules, sources: Sources) -> list[Check]:
    """Images that the model failed on altogether are in no mean: a pass that leaves them out would be none."""
    count = sources.errors()
    if not count:
        return []
    outcome = Outcome.PASSES if count <= rules.max_errors else Outcome.UNKNOWN
    reason = f"{count:,} images have no loss, since the model gave none that counts; they take no part"
    asked = f"max_errors {rules.max_errors:,}"
    return [Check(rule="losses", line=1, subject="all images", check=asked, outcome=outcome, reason=reason)]


def _lifts(rule: Rule, sources: Sources) -> list[Check]:
    """What a rule says of the lifts of its phrases, and of the gaps between them."""
    checks: list[Check] = []
    if rule.looks_at_lifts:
        for phrase in rule.phrases:
            checks += judge(rule, Judged.of(sources.answers[key(phrase)]))
            if rule.verdicts is not None and key(phrase) in sources.hidden:  # a failure that the worst one hides
                checks += judge(rule, Judged.of(sources.hidden[key(phrase)]))
    if rule.max_gap is not None:
        for group, siblings in rule.siblings().items():
            judged = [Judged.of(sources.answers[key(s)]) for s in siblings]
            checks.append(judge_gap(rule, group, judged, *sources.gaps(siblings)))
    return checks


def _by(rule: Rule, sources: Sources) -> list[Check]:
    """What a rule says of the values of a column, and of the gaps between them."""
    rows, gaps = sources.table(rule.subject)
    judged = [Judged.of(row) for row in rows]
    checks = [check for one in judged for check in judge(rule, one)] if rule.looks_at_lifts else []
    return [*checks, judge_gap(rule, rule.subject, judged, *gaps)] if rule.max_gap is not None else checks


def _changes(rule: Rule, changes: Changes) -> list[Check]:
    """What a rule says of the changes from its baseline."""
    if rule.kind == "all":
        if changes.whole is None:
            raise BadInputError(f"{changes.name} has no losses to compare all images with; name a model")
        return judge_change(rule, changes.whole, changes.name)
    checks: list[Check] = []
    unknown = partial(Check, rule=rule.title, line=rule.line, outcome=Outcome.UNKNOWN)
    for phrase in rule.phrases:
        found = changes.phrases.get(key(phrase))
        if found is not None:
            checks += judge_change(rule, found, changes.name)
        else:
            asked, reason = f"no_worse_than {changes.name}", f"{changes.name} says nothing of it"
            checks.append(unknown(subject=phrase.text, check=asked, reason=reason))
    return checks
