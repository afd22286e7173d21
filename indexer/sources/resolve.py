"""From a path, URL or name to a source: the kind is told from the file or folder, or named.

A new kind of data set is a file of its own, its line in `open_source`, and in kind.py its name in `Kind` and how
`kind_of` recognises it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from fsearch.indexer.errors import BadInputError, require_one_of
from fsearch.indexer.sources.kind import Kind, is_file_url, kind_of
from fsearch.indexer.sources.urls import is_url

if TYPE_CHECKING:
    from fsearch.indexer.sources.annotated import AnnotatedSet
    from fsearch.indexer.sources.base import Source


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """How to read a source, where that is not clear by itself.

    Attributes
    ----------
    kind : the kind of data set; None to tell it from the file or folder.
    image_column : the column of a table that holds the images.
    root : the folder that a table's paths are relative to; None for the table's own.
    allow_outside : whether a table may name files outside of it, and links may lead outside of a folder.
    allow_private_hosts : whether URLs in a table may lead to hosts at private addresses.
    """

    kind: Kind | None = None
    image_column: str | None = None
    root: str | None = None
    allow_outside: bool = False
    allow_private_hosts: bool = False

    def as_json(self) -> str:
        """As stored in the workspace, to open the source again."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> SourceOptions:
        """The inverse of `as_json`. Raises BadInputError for what is none."""
        try:
            found = cls(**json.loads(text))
            texts, kinds = (found.image_column, found.root), (None, *get_args(Kind))
            if found.kind not in kinds or not all(t is None or isinstance(t, str) for t in texts):
                raise ValueError
        except (ValueError, TypeError, RecursionError) as error:
            raise BadInputError("the workspace does not say how its images are read, as fsearch would") from error
        return found


def open_source(location: str, options: SourceOptions = SourceOptions()) -> Source:
    """The source at `location`: a path, a URL of a folder, a URL or pattern of shards, or `module:object`.

    Raises BadInputError where there is none, or its kind cannot be told.
    """
    location = _local(location)
    kind = options.kind or kind_of(location)
    require_one_of("kind", kind, get_args(Kind))
    if kind in ("folder", "imagefolder"):
        return _open_folder(location, kind == "imagefolder", options.allow_outside)
    if kind in ("manifest", "huggingface", "coco", "yolo", "voc"):
        return _open_table(location, kind, options)
    if kind == "webdataset":
        from fsearch.indexer.sources.webdataset import WebDataset

        return WebDataset(location)
    if kind == "archive":
        from fsearch.indexer.sources.archive import Archive

        return Archive(Path(location))
    from fsearch.indexer.sources.python import from_name

    return from_name(location)


def _open_folder(location: str, labelled: bool, allow_outside: bool) -> Source:
    from fsearch.indexer.sources.folder import Folder
    from fsearch.indexer.sources.remote_folder import RemoteFolder

    path = location.removeprefix("file://")
    return RemoteFolder(path, labelled) if is_url(path) else Folder(Path(path), labelled, allow_outside)


def _open_table(location: str, kind: Kind, options: SourceOptions) -> Source:
    """A source that lists images by path, relative to its own folder or `options.root`."""
    from fsearch.indexer.sources.annotated import AnnotatedImages
    from fsearch.indexer.sources.huggingface import SavedDataset
    from fsearch.indexer.sources.manifest import Manifest
    from fsearch.indexer.sources.paths import PathResolver

    path = Path(location)
    root = Path(options.root) if options.root else path if path.is_dir() else path.parent
    paths = PathResolver(root, options.allow_outside, options.allow_private_hosts)
    if kind == "huggingface":
        return SavedDataset(path, paths, options.image_column)
    if kind == "manifest":
        return Manifest(path, paths, options.image_column)
    return AnnotatedImages(path, paths, reader_of(kind))


def reader_of(kind: Kind) -> Callable[[Path], AnnotatedSet]:
    """What reads the objects of a data set of this kind."""
    from fsearch.indexer.sources.coco import read_coco
    from fsearch.indexer.sources.voc import read_voc
    from fsearch.indexer.sources.yolo import read_yolo

    return {"coco": read_coco, "yolo": read_yolo, "voc": read_voc}[kind]


def _local(location: str) -> str:
    """The path of a folder that is given as a file:// URL."""
    is_folder = location.startswith("file://") and not is_file_url(location)
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

    def all_keys(self) -> list[str] | None:
        """The keys of all images of the source, also of those that were not selected; None where it is a stream."""
        from fsearch.indexer.sources.selection import Selection

        return (self.source.source if isinstance(self.source, Selection) else self.source).keys()

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
    allow_private_hosts: bool = False,
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
    kind, image_column, root, allow_outside, allow_private_hosts : see SourceOptions.
    where : an SQL predicate on the data set's own columns, and `key`.
    sample, seed : how many to draw at random, and by which seed.
    limit : how many at most.
    name : identity of images in memory.

    Raises BadInputError where there is no such source, or its kind cannot be told.
    """
    full = None if root is None else str(Path(root).absolute())
    options = SourceOptions(kind, image_column, full, allow_outside, allow_private_hosts)
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
    return location if is_url(location) or kind == "python" else str(Path(location).absolute())
