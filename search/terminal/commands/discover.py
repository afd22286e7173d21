"""`fsearch discover`: failures that nobody listed."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.search.options import DiscoverOptions
from fsearch.search.terminal.app import print_json, print_ranking
from fsearch.search.terminal.options import (
    DISCOVER,
    HERE,
    EncoderOption,
    ExplainOption,
    JsonOption,
    ModelOption,
    WorkspaceOption,
    with_options,
)
from fsearch.search.terminal.printable import say


@with_options(DiscoverOptions, DISCOVER)
def discover(
    options: DiscoverOptions,
    out: Annotated[Path | None, typer.Option(help="Also write what was found to .parquet, .csv or .json.")] = None,
    model: ModelOption = None,
    explain: ExplainOption = False,
    encoder: EncoderOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Find failures that nobody listed. Half of the images propose, the other half judges; stored as a run."""
    from fsearch.search.export import check_target, write_ranking
    from fsearch.search.terminal.progress import bars

    if options.llm is None and (options.llm_model is not None or options.send_images):
        raise BadInputError("--llm-model and --send-images are about a language model: name its server with --llm")
    if out is not None:
        check_target(out)
    with bars() as progress:
        found = open_workspace(workspace).discover(model=model, options=options, encoder=encoder, progress=progress)
    if out is not None:
        write_ranking(found, out)
    if as_json:
        return print_json(found.as_dict())
    if found.answers:
        print_ranking(found, explain)
    else:
        for line in ("nothing was proposed: no kind of image loses more than the rest", *found.notes):
            say(line)
    say(
        f"stored as run {found.run_id}; see it with: fsearch report, fsearch serve, or fsearch runs show {found.run_id}"
    )
