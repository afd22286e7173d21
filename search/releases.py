"""What a release asks of a workspace: what changed from one model to another, and a gate. `Workspace` has these."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fsearch.indexer.device import Device
from fsearch.search.options import CompareOptions, Named, Progress, QueryOptions

if TYPE_CHECKING:
    from fsearch.search.compare.result import Comparison
    from fsearch.search.gate.outcome import GateResult
    from fsearch.search.gate.rules import Rules
    from fsearch.search.hypotheses import Hypothesis
    from fsearch.search.session import Session


class Releases:
    """The part of `Workspace` that compares models and judges them by rules."""

    root: Path
    _session: Session

    def compare(
        self,
        before: str | int,
        after: str | int,
        hypotheses: str | os.PathLike[str] | Sequence[str | Hypothesis] | None = None,
        *,
        options: CompareOptions = CompareOptions(),
        encoder: Named | None = None,
        text_vectors: Any = None,
        progress: Progress | None = None,
        **changes: Any,
    ) -> Comparison:
        """What got worse, and what better, from one model to another on the same images; stored as a comparison.

        Parameters
        ----------
        before, after : models, or numbers of stored runs of theirs.
        hypotheses : a file, or a sequence of phrases; by default those of the runs, or of the last run of either
            model, and none with `discover=True`; of an empty sequence, the change of all images alone.
        options, changes : how; `changes` are fields of CompareOptions by name: `standardise=True`.
        encoder, text_vectors : see `query`.

        Raises BadInputError for what cannot be paired or lies on two scales, NotReadyError before a fit, and where the
        images are too few for two halves to discover with.
        """
        from fsearch.search.compare.ask import Asked, compare
        from fsearch.search.hypotheses import asked_of

        self._session.name(encoder)
        none: Sequence[Hypothesis] | None = None if hypotheses is None else ()
        phrases, source = asked_of(hypotheses) if hypotheses else (none, "api")
        asked = Asked(str(before), str(after), phrases, source, text_vectors)
        return compare(self.root, self._session, asked, replace(options, **changes), progress)

    def gate(
        self,
        rules: str | os.PathLike[str] | Rules,
        *,
        model: str | None = None,
        baseline: str | None = None,
        by: Sequence[str] = (),
        out: Sequence[str | os.PathLike[str]] = (),
        report: str | os.PathLike[str] | None = None,
        report_url: str | None = None,
        seed: int = 0,
        device: Device = "auto",
        encoder: Named | None = None,
        progress: Progress | None = None,
    ) -> GateResult:
        """Judge a model by rules: does it pass, does it fail, or is there no telling?

        Parameters
        ----------
        rules : a .yaml of rules, or a file of hypotheses; see docs/ci.md. Or rules that were read already.
        model : the black box that is judged; by default the one that the rules name, or the only one.
        baseline : model, or number of a stored run, that nothing may be worse than.
        by : columns whose values must each be fine, too.
        out : files to write, .xml (JUnit), .sarif, .md or .json.
        report, report_url : file of the report of the run, .html or .md, and where it will be found.

        Raises FsearchError where the gate cannot run.
        """
        from fsearch.search.gate.ask import run_gate
        from fsearch.search.gate.files import check_target, write
        from fsearch.search.gate.read import read_rules
        from fsearch.search.gate.rules import Rules
        from fsearch.search.web.sent import format_of

        for path in out:
            check_target(Path(path))
        kind = None if report is None else format_of(Path(report))
        self._session.name(encoder)
        found = rules if isinstance(rules, Rules) else read_rules(Path(rules), baseline=baseline, by=by)
        options = QueryOptions(where=found.where, seed=seed, device=device)
        workspace: Any = self  # it has `rank`, too
        result = run_gate(
            workspace,
            self._session,
            found,
            model=model,
            options=options,
            report=report is not None,
            progress=progress,
        )
        if report is not None:
            workspace.runs.report(result.run_id, beside=result.comparisons, out=report, format=kind)
            result = replace(result, report=report_url or Path(report).as_posix())
        for path in out:
            write(result, Path(path))
        return result
