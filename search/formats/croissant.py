"""Croissant: a folder of one Parquet file and the JSON-LD that describes it, version 1.0 of the MLCommons format.

https://docs.mlcommons.org/croissant/docs/croissant-spec.html. The context is the one that the specification prescribes.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from fsearch.indexer.storage.files import file_sha256
from fsearch.indexer.storage.schema.views import VIEWS
from fsearch.indexer.workspace.store import Store
from fsearch.search.export_images import ExportOptions, export_images
from fsearch.search.formats.target import Exported, Wanted, new_folder
from fsearch.search.options import Progress, named

_CROISSANT = "http://mlcommons.org/croissant/"
_OWN = ("citeAs column data data:@json dataType:@vocab examples:@json extract field fileProperty fileObject fileSet "
        "format includes isLiveDataset jsonPath key md5 parentField path recordSet references regex repeated replace "
        "separator source subField transform")  # fmt: skip
_TYPES = (
    (pa.types.is_boolean, "sc:Boolean"),
    (pa.types.is_integer, "sc:Integer"),
    (pa.types.is_floating, "sc:Float"),
    (pa.types.is_string, "sc:Text"),
)
_FILE = "images.parquet"


def write_croissant(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write a folder with images.parquet and croissant.json, but for columns that Croissant has no type for."""
    with new_folder(out) as folder:
        data = folder / _FILE
        count = export_images(store, wanted, data, ExportOptions(images=True), named(progress, "exporting"))
        described = json.dumps(_metadata(wanted.model, data), indent=1) + "\n"
        (folder / "croissant.json").write_text(described, encoding="utf-8")
    return Exported(count, (f'mlcroissant.Dataset("{out}/croissant.json").records("images")  # mlcroissant',))


def _metadata(model: str, data: Path) -> dict[str, Any]:
    """The JSON-LD document of a Parquet file."""
    distribution = {
        "@type": "cr:FileObject",
        "@id": _FILE,
        "name": _FILE,
        "contentUrl": _FILE,
        "encodingFormat": "application/x-parquet",
        "contentSize": f"{data.stat().st_size} B",
        "sha256": file_sha256(data),
    }
    fields = [_field(column) for column in pq.read_schema(data)]
    records = {"@type": "cr:RecordSet", "@id": "images", "name": "images", "field": [f for f in fields if f]}
    return {
        "@context": _context(),
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.0",
        "name": "".join(c if c.isalnum() or c in "-_" else "-" for c in f"losses-of-{model}"),
        "description": f"Images with the losses of the model {model}, written by fsearch.",
        "datePublished": datetime.now(UTC).date().isoformat(),
        "version": "1.0.0",
        "distribution": [distribution],
        "recordSet": [records],
    }


def _field(column: pa.Field) -> dict[str, Any] | None:
    """The description of a column; None where there is no type for it."""
    source: dict[str, Any] = {"fileObject": {"@id": _FILE}, "extract": {"column": column.name}}
    kind = next((name for fits, name in _TYPES if fits(column.type)), None)
    if column.name == "image":
        kind = "sc:ImageObject"
        source["transform"] = {"jsonPath": "bytes"}
    if kind is None:
        return None
    meaning = next(view for view in VIEWS if view.name == "examples").meaning(column.name)
    about = {"description": meaning} if meaning else {}
    head = {"@type": "cr:Field", "@id": f"images/{column.name}", "name": column.name}
    return head | about | {"dataType": kind, "source": source}


def _context() -> dict[str, Any]:
    """The JSON-LD context of Croissant 1.0."""
    terms: dict[str, Any] = {
        "@language": "en",
        "@vocab": "https://schema.org/",
        "sc": "https://schema.org/",
        "cr": _CROISSANT,
        "rai": "http://mlcommons.org/croissant/RAI/",
        "dct": "http://purl.org/dc/terms/",
        "conformsTo": "dct:conformsTo",
    }
    for word in _OWN.split():
        term, _, kind = word.partition(":")
        terms[term] = {"@id": f"cr:{term}", "@type": kind} if kind else f"cr:{term}"
    return terms
