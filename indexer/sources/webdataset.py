"""WebDataset shards, local or remote, streamed in order: samples are grouped by the `webdataset` library."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, check_member, is_plain_tar
from fsearch.indexer.sources.base import Item, reject, sized_item
from fsearch.indexer.sources.decode import MAX_BYTES
from fsearch.indexer.sources.folder import SUFFIXES, is_image
from fsearch.indexer.sources.paths import check_url, is_url, open_stream

_IMAGES = tuple(s.lstrip(".") for s in sorted(SUFFIXES))
_LABELS = ("cls", "label")
_TEXTS = ("txt", "caption")


def expand(location: str) -> list[str]:
    """The shards that a path, a URL, a folder, a glob or a brace pattern like `{000..099}.tar` names.

    Raises BadInputError where there is none, or the `webdataset` extra is missing.
    """
    braceexpand = _library("braceexpand").braceexpand
    shards: list[str] = []
    for place in braceexpand(location):
        path = Path(place)
        if is_url(place):
            check_url(place, location)
            shards.append(place)
        elif path.is_dir():
            shards += sorted(str(p) for p in path.glob("*.tar"))
        elif any(c in path.name for c in "*?["):
            shards += sorted(str(p) for p in path.parent.glob(path.name))
        elif path.is_file():
            shards.append(place)
        else:
            raise BadInputError(f"no such shard: {place}")
    if not shards:
        raise BadInputError(f"no .tar shards at {location}")
    return shards


@dataclass(frozen=True)
class WebDataset:
    """The samples of some tar shards. A key is SHARD/KEY; metadata are .cls, .txt and the fields of .json.

    A shard that cannot be read to its end is quarantined from there on, and the others go on. Images in a local shard
    that is not compressed are read where they lie; all else is streamed.
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
        """A stream's keys are not known before it was read."""
        return None

    def items(self) -> Iterator[Item]:
        """The samples, shard after shard."""
        for shard in expand(self.location):
            yield from _samples(shard)


def _samples(shard: str) -> Iterator[Item]:
    tariterators = _library("webdataset").tariterators
    stem = shard.rsplit("/", 1)[-1]
    changed = 0 if is_url(shard) else Path(shard).stat().st_mtime_ns
    try:
        with open_stream(shard) as stream:
            local = Path(shard) if not is_url(shard) and is_plain_tar(Path(shard)) else None
            for sample in tariterators.group_by_keys(_members(stream, shard, local)):
                yield _item(f"{stem}/{sample['__key__']}", sample, changed)
    except BadInputError:
        raise
    except (OSError, EOFError, tarfile.TarError, ValueError) as error:
        reason = str(error.args[0] if error.args else error).split("\n")[0]
        yield Item(stem, reject(f"the shard cannot be read to its end: {reason}"), 0, None)


def _members(stream: IO[bytes], shard: str, local: Path | None) -> Iterator[dict[str, Any]]:
    """The files of a shard, as `webdataset` groups them, each with its content, or where that lies in a `local` tar."""
    with tarfile.open(fileobj=stream, mode="r:" if local else "r|*") as tar:
        for member in tar:
            check_member(member.name, shard)
            if member.isfile() and not member.name.startswith("__"):
                yield {"fname": member.name, "data": _content(tar, member, local), "__url__": shard}
            tar.members = []  # type: ignore[attr-defined]  # else it keeps every header


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, local: Path | None) -> bytes | TarMember | int:
    """What a file holds; where an image lies in a `local` tar; the size of what is too large."""
    if member.size > MAX_BYTES:
        return member.size
    if local and not member.issparse() and is_image(member.name):
        return TarMember(local, member.offset_data, member.size)
    file = tar.extractfile(member)
    return file.read() if file else b""


def _item(key: str, sample: dict[str, Any], changed: int) -> Item:
    metadata = _metadata(sample)
    kind = next((k for k in _IMAGES if k in sample), None)
    kind = kind or next((k for k in sample if k.rsplit(".", 1)[-1] in _IMAGES), None)
    if kind is None:
        return Item(key, reject("the sample holds no image"), 0, changed, metadata)
    data = sample[kind]
    if isinstance(data, TarMember):
        return sized_item(key, data, data.size, changed, metadata)
    return sized_item(key, lambda: data, data if isinstance(data, int) else len(data), changed, metadata)


def _metadata(sample: dict[str, Any]) -> dict[str, Any]:
    sample = {k: v for k, v in sample.items() if isinstance(v, bytes)}
    found: dict[str, Any] = {}
    if "json" in sample:
        try:
            said = json.loads(sample["json"])
        except (ValueError, RecursionError):
            said = None
        found |= said if isinstance(said, dict) else {}
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
