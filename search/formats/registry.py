"""Every form that `fsearch export --to` writes, by its name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import get_args

from fsearch.indexer.errors import require_one_of
from fsearch.indexer.workspace.store import Store
from fsearch.search.export_images import ExportOptions
from fsearch.search.formats.coco import write_coco
from fsearch.search.formats.croissant import write_croissant
from fsearch.search.formats.fiftyone import write_fiftyone
from fsearch.search.formats.parquet import write_embedding_atlas, write_hugging_face, write_spotlight, write_table
from fsearch.search.formats.target import Exported, Wanted
from fsearch.search.options import Form, Progress

Writer = Callable[[Store, Wanted, Path, Progress | None], Exported]

_WRITERS: dict[Form, Writer] = {
    "coco": write_coco,
    "hf": write_hugging_face,
    "croissant": write_croissant,
    "fiftyone": write_fiftyone,
    "spotlight": write_spotlight,
    "embedding-atlas": write_embedding_atlas,
}


def export_to(
    store: Store,
    model: str | None,
    out: Path,
    to: Form | None,
    options: ExportOptions | None = None,
    progress: Progress | None = None,
    *,
    selection: str | None = None,
) -> Exported:
    """Write the images with a loss of `model` (the only one by default) to `out`, whole or not at all.

    With `selection`, only those of the stored selection of that name. In the form `to`; without, to a .parquet file
    that holds what `options` say. Raises BadInputError where `out` does not fit the form or there is nothing to write.
    """
    wanted = Wanted(store.only_model(model), selection)
    if to is None:
        return write_table(store, wanted, out, options or ExportOptions(), progress)
    require_one_of("to", to, get_args(Form))
    return _WRITERS[to](store, wanted, out, progress)
