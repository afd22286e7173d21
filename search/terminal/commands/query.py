"""`fsearch query`: phrases, one question each."""

from __future__ import annotations

from typing import Annotated

import typer

from fsearch import open as open_workspace
from fsearch.indexer.errors import BadInputError
from fsearch.search.options import QueryOptions
from fsearch.search.terminal.app import console, print_json
from fsearch.search.terminal.options import (
    HERE,
    QUERY,
    EncoderOption,
    ExplainOption,
    JsonOption,
    ModelOption,
    NearestOption,
    TextVectorOption,
    WorkspaceOption,
    with_options,
)


@with_options(QueryOptions, QUERY)
def query(
    texts: Annotated[list[str], typer.Argument(metavar="TEXT...", help='Phrases; "A" vs "B" also contrasts the two.')],
    options: QueryOptions,
    model: ModelOption = None,
    explain: ExplainOption = False,
    nearest: NearestOption = False,
    images: Annotated[
        bool, typer.Option("--images", help="Draw the images too, on a terminal that can: kitty, iTerm2, or sixels.")
    ] = False,
    encoder: EncoderOption = None,
    text_vector: TextVectorOption = None,
    as_json: JsonOption = False,
    workspace: WorkspaceOption = HERE,
) -> None:
    """Ask in plain words whether the model fails on such images. By how much, how sure, and which images show it."""
    from fsearch.search.hypotheses import contrasted
    from fsearch.search.terminal.answers import print_answers

    if images and as_json:
        raise BadInputError("--images draws for people and --json is for programs: leave one of them out")
    ws = open_workspace(workspace)
    strips = None
    if images:
        from fsearch.indexer.workspace.store import Store
        from fsearch.search.terminal.images import Strips, drawing

        image = drawing()
        strips = Strips(Store.open(ws.root), image) if image else None
    answers = ws.query(*contrasted(texts), model=model, options=options, encoder=encoder, text_vectors=text_vector)
    if as_json:
        print_json(answers.as_dict())
    else:
        print_answers(answers, console(), explain, nearest, strips)
