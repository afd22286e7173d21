"""From a path, URL or name to a source: the kind is told from the file or folder, or named.

A new kind of data set is a file of its own and, here, its name in `Kind`, its line in `open_source`, and how `kind_of`
recognises it. Adapters are imported when they are needed, so that the command line can name the kinds without them.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Literal, get_args

from fsearch.indexer.errors import BadInputError, require_one_of
from fsearch.indexer.object_path import is_named

if TYPE_CHECKING:
    from fsearch.indexer.sources.base import Source

Kind = Literal["folder", "imagefolder", "manifest", "huggingface", "webdataset", "archive", "coco", "python"]
_PATTERN = "{*?["  # characters of a pattern of shards


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source, where that is not clear by itself.

    Attributes
    ----------
    kind : the kind of data set; None to tell it from the file or folder.
    image_column : the column of a table that holds the images.
    root : the folder that a table's paths are relative to; None for the table's own.
    allow_outside : whether a table may name files outside of it.
    """

    kind: Kind | None = None
    image_column: str | None = None
    root: str | None = None
    allow_outside: bool = False

    def as_json(self) -> str:
        """As stored in the workspace, to open the source again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceOptions:
        """The inverse of `as_json`."""
        return cls(**json.loads(text))


def open_source(location: str, options: SourceOptions = SourceOptions()) -> Source:
    """The source at `location`: a path, a URL of a folder, a URL or pattern of shards, or `module:object`.

    Raises BadInputError where there is none, or its kind cannot be told.
    """
    location = _local(location)
    kind = options.kind or kind_of(location)
    require_one_of("kind", kind, get_args(Kind))
    if kind in ("folder", "imagefolder"):
        return _open_folder(location, labelled=kind == "imagefolder")
    if kind in ("manifest", "huggingface", "coco"):
        return _open_table(location, kind, options)
    if kind == "webdataset":
        from fsearch.indexer.sources.webdataset import WebDataset

        return WebDataset(location)
    if kind == "archive":
        from fsearch.indexer.sources.archive import Archive

        return Archive(Path(location))
    from fsearch.indexer.sources.python import from_name

    return from_name(location)


def _open_folder(location: str, *, labelled: bool) -> Source:
    from fsearch.indexer.sources.folder import Folder
    from fsearch.indexer.sources.remote_folder import RemoteFolder

    path = location.removeprefix("file://")
    return RemoteFolder(path, labelled) if _is_url(path) else Folder(Path(path), labelled)


def _open_table(location: str, kind: Kind, options: SourceOptions) -> Source:
    """A source that lists images by path, relative to its own folder or `options.root`."""
    from fsearch.indexer.sources.coco import Coco
    from fsearch.indexer.sources.huggingface import SavedDataset
    from fsearch.indexer.sources.manifest import Manifest
    from fsearch.indexer.sources.paths import PathResolver

    path = Path(location)
    root = Path(options.root) if options.root else path if path.is_dir() else path.parent
    paths = PathResolver(root, options.allow_outside)
    if kind == "huggingface":
        return SavedDataset(path, paths, options.image_column)
    return Coco(path, paths) if kind == "coco" else Manifest(path, paths, options.image_column)


def kind_of(location: str) -> Kind:
    """Tell the kind of the data set at `location`. Raises BadInputError where there is none, or of no known kind."""
    path, name = Path(location), PurePosixPath(location).name.lower()
    if _is_url(location):
        return "webdataset" if _is_file_url(location) else "folder"
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
    if name.endswith(".tar") and path.is_file():
        return "webdataset" if looks_like_shard(path) else "archive"
    return "archive" if name.endswith(archives) else None


def _kind_of_folder(folder: Path) -> Kind:
    from fsearch.indexer.sources.folder import is_image
    from fsearch.indexer.sources.huggingface import is_saved

    if is_saved(folder):
        return "huggingface"
    names = [p.name for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")]
    if not any(is_image(n) for n in names):
        if any(n.endswith(".tar") for n in names):
            return "webdataset"
        if any(folder.rglob("*.parquet")) and not any(is_image(p.name) for p in folder.rglob("*")):
            return "manifest"
    return "folder"


def _is_url(location: str) -> bool:
    from fsearch.indexer.sources.paths import is_url

    return is_url(location)


def _is_file_url(url: str) -> bool:
    """Whether a URL names one file, or a pattern of shards, rather than a folder."""
    path = url.split("?", 1)[0].lower()
    tables, archives = _suffixes()
    return path.endswith((*tables, *archives, ".json")) or any(c in path for c in _PATTERN)


def _local(location: str) -> str:
    """The path of a folder that is given as a file:// URL."""
    is_folder = location.startswith("file://") and not _is_file_url(location)
    return location.removeprefix("file://") if is_folder else location


@dataclass(frozen=True, slots=True)
class Images:
    """A source to index, and how to open it again.

    Attributes
    ----------
    location : path, URL or name, valid from any folder; None for images in memory.
    whole : whether these are all images of the source, so that indexed ones that are not among them are missing.
    """

    source: Source
    location: str | None
    options: SourceOptions
    whole: bool = True

    @property
    def is_code(self) -> bool:
        """Whether opening it again would run code."""
        return self.location is not None and (self.options.kind or kind_of(self.location)) == "python"

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
    """The images of a data set, or a part of them; none is read yet.

    Parameters
    ----------
    images : a path, a URL of a folder, a pattern of shards, `module:object`, a torch `Dataset`, or a list or dictionary
        of images.
    kind, image_column, root, allow_outside : see SourceOptions.
    where : an SQL predicate on the data set's own columns, and `key`.
    sample, seed : how many to draw at random, and by which seed.
    limit : how many at most.
    name : identity of images in memory.

    Raises BadInputError where there is no such source, or its kind cannot be told.
    """
    full = None if root is None else str(Path(root).absolute())
    options = SourceOptions(kind, image_column, full, allow_outside)
    location: str | None = None
    if isinstance(images, str | os.PathLike):
        location = _local(os.fspath(images))
        source = open_source(location, options)
        location = _absolute(location, options.kind or kind_of(location))
    else:
        from fsearch.indexer.sources.python import PythonImages

        source = PythonImages(images, name)
    part = where is not None or sample is not None or limit is not None
    if part:
        from fsearch.indexer.sources.selection import Selection

        source = Selection(source, where, sample, seed, limit)
    return Images(source, location, options, not part)


def _absolute(location: str, kind: Kind) -> str:
    """The location as it is found again from another folder."""
    return location if _is_url(location) or kind == "python" else str(Path(location).absolute())
