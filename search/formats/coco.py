"""COCO annotations: an annotation an image, the label as its category, the loss among its attributes.

The box is the whole image: what is known is known of the image. `attributes` is where CVAT and FiftyOne keep, and
read, values of an annotation that COCO has no field for.
"""

from __future__ import annotations

import json
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.workspace.image_places import ImageRow
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.formats.target import Exported, Wanted, example_rows
from fsearch.search.options import Progress

_NO_LABEL = "image"
_NOT_ATTRIBUTES = frozenset({"key", "label", "image_id", "embedding_row", "width", "height", "source"})


def write_coco(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write annotations to `out`, a .json file. Raises BadInputError where it is none."""
    if out.suffix.lower() != ".json" or not out.parent.is_dir():
        raise BadInputError(f"{out}: give a .json file in a folder that exists")
    reader, rows = ImageReader(store), example_rows(store, wanted).to_pylist()
    labels = sorted({row["label"] or _NO_LABEL for row in rows})
    number = {label: i for i, label in enumerate(labels, start=1)}
    images, annotations = [], []
    for done, row in enumerate(rows, start=1):
        place = reader.place(ImageRow(row["source"], row["key"], None, None))
        size = {name: row[name] for name in ("width", "height")}
        images.append({"id": row["image_id"], "file_name": place or row["key"], **size})
        whole = [0, 0, row["width"], row["height"]]
        annotations.append(
            {
                "id": done,
                "image_id": row["image_id"],
                "category_id": number[row["label"] or _NO_LABEL],
                "bbox": whole,
                "area": row["width"] * row["height"],
                "iscrowd": 0,
                "attributes": {n: v for n, v in row.items() if n not in _NOT_ATTRIBUTES and v is not None},
            }
        )
    if progress:
        progress("exporting", len(rows), len(rows))
    categories = [{"id": i, "name": label, "supercategory": ""} for label, i in number.items()]
    info = {"description": f"losses of {wanted.model}, by fsearch"}
    document = {"info": info, "images": images, "annotations": annotations, "categories": categories}
    write_atomic(out, (json.dumps(document, default=str) + "\n").encode())
    return Exported(len(rows), (f'COCO("{out}")  # pycocotools',))
