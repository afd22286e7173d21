"""The files of a tar shard, grouped into samples, and which of a sample's files are its images."""

from __future__ import annotations

import importlib
import tarfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.archive_members import TarMember, check_member
from fsearch.indexer.sources.decode import MAX_BYTES, suffixes
from fsearch.indexer.sources.paths import open_stream
from fsearch.indexer.sources.tar_stream import open_plain, open_streamed

COMPANIONS = ("json", "cls", "label", "txt", "caption")  # what is known of an image
MAX_METADATA = 2**24  # bytes of one of them


@dataclass(frozen=True, slots=True)
class SampleImage:
    """An image of a sample, its key, and the sample's other files by suffix. `image` is None where there is none."""

    key: str
    image: Any
    companions: Mapping[str, Any]


def images_of(key: str, files: Mapping[str, Any], more: Counter[str]) -> Iterator[SampleImage]:
    """The images of a sample whose files are given by suffix, without its dot: `jpg`, `cls`, `rf.1a2b.jpg`.

    An image of a plain suffix is the sample's own, and other images are counted in `more`, by suffix. Without one, each
    image of a dotted suffix stands for itself, with the files of its own name and those of the whole sample.
    """
    kinds = {s.lstrip(".") for s in suffixes()}
    images = sorted(k for k in files if k.rsplit(".", 1)[-1] in kinds)
    own = next((k for k in images if k in kinds), None)
    if own is not None:
        more.update(k for k in images if k != own)
        yield SampleImage(key, files[own], files)
    elif images:
        for name in images:
            stem = name.rsplit(".", 1)[0]
            near = {k.removeprefix(f"{stem}."): v for k, v in files.items() if k.startswith(f"{stem}.")}
            yield SampleImage(f"{key}.{stem}", files[name], {**files, **near})
    else:
        yield SampleImage(key, None, files)


def local_groups(shard: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of each sample by suffix, wherever they lie in an uncompressed tar: each its position, none read."""
    base_plus_ext = library("webdataset").tariterators.base_plus_ext
    groups: dict[str, dict[str, Any]] = {}
    last, damage = "", None
    try:
        with open_plain(shard) as tar:
            for member in _files(tar, str(shard)):
                prefix, suffix = base_plus_ext(_plain(member.name))
                if prefix is not None:
                    content = _content(tar, member) if member.issparse() else _position(shard, member)
                    groups.setdefault(prefix, {})[suffix.lower()] = content
                    last = prefix
    except (OSError, EOFError, tarfile.TarError) as error:  # what came before, but for the last, is whole
        damage = error
        groups.pop(last, None)
    yield from groups.items()
    if damage is not None:
        raise damage


def streamed_groups(shard: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The files of each sample by suffix, with their content, as `webdataset` groups what lies side by side."""
    with open_stream(shard) as stream, open_streamed(stream) as tar:
        budget = _Budget()
        members = (
            {"fname": _plain(m.name), "data": budget.content(tar, m), "__url__": shard} for m in _files(tar, shard)
        )
        for sample in library("webdataset").tariterators.group_by_keys(members):
            yield sample["__key__"], {k: v for k, v in sample.items() if not k.startswith("__")}


def _files(tar: tarfile.TarFile, shard: str) -> Iterator[tarfile.TarInfo]:
    for member in tar:
        check_member(member.name, shard)
        if member.isfile() and not _plain(member.name).startswith("__"):
            yield member
        tar.members = []  # type: ignore[attr-defined]  # else it keeps every header


def _plain(name: str) -> str:
    """The name of a member without the `./` that `tar -C FOLDER .` puts before it."""
    return name.removeprefix("./")


def _position(shard: Path, member: tarfile.TarInfo) -> TarMember | int:
    too_large = member.size > _most(member.name)
    return member.size if too_large else TarMember(shard, member.offset_data, member.size)


def _most(name: str) -> int:
    """Bytes that are read of a file: of an image, of what is known of it, or none."""
    suffix = name.rsplit(".", 1)[-1].lower()
    return MAX_BYTES if f".{suffix}" in suffixes() else MAX_METADATA if suffix in COMPANIONS else 0


class _Budget:
    """What the files of one sample may hold together, as they are kept until it is complete."""

    def __init__(self) -> None:
        self._sample, self._left = "", MAX_BYTES

    def content(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | int:
        """The content of a file; its size where it is too large, or not asked for."""
        sample = member.name.rsplit("/", 1)[-1].split(".", 1)[0]
        if sample != self._sample:
            self._sample, self._left = sample, 2 * MAX_BYTES
        if member.size > min(_most(member.name), self._left):
            return max(member.size, MAX_BYTES + 1) if _most(member.name) == MAX_BYTES else member.size
        self._left -= member.size
        return _content(tar, member)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> bytes | int:
    """The content of a file; its size where it is too large."""
    if member.size > MAX_BYTES:
        return member.size
    file = tar.extractfile(member)
    return file.read() if file else b""


def library(name: str) -> Any:
    """A module of the library webdataset, or that comes with it. Raises BadInputError where it is missing."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise BadInputError("WebDataset shards need the library webdataset: pip install webdataset") from error
