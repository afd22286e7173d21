"""What `fsearch losses` says, and how it reads options that are more than a word."""

from __future__ import annotations

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, read_numbers, read_size
from fsearch.indexer.losses.functions.registry import TASKS
from fsearch.indexer.losses.loss_store import LossesReport


def input_options(
    input_name: str | None, output_name: str | None, size: str | None, mean: str | None, std: str | None
) -> InputOptions:
    """How a model wants its input, from the command line. Raises BadInputError for what is no size or no number."""
    try:
        sides = read_size(size) if size else None
    except ValueError as error:
        raise BadInputError(f"--size {size}: {error}") from error
    return InputOptions(
        input=input_name,
        output=output_name,
        size=sides,
        mean=read_numbers(mean, "--mean") if mean else None,
        std=read_numbers(std, "--std") if std else None,
    )


def losses_lines(report: LossesReport) -> list[str]:
    """What adding losses did, in a few lines."""
    done = [
        (report.added, "losses added"),
        (report.kept, "there already"),
        (report.replaced, "of another origin replaced"),
        (report.failed, "failed"),
    ]
    said = ", ".join(f"{n:,} {word}" for n, word in done if n)
    lines = [f"model {report.model}: {said or 'nothing to do'}; {report.task}, mean {report.mean:.4g}"]
    if report.without:
        lines.append(f"{report.without:,} images have no loss of it and take no part")
    if report.failed:
        lines.append('reasons: fsearch sql "SELECT key, reason FROM prediction_errors JOIN images USING (image_id)"')
    return [*lines, *report.notes]


def task_rows() -> pa.Table:
    """Every task by name, what it is, and its settings."""
    return pa.table(
        {
            "task": list(TASKS),
            "loss": [t.about for t in TASKS.values()],
            "settings": [", ".join(t.params) for t in TASKS.values()],
        }
    )
