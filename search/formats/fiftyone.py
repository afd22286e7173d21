"""FiftyOne: a folder in its own format (`fiftyone.types.FiftyOneDataset`): metadata.json and samples.json.

Images that are files stay where they are, and samples name them; others are written into data/. One that cannot be read
is left out. The documents are those of FiftyOne's database, of version 1.0, which later ones migrate on import.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError, NotReadyError
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.urls import is_url
from fsearch.indexer.workspace.image_places import ImageRow
from fsearch.indexer.workspace.image_reader import ImageReader
from fsearch.indexer.workspace.store import Store
from fsearch.search.formats.target import Exported, Wanted, example_rows, new_folder
from fsearch.search.options import Progress

_VERSION = "1.0.0"
_FIELDS, _METADATA, _LABEL = "fiftyone.core.fields.", "fiftyone.core.metadata.ImageMetadata", "Classification"
_RESERVED = frozenset({"id", "filepath", "tags", "metadata", "created_at", "last_modified_at", "ground_truth"})
_ELSEWHERE = frozenset({"label", "prediction", "width", "height", "embedding_row"})
_TYPES = (
    (pa.types.is_boolean, "BooleanField"),
    (pa.types.is_integer, "IntField"),
    (pa.types.is_floating, "FloatField"),
)


def write_fiftyone(store: Store, wanted: Wanted, out: Path, progress: Progress | None) -> Exported:
    """Write a folder that `fiftyone.Dataset.from_dir` imports."""
    table, reader = example_rows(store, wanted), ImageReader(store)
    columns = {name: _field_name(name) for name in table.column_names if name not in _ELSEWHERE}
    samples = []
    with new_folder(out) as folder:
        for done, row in enumerate(table.to_pylist(), start=1):
            place = _place(reader, row, folder)
            if place is not None:
                samples.append(_sample(place, row, columns))
            if progress:
                progress("exporting", done, table.num_rows)
        fields = [_field(new, _type(table.schema.field(old).type)) for old, new in columns.items()]
        (folder / "metadata.json").write_text(json.dumps(_dataset(wanted.model, fields)), encoding="utf-8")
        (folder / "samples.json").write_text(json.dumps({"samples": samples}, default=str), encoding="utf-8")
    opens = f'fiftyone.Dataset.from_dir("{out}", dataset_type=fiftyone.types.FiftyOneDataset)  # fiftyone'
    return Exported(len(samples), (opens,), table.num_rows - len(samples))


def to_fiftyone(store: Store, wanted: Wanted, folder: Path | None, progress: Progress | None) -> Any:
    """A `fiftyone.Dataset` of what `write_fiftyone` writes: to `folder`, or to a temporary one that is gone afterwards.

    Raises NotReadyError where FiftyOne is not installed, BadInputError where images that are no files need a folder.
    """
    try:
        import fiftyone
    except ImportError as error:
        raise NotReadyError("to_fiftyone needs the library fiftyone, which is not installed") from error
    kind = fiftyone.types.FiftyOneDataset
    if folder is not None:
        write_fiftyone(store, wanted, folder, progress)
        return fiftyone.Dataset.from_dir(dataset_dir=str(folder), dataset_type=kind)
    with tempfile.TemporaryDirectory() as name:
        written = Path(name) / "fiftyone"
        write_fiftyone(store, wanted, written, progress)
        if (written / "data").exists():
            raise BadInputError("to_fiftyone: some images are no files of their own; give folder=, a new one, for them")
        return fiftyone.Dataset.from_dir(dataset_dir=str(written), dataset_type=kind)


def _place(reader: ImageReader, row: dict[str, Any], folder: Path) -> str | None:
    """Where the image of a row lies, written into `folder` if it is no file; None where it cannot be read."""
    place = reader.place(ImageRow(row["source"], row["key"], None, None))
    if place is not None and not is_url(place):
        return str(Path(place).absolute())
    try:
        image = reader.read(row["source"], row["key"])
    except RejectedImageError:
        return None
    (folder / "data").mkdir(exist_ok=True)
    name = f"data/{row['image_id']}.png"
    image.save(folder / name)
    return name


def _sample(place: str, row: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The document of an image."""
    digest = hashlib.sha256(repr((row["source"], row["key"])).encode()).hexdigest()
    size = {"width": row["width"], "height": row["height"]}
    found = {
        "_id": {"$oid": digest[:24]},
        "filepath": place,
        "tags": [],
        "metadata": {"_cls": "ImageMetadata", "size_bytes": None, "mime_type": None, **size, "num_channels": None},
        "_media_type": "image",
        "_rand": int(digest[-8:], 16) / 2**32,
    }
    labels = {"ground_truth": row["label"], "prediction": row["prediction"]}
    for number, (name, label) in enumerate(labels.items()):
        found[name] = None if label is None else _classification(label, digest, number)
    return found | {new: row[old] for old, new in columns.items()}


def _classification(label: str, digest: str, number: int) -> dict[str, Any]:
    own = {"_id": {"$oid": digest[24 * number + 8 :][:24]}, "_cls": _LABEL, "tags": [], "label": label}
    return own | {"confidence": None, "logits": None}


def _dataset(model: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    """The document of the data set: what fields its samples have."""
    size = [_field(name, "IntField") for name in ("size_bytes", "width", "height", "num_channels")]
    label = [
        _field("id", "ObjectIdField", db_field="_id"),
        _field("tags", "ListField", subfield=_FIELDS + "StringField"),
        _field("label", "StringField"),
        _field("confidence", "FloatField"),
        _field("logits", "VectorField"),
    ]
    of_all = [
        _field("id", "ObjectIdField", db_field="_id", read_only=True),
        _field("filepath", "StringField"),
        _field("tags", "ListField", subfield=_FIELDS + "StringField"),
        _embedded("metadata", _METADATA, [*size, _field("mime_type", "StringField")]),
        _field("created_at", "DateTimeField", read_only=True),
        _field("last_modified_at", "DateTimeField", read_only=True),
        *(_embedded(name, f"fiftyone.core.labels.{_LABEL}", label) for name in ("ground_truth", "prediction")),
    ]
    return {
        "name": f"fsearch-{model}",
        "version": _VERSION,
        "media_type": "image",
        "tags": [],
        "info": {"written_by": "fsearch", "model": model},
        "sample_fields": [*of_all, *fields],
        "frame_fields": [],
        "saved_views": [],
        "workspaces": [],
        "annotation_runs": {},
        "brain_methods": {},
        "evaluations": {},
        "runs": {},
    }


def _field(name: str, kind: str, *, db_field: str | None = None, **more: Any) -> dict[str, Any]:
    own: dict[str, Any] = {
        "name": name,
        "ftype": _FIELDS + kind,
        "embedded_doc_type": None,
        "subfield": None,
        "fields": [],
    }
    return own | {"db_field": db_field or name, "description": None, "info": None, "read_only": False} | more


def _embedded(name: str, kind: str, fields: list[dict[str, Any]]) -> dict[str, Any]:
    return _field(name, "EmbeddedDocumentField", embedded_doc_type=kind, fields=fields)


def _field_name(column: str) -> str:
    """A column's name as FiftyOne takes it: letters, digits and underscores, none of its own names."""
    name = "".join(c if c.isalnum() or c == "_" else "_" for c in column).lstrip("_") or "column"
    return f"{name}_" if name in _RESERVED else name


def _type(kind: pa.DataType) -> str:
    return next((name for fits, name in _TYPES if fits(kind)), "StringField")
