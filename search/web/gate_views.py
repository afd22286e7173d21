"""The page of the gate: rules that are pasted or dropped are judged there, as `fsearch gate` judges a file of them.

A gate's outcome is stored nowhere: what it came to is kept while the page is served.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.search.options import Progress
from fsearch.search.web.frame import Frame
from fsearch.search.web.judged import Judged
from fsearch.search.web.work import Job

_KEPT = 20  # outcomes that are remembered


class GateViews(Frame):
    """The part of `Views` that judges by rules."""

    def judge(self, form: dict[str, str]) -> Job:
        """Begin to judge by the `rules` and the `baseline` of a form. Raises BadInputError for wrong rules."""
        from fsearch.search.gate.read import given_rules

        text, baseline = form["rules"], form["baseline"] or None
        rules = given_rules(text, baseline=baseline)

        def work(progress: Progress) -> int:
            with self._asking:
                result = self.workspace.gate(rules, model=rules.model or self.name(), progress=progress)
                number = max(self.gates, default=0) + 1
                found = Judged(number, result, text, baseline, datetime.now())
                self.gates = dict([*self.gates.items(), (number, found)][-_KEPT:])
                return number

        return self.jobs.start(work, what="Judging by the rules", place="/gate/")

    def gate(self, number: int | None) -> dict[str, Any]:
        """An outcome by its number, the last by default, and a form for rules. Raises BadInputError for none."""
        known = self.gates
        if number is not None and number not in known:
            raise BadInputError(f"there is no outcome {number} any more; judge by its rules again")
        shown = known.get(max(known, default=0) if number is None else number)
        values = {"judged": shown, "outcomes": [known[n] for n in sorted(known, reverse=True)]}
        if shown is None:
            return self.frame() | values | {"command": self.command("gate", "rules.yaml", *self.model_option())}
        more = ("--baseline", shown.baseline) if shown.baseline else ()
        values |= {"checks": (plain := shown.result.as_dict())["checks"], "tables": plain["tables"]}
        command = self.command("gate", shown.result.source, "--model", shown.result.model, *more)
        model = shown.result.model
        return self.frame(model if model in self._now().models else None) | values | {"command": command}
