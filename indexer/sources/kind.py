"""The kind of a data set, told from its place: a file's suffix, what a folder holds, the form of a URL.

Adapters are imported when they are needed, so that the command line can name the kinds without them.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Literal

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.object_path import is_named
from fsearch.indexer.sources.urls import is_url

Kind = Literal[
    "folder", "imagefolder", "manifest", "huggingface", "webdataset", "archive", "coco", "yolo", "voc", "python"
]
_PATTERN = "{*?["  # characters of a pattern of shards


def kind_of_objects(place: Path) -> Kind | None:
    """The kind of a file or folder of annotated objects; None where it is none."""
    from fsearch.indexer.sources.voc import annotations_of
    from fsearch.indexer.sources.yolo import is_yolo

    if place.is_dir():
        return "yolo" if is_yolo(place) else "voc" if annotations_of(place) else None
    kinds: dict[str, Kind] = {".json": "coco", ".yaml": "yolo", ".yml": "yolo"}
    return kinds.get(place.suffix.lower()) if place.is_file() else None


def kind_of(location: str) -> Kind:
    """Tell the kind of the data set at `location`. Raises BadInputError where there is none, or of no known kind."""
    path, name = Path(location), PurePosixPath(location).name.lower()
    if is_url(location):
        return "webdataset" if is_file_url(location) else "folder"
    if any(c in location for c in _PATTERN) and name.endswith(".tar"):
        return "webdataset"
    if path.is_dir():
        return _kind_of_folder(path)
    kind = _kind_by_suffix(path, name)
    if kind is not None:
        return kind
    if not path.exists() and is_named(location):
        return "python"
    if not path.exists():
        raise BadInputError(f"no such folder or file: {location}")
    raise BadInputError(
        f"{location} is no image source; use a folder, {', '.join(_suffixes()[0][:4])}, COCO .json, .tar, .zip, "
        "a saved Hugging Face data set, or module:object"
    )


def _suffixes() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Suffixes of tables, and of archives."""
    from fsearch.indexer.sources.archive import SUFFIXES as ARCHIVES
    from fsearch.indexer.storage.tabular import COMPRESSED
    from fsearch.indexer.storage.tabular import SUFFIXES as TABLES

    return (*TABLES, *COMPRESSED), ARCHIVES


def _kind_by_suffix(path: Path, name: str) -> Kind | None:
    from fsearch.indexer.sources.webdataset import looks_like_shard

    tables, archives = _suffixes()
    if name.endswith(tables):
        return "manifest"
    if name.endswith(".json"):
        return "coco"
    if name.endswith((".yaml", ".yml")) and path.is_file():
        return "yolo"
    if name.endswith(".tar") and path.is_file():
        return "webdataset" if looks_like_shard(path) else "archive"
    return "archive" if name.endswith(archives) else None


def _kind_of_folder(folder: Path) -> Kind:
    from fsearch.indexer.sources.listing import is_image
    from fsearch.indexer.sources.voc import annotations_of
    from fsearch.indexer.sources.yolo import is_yolo

    if _is_saved(folder):
        return "huggingface"
    if is_yolo(folder):
        return "yolo"
    if (folder / "JPEGImages").is_dir() and annotations_of(folder):
        return "voc"
    names = [p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    if not any(is_image(n) for n in names):
        if any(n.endswith(".tar") for n in names):
            return "webdataset"
        if any(folder.rglob("*.parquet")) and not any(is_image(p.name) for p in folder.rglob("*")):
            return "manifest"
    return "folder"


def is_file_url(url: str) -> bool:
    """Whether a URL names one file, or a pattern of shards, rather than a folder."""
    path = url.split("?", 1)[0].lower()
    tables, archives = _suffixes()
    return path.endswith((*tables, *archives, ".json")) or any(c in path for c in _PATTERN)


def _is_saved(folder: Path) -> bool:
    """Whether a folder was written by `save_to_disk` of Hugging Face `datasets`."""
    return (folder / "dataset_dict.json").is_file() or (folder / "state.json").is_file()
