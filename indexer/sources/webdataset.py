"""WebDataset: tar shards, local or remote, streamed in order; the `webdataset` library groups files into samples."""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, check_member, is_plain_tar
from fsearch.indexer.sources.base import UNKNOWN_KEY, Item, reject, rejecting, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES, RejectedImageError
from fsearch.indexer.sources.folder import SUFFIXES, is_image
from fsearch.indexer.sources.paths import check_url, is_url, open_stream

_IMAGES = tuple(s.lstrip(".") for s in sorted(SUFFIXES))
_LABELS = ("cls", "label")
_TEXTS = ("txt", "caption")
_INDEXED_SHARDS = 64  # whose members are cached for random access
_FIRST_MEMBERS = 64  # of a tar, which tell whether it is a shard


def expand(location: str, *, may_be_gone: bool = False) -> list[str]:
    """The shards that a path, a URL, a folder, a glob or a brace pattern like `{000..099}.tar` names.

    Raises BadInputError where there is none, one does not exist (unless it `may_be_gone`), or the `webdataset` extra is
    missing.
    """
    braceexpand = _library("braceexpand").braceexpand
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

    A shard that cannot be read to its end is quarantined from there on, and the others go on. Images in a local
    uncompressed shard are read at their offsets; all else is streamed.
    """

    location: str

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
        """The samples, shard after shard."""
        for shard in expand(self.location):
            yield from _samples(shard)

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
    try:
        with tarfile.open(path) as tar:
            names = [m.name for _, m in zip(range(_FIRST_MEMBERS), tar, strict=False) if m.isfile()]
    except (OSError, EOFError, tarfile.TarError):
        return False  # the archive's own adapter says what is wrong
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
    return {item.key: item.read for item in _samples(shard, images_only=True)}


def _file_name(shard: str) -> str:
    return shard.rsplit("/", 1)[-1]


def _samples(shard: str, *, images_only: bool = False) -> Iterator[Item]:
    """The samples of a shard; with `images_only`, of a local one, without reading any content."""
    tariterators = _library("webdataset").tariterators
    stem = _file_name(shard)
    mtime_ns = 0 if is_url(shard) else Path(shard).stat().st_mtime_ns
    try:
        with open_stream(shard) as stream:
            local = Path(shard) if not is_url(shard) and is_plain_tar(Path(shard)) else None
            for sample in tariterators.group_by_keys(_members(stream, shard, local, images_only)):
                yield _item(f"{stem}/{sample['__key__']}", sample, mtime_ns)
    except BadInputError:
        raise
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        reason = str(error.args[0] if error.args else error).split("\n")[0]
        yield Item(stem, reject(f"the shard cannot be read to its end: {reason}"), 0, None)


def _members(stream: IO[bytes], shard: str, local: Path | None, images_only: bool) -> Iterator[dict[str, Any]]:
    """The files of a shard, as `webdataset` groups them, each with its content or its position in a `local` tar."""
    with tarfile.open(fileobj=stream, mode="r:" if local else "r|*") as tar:
        for member in tar:
            check_member(member.name, shard)
            if member.isfile() and not member.name.startswith("__"):
                skipped = images_only and not is_image(member.name)
                content = b"" if skipped else _content(tar, member, local)
                yield {"fname": member.name, "data": content, "__url__": shard}
            tar.members = []  # type: ignore[attr-defined]  # else it keeps every header


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, local: Path | None) -> bytes | TarMember | int:
    """The content of a file; the position of an image in a `local` tar; the size of a file that is too large."""
    if member.size > MAX_BYTES:
        return member.size
    if local and not member.issparse() and is_image(member.name):
        return TarMember(local, member.offset_data, member.size)
    file = tar.extractfile(member)
    return file.read() if file else b""


def _item(key: str, sample: dict[str, Any], mtime_ns: int) -> Item:
    metadata = _metadata(sample)
    kind = next((k for k in _IMAGES if k in sample), None)
    kind = kind or next((k for k in sample if k.rsplit(".", 1)[-1] in _IMAGES), None)
    if kind is None:
        return Item(key, reject("the sample holds no image"), 0, mtime_ns, metadata)
    data = sample[kind]
    if isinstance(data, TarMember):
        return sized_item(key, data, data.size, mtime_ns, metadata)
    return sized_item(key, lambda: data, data if isinstance(data, int) else len(data), mtime_ns, metadata)


def _metadata(sample: dict[str, Any]) -> dict[str, Any]:
    sample = {k: v for k, v in sample.items() if isinstance(v, bytes)}
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
            found[column] = int(text) if column == "label" and text.isdecimal() else text
    return found


def _library(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInputError("WebDataset shards need the library webdataset: pip install webdataset") from error
