"""WebDataset: tar shards, local or remote, streamed in order; the `webdataset` library groups files into samples."""

from __future__ import annotations

import json
import os
import tarfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, is_plain_tar
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, reject, rejecting, sized_item
from fsearch.indexer.sources.decode import RejectedImageError
from fsearch.indexer.sources.listing import is_image
from fsearch.indexer.sources.paths import check_url, open_stream
from fsearch.indexer.sources.shard_sample import images_of, library, local_groups, streamed_groups
from fsearch.indexer.sources.tar_stream import open_streamed
from fsearch.indexer.sources.urls import is_url
from fsearch.indexer.storage.regular_files import open_regular

_LABELS = ("cls", "label")
_TEXTS = ("txt", "caption")
_INDEXED_SHARDS = 64  # whose members are cached for random access
_FIRST_MEMBERS = 64  # of a tar, which tell whether it is a shard


def expand(location: str, *, may_be_gone: bool = False) -> list[str]:
    """The shards that a path, a URL, a folder, a glob or a brace pattern like `{000..099}.tar` names.

    Raises BadInputError where there is none, one does not exist (unless it `may_be_gone`), or the `webdataset` extra is
    missing.
    """
    braceexpand = library("braceexpand").braceexpand
    shards: list[str] = []
    for shard in braceexpand(location):
        path = Path(shard)
        if is_url(shard):
            check_url(shard, location)
            shards.append(shard)
        elif path.is_dir():
            shards += sorted(str(p) for p in path.glob("*.tar"))
        elif any(c in path.name for c in "*?["):
            shards += sorted(str(p) for p in path.parent.glob(path.name))
        elif path.is_file() or may_be_gone:
            shards.append(shard)
        else:
            raise BadInputError(f"no such shard: {shard}")
    if not shards:
        raise BadInputError(f"no .tar shards at {location}")
    return shards


@dataclass(frozen=True)
class WebDataset:
    """The samples of some tar shards. A key is SHARD/KEY; metadata are .cls, .txt and the fields of .json.

    What comes before the first dot of a name tells the sample. One that has no image of a plain suffix (KEY.jpg) but
    some of dotted ones (KEY.rf.1a2b.jpg) is taken apart: each is an image, SHARD/KEY.rf.1a2b.

    A shard that cannot be read to its end is quarantined from there on, and the others go on. Images in a local
    uncompressed shard are read at their offsets; all else is streamed.
    """

    location: str
    _more: Counter[str] = field(default_factory=Counter, init=False, repr=False, compare=False)

    @property
    def name(self) -> str:
        """The pattern, as a full path unless it is a URL."""
        return self.location if is_url(self.location) else str(Path(self.location).absolute())

    @property
    def schema(self) -> pa.Schema | None:
        """Known from the values only."""
        return None

    def keys(self) -> list[str] | None:
        """None: a stream's keys are not known before it was read."""
        return None

    def items(self) -> Iterator[Item]:
        """The images, shard after shard."""
        self._more.clear()
        for shard in expand(self.location):
            yield from _samples(shard, self._more)

    @property
    def notes(self) -> tuple[str, ...]:
        """Images that samples hold beside their own."""
        more = ", ".join(f"{n:,} {suffix}" for suffix, n in sorted(self._more.items()))
        return (f"further images in samples, left out: {more}",) if more else ()

    def read(self, key: str) -> bytes:
        """The image of one sample. Raises RejectedImageError, see `Source.read`.

        The members of a local uncompressed shard are listed at its first use, and cached. A compressed or remote shard
        is streamed from its beginning up to the sample, in each call.
        """
        with rejecting():
            name = key.split("/", 1)[0]
            shards = self._shards if name in self._shards else replace(self)._shards  # it may be a new shard
            for shard in shards.get(name, []):
                read = _find(shard, key)
                if read is not None:
                    data = read()
                    assert isinstance(data, bytes)
                    return data
            raise RejectedImageError(UNKNOWN_KEY)

    @cached_property
    def _shards(self) -> dict[str, list[str]]:
        """The shards of each file name; folders may have shards of one name."""
        found: dict[str, list[str]] = {}
        for shard in expand(self.location, may_be_gone=True):
            found.setdefault(_file_name(shard), []).append(shard)
        return found


