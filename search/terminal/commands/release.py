"""`fsearch compare` and `fsearch gate`: what changed from one model to another, and whether a release stops here."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from fsearch import open as open_workspace
from fsearch.search.options import CompareOptions
from fsearch.search.terminal import completion
from fsearch.search.terminal.app import Gate, console, nobody_reads, print_json
from fsearch.search.terminal.options import (
    COMPARE,
    HERE,
    DeviceOption,
    EncoderOption,
    ExplainOption,
    JsonOption,
    ModelOption,
    SeedOption,
    TextVectorOption,
    WorkspaceOption,
    with_options,
)
from fsearch.search.terminal.printable import say

if TYPE_CHECKING:
    from fsearch.search.gate.outcome import GateResult

Outs = Annotated[
    list[Path] | None,
    typer.Option(
        "--out", help="Also write .xml (JUnit), .sarif, .md (for a pull request) or .json; repeat for several."
    ),
]


@with_options(CompareOptions, COMPARE)
def compare(
    before: Annotated[
        str,
        typer.Argument(
            help="The model to compare with, or the number of a stored run of it.",
            autocompletion=completion.models_and_runs,
        ),
    ],
    after: Annotated[
        str,
        typer.Argument(
            help="The model that is compared, or the number of a stored run of it.",
            autocompletion=completion.models_and_runs,
        ),
    ],
    options: CompareOptions,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Hypotheses, as rank takes them; by default of the runs or the last run, or none with --discover."
        ),
    ] = None,
    explain: ExplainOption = False,
    encoder: EncoderOption = None,
    text_vector: TextVectorOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Say what got worse, and better, from one model to another. Losses are paired image by image."""
    from fsearch.search.terminal.progress import bars

    with bars() as progress:
        found = open_workspace(workspace).compare(
            before,
            after,
            file,
            options=options,
            encoder=encoder,
            text_vectors=text_vector,
            progress=progress,
        )
    if as_json:
        return print_json(found.as_dict())
    from fsearch.search.terminal.changes import change_lines, changes_table

    terminal = console()
    terminal.print(changes_table(found, terminal.width))
    for note in found.notes:
        say(f"note: {note}")
    if explain:
        say("\n" + "\n\n".join(change_lines(a) for a in (found.whole, *found.answers)))
    number = found.comparison_id
    say(f"stored as comparison {number}; to send or to see: fsearch report --comparison {number}, fsearch serve")


def gate(
    rules: Annotated[Path, typer.Argument(metavar="RULES", help="A .yaml of rules, or a file of hypotheses.")],
    model: ModelOption = None,
    baseline: Annotated[
        str | None,
        typer.Option(
            "--baseline",
            help="Model, or number of a stored run, that nothing may be worse than.",
            autocompletion=completion.models_and_runs,
        ),
    ] = None,
    by: Annotated[
        list[str] | None, typer.Option("--by", help="Column whose values must each be fine, too; repeat for several.")
    ] = None,
    out: Outs = None,
    report: Annotated[
        Path | None, typer.Option("--report", help="Also write the report of the run, .html or .md, and link to it.")
    ] = None,
    report_url: Annotated[
        str | None, typer.Option("--report-url", help="Where that report will be found; by default its path.")
    ] = None,
    github: Annotated[bool, typer.Option("--github", help="Also print annotations for GitHub Actions.")] = False,
    seed: SeedOption = 0,
    device: DeviceOption = "auto",
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Stop a release that breaks a rule. Exit code: 0 passes, 1 fails, 2 could not tell, 3 could not run."""
    from fsearch.search.terminal.progress import bars

    with bars() as progress:
        result = open_workspace(workspace).gate(
            rules,
            model=model,
            baseline=baseline,
            by=by or (),
            out=out or (),
            report=report,
            report_url=report_url,
            seed=seed,
            device=device,
            encoder=encoder,
            progress=progress,
        )
    try:
        _print(result, as_json, github)
    except BrokenPipeError:  # a reader that has seen enough changes no outcome
        nobody_reads()
    raise typer.Exit(result.outcome.exit_code)


def register(app: typer.Typer) -> None:
    """Add both commands to the command line."""
    app.command()(compare)
    app.command(cls=Gate)(gate)


def _print(result: GateResult, as_json: bool, github: bool) -> None:
    if github:
        from fsearch.search.gate import annotations

        for line in annotations.lines(result):
            say(line)
    if as_json:
        return print_json(result.as_dict())
    from fsearch.search.terminal.gate import checks_table, group_tables

    terminal = console()
    for table in (checks_table(result), *group_tables(result)):
        terminal.print(table)
    for note in result.notes:
        say(f"note: {note}")
    if result.report is not None:
        say(f"report of run {result.run_id}: {result.report}")
    say(result.sentence)
