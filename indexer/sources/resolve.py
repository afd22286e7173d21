"""From what a user types to a source: the kind is told from the file or folder, or named."""

from __future__ import annotations

import json
import os
import tarfile
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.object_path import is_named
from fsearch.indexer.sources.archive import SUFFIXES as ARCHIVES
from fsearch.indexer.sources.archive import Archive
from fsearch.indexer.sources.base import Source
from fsearch.indexer.sources.coco import Coco
from fsearch.indexer.sources.folder import Folder, is_image
from fsearch.indexer.sources.huggingface import SavedDataset, is_saved
from fsearch.indexer.sources.manifest import Manifest
from fsearch.indexer.sources.paths import Places, is_url
from fsearch.indexer.sources.python import PythonImages, from_name
from fsearch.indexer.sources.selection import Selection
from fsearch.indexer.sources.webdataset import WebDataset
from fsearch.indexer.storage import tabular as tables

Kind = Literal["folder", "imagefolder", "manifest", "huggingface", "webdataset", "archive", "coco", "python"]


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source, where that is not clear by itself.

    Attributes
    ----------
    kind : what it is; None to tell it from the file or folder.
    image_column : the column of a table that holds the images.
    root : the folder that a table's paths are relative to; None for the table's own.
    allow_outside : whether a table may name files outside of it.
    """

    kind: Kind | None = None
    image_column: str | None = None
    root: str | None = None
    allow_outside: bool = False

    def as_json(self) -> str:
        """As it is stored, to open the source again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceOptions:
        """From what `as_json` gave."""
        return cls(**json.loads(text))


def open_source(location: str, options: SourceOptions = SourceOptions()) -> Source:
    """The source at `location`: a path, a URL or pattern of shards, or `module:object`.

    Raises BadInputError where there is none, or its kind cannot be told.
    """
    kind = options.kind or kind_of(location)
    path = Path(location)
    if kind in ("folder", "imagefolder"):
        return Folder(path, kind == "imagefolder")
    if kind == "webdataset":
        return WebDataset(location)
    if kind == "archive":
        return Archive(path)
    if kind == "python":
        return from_name(location)
    below = path if path.is_dir() else path.parent
    places = Places(Path(options.root) if options.root else below, options.allow_outside)
    if kind == "huggingface":
        return SavedDataset(path, places, options.image_column)
    return Coco(path, places) if kind == "coco" else Manifest(path, places, options.image_column)


def kind_of(location: str) -> Kind:
    """Tell the kind of what lies at `location`. Raises BadInputError where nothing does, or it is none of ours."""
    path, name = Path(location), PurePosixPath(location).name.lower()
    if is_url(location) or (any(c in location for c in "{*?") and name.endswith(".tar")):
        return "webdataset"
    if path.is_dir():
        return _kind_of_folder(path)
    if name.endswith(tables.SUFFIXES):
        return "manifest"
    if name.endswith(".json"):
        return "coco"
    if name.endswith(".tar") and path.is_file():
        return "webdataset" if _is_webdataset(path) else "archive"
    if name.endswith(ARCHIVES):
        return "archive"
    if not path.exists() and is_named(location):
        return "python"
    if not path.exists():
        raise BadInputError(f"no such folder or file: {location}")
    raise BadInputError(
        f"{location} is no image source; use a folder, {', '.join(tables.SUFFIXES)}, COCO .json, .tar, .zip, "
        "a saved Hugging Face data set, or module:object"
    )


def _kind_of_folder(folder: Path) -> Kind:
    if is_saved(folder):
        return "huggingface"
    names = [p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    if not any(is_image(n) for n in names):
        if any(n.endswith(".tar") for n in names):
            return "webdataset"
        if any(folder.rglob("*.parquet")) and not any(is_image(p.name) for p in folder.rglob("*")):
            return "manifest"
    return "folder"


def _is_webdataset(path: Path) -> bool:
    """Whether some image of a tar's first members has a companion: a file of the same name but for its ending."""
    try:
        with tarfile.open(path) as tar:
            names = [m.name for _, m in zip(range(64), tar, strict=False) if m.isfile()]
    except (OSError, EOFError, tarfile.TarError):
        return False  # the archive's own adapter says what is wrong
    stems = {n.rsplit(".", 1)[0] for n in names if is_image(n)}
    return any(not is_image(n) and n.rsplit(".", 1)[0] in stems for n in names)


@dataclass(frozen=True, slots=True)
class Images:
    """A source to index, and how to open it again.

    Attributes
    ----------
    location : what the user typed; None for images that a program holds.
    whole : whether these are all images of the source, so that others of it are missing.
    """

    source: Source
    location: str | None
    options: SourceOptions
    whole: bool = True

    @property
    def base(self) -> Path:
        """The folder that keys are relative to, where there is one."""
        path = Path(self.options.root or self.location or "")
        return path if self.options.root or path.is_dir() else path.parent


def open_images(
    images: Any,
    *,
    kind: Kind | None = None,
    image_column: str | None = None,
    root: str | os.PathLike[str] | None = None,
    allow_outside: bool = False,
    where: str | None = None,
    sample: int | None = None,
    seed: int = 0,
    limit: int | None = None,
    name: str = "memory",
) -> Images:
    """The images of a data set, or a part of them; nothing is read yet.

    Parameters
    ----------
    images : a path, a pattern of shards, `module:object`, a torch `Dataset`, or a list or dictionary of images.
    kind, image_column, root, allow_outside : see SourceOptions.
    where : an SQL predicate on the data set's own columns, and `key`.
    sample, seed : how many to draw at random, and by which seed.
    limit : how many at most.
    name : identity of images that a program holds.

    Raises BadInputError where there is no such source, or its kind cannot be told.
    """
    full = None if root is None else str(Path(root).absolute())
    options = SourceOptions(kind, image_column, full, allow_outside)
    if isinstance(images, str | os.PathLike):
        location: str | None = os.fspath(images)
        source = open_source(str(location), options)
    else:
        location, source = None, PythonImages(images, name)
    part = where is not None or sample is not None or limit is not None
    if part:
        source = Selection(source, where, sample, seed, limit)
    return Images(source, None if location is None else _lasting(location), options, not part)


def _lasting(location: str) -> str:
    """The location as it is found again from another folder."""
    path = Path(location)
    return str(path.absolute()) if path.exists() or ("/" in location and not is_url(location)) else location
