"""Forms that are a Parquet file: a folder that `datasets` loads, and the tables of Spotlight and embedding-atlas."""

from __future__ import annotations

import shlex
from pathlib import Path

from fsearch.indexer.workspace.store import Store
from fsearch.search.export_images import ExportOptions, export_images
from fsearch.search.formats.target import Exported, Wanted, new_folder
from fsearch.search.options import Progress, named

_CARD = """---
configs:
- config_name: default
  data_files: data/*.parquet
---

Images with the losses of the model {model}, written by fsearch.
"""


def write_table(store: Store, wanted: Wanted, out: Path, options: ExportOptions, progress: Progress | None) -> Exported:
    """Write one .parquet file with what `options` say."""
    count = export_images(store, wanted, out, options, named(progress, "exporting"))
    then = (f'load_dataset("parquet", data_files="{out}")  # datasets',) if options.images else ()
    atlas = ["embedding-atlas", str(out), "--x", "x", "--y", "y"]
    atlas += ["--neighbors", "neighbors"] if options.neighbors else []
    return Exported(count, (*then, shlex.join(atlas)) if options.xy else then)


def write_hugging_face(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write a folder with a data set card that `datasets.load_dataset` loads, pictures and all."""
    with new_folder(out) as folder:
        (folder / "data").mkdir()
        shard = folder / "data" / "train-00000-of-00001.parquet"
        count = export_images(store, wanted, shard, ExportOptions(images=True), named(progress, "exporting"))
        (folder / "README.md").write_text(_CARD.format(model=wanted.model), encoding="utf-8")
    return Exported(count, (f'load_dataset("{out}", split="train")  # datasets',))


def write_spotlight(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write a .parquet file with paths and embeddings for Renumics Spotlight."""
    count = export_images(store, wanted, out, ExportOptions(vectors=True), named(progress, "exporting"))
    opens = ["spotlight", str(out), "--dtype", "path=Image", "--dtype", "vector=Embedding"]
    return Exported(count, (shlex.join(opens),))


def write_embedding_atlas(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write a .parquet file with pictures, places and neighbours for embedding-atlas."""
    options = ExportOptions(images=True, xy=True, neighbors=True)
    count = export_images(store, wanted, out, options, named(progress, "exporting"))
    opens = ["embedding-atlas", str(out), "--image", "image", "--x", "x", "--y", "y", "--neighbors", "neighbors"]
    return Exported(count, (shlex.join(opens),))