def looks_like_shard(path: Path) -> bool:
    """Whether some image of a tar's first members has a companion: a file of the same name but for its suffix."""
    names: list[str] = []
    damage = suppress(OSError, EOFError, tarfile.TarError, zlib.error)  # what came before tells; the adapter says it
    with damage, open_regular(path) as file, open_streamed(file) as tar:
        for _, member in zip(range(_FIRST_MEMBERS), tar, strict=False):
            names += [member.name] if member.isfile() else []
    stems = {n.rsplit(".", 1)[0] for n in names if is_image(n)}
    return any(not is_image(n) and n.rsplit(".", 1)[0] in stems for n in names)


def _find(shard: str, key: str) -> Callable[[], Any] | None:
    """The `read` of a sample; that of the shard's error where it is damaged; None where it has no such sample.

    Raises OSError where the shard cannot be opened.
    """
    damage = _file_name(shard)  # the key of the error
    with open_stream(shard):
        pass
    if not is_url(shard) and is_plain_tar(Path(shard)):
        status = Path(shard).stat()
        index = _index(os.path.abspath(shard), status.st_mtime_ns, status.st_size)
        return index.get(key) or index.get(damage)
    return next((item.read for item in _samples(shard) if item.key in (key, damage)), None)


@lru_cache(_INDEXED_SHARDS)
def _index(shard: str, mtime_ns: int, size: int) -> Mapping[str, Callable[[], Any]]:
    """The `read` of each sample of a local uncompressed shard, by key. Only the headers of the tar are read."""
    return {item.key: item.read for item in _samples(shard, with_metadata=False)}


def _file_name(shard: str) -> str:
    return shard.rsplit("/", 1)[-1]


def _samples(shard: str, more: Counter[str] | None = None, *, with_metadata: bool = True) -> Iterator[Item]:
    """The images of a shard; without metadata, of a local one, without reading any content.

    Images of a sample beside its own are counted in `more`, by their suffix.
    """
    stem, more = _file_name(shard), Counter() if more is None else more
    mtime_ns = 0 if is_url(shard) else Path(shard).stat().st_mtime_ns
    local = not is_url(shard) and is_plain_tar(Path(shard))
    try:
        for key, files in local_groups(Path(shard)) if local else streamed_groups(shard):
            for found in images_of(key, files, more):
                metadata = _metadata(found.companions) if with_metadata else {}
                yield _item(f"{stem}/{found.key}", found.image, mtime_ns, metadata)
    except BadInputError:
        raise
    except (OSError, EOFError, tarfile.TarError, ValueError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or str(error.args[0] if error.args else error).split("\n")[0]
        yield Item(stem, reject(f"the shard cannot be read to its end: {reason}"), 0, None)


def _item(key: str, data: Any, mtime_ns: int, metadata: dict[str, Any]) -> Item:
    if data is None:
        return Item(key, reject("the sample holds no image"), 0, mtime_ns, metadata)
    if isinstance(data, TarMember):
        return sized_item(key, data, data.size, mtime_ns, metadata)
    return sized_item(key, lambda: data, data if isinstance(data, int) else len(data), mtime_ns, metadata)


def _metadata(companions: Mapping[str, Any]) -> dict[str, Any]:
    known = {k: v for k, v in companions.items() if k in ("json", *_LABELS, *_TEXTS)}
    contents = {k: v() if isinstance(v, TarMember) else v for k, v in known.items()}
    sample = {k: v for k, v in contents.items() if isinstance(v, bytes)}
    found: dict[str, Any] = {}
    if "json" in sample:
        try:
            fields = json.loads(sample["json"])
        except (ValueError, RecursionError):
            fields = None
        found |= fields if isinstance(fields, dict) else {}
    for names, column in ((_LABELS, "label"), (_TEXTS, "caption")):
        data = next((sample[n] for n in names if n in sample), None)
        if data is not None:
            text = data.decode("utf-8", "replace").strip()
            found[column] = int(text) if column == "label" and text.isdecimal() and len(text) < 19 else text
    return found
