"""What a listing of files takes for an image, what it leaves out and how that is said, for folders of every kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import PurePosixPath

import pyarrow as pa

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.decode import suffixes

SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
SYSTEM_FOLDERS = frozenset(  # of NAS systems, archivers and waste bins: thumbnails and what was deleted
    {"@eadir", "@tmp", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "__macosx", "$recycle.bin"}
    | {"system volume information", "lost+found"}
)
_HEIC = frozenset({".heic", ".heif", ".hif"})
_MOST_SUFFIXES = 12  # that are named


def is_image(name: str) -> bool:
    """Whether a file name has an image suffix and is not hidden."""
    path = PurePosixPath(name)
    return path.suffix.lower() in suffixes() and not path.name.startswith(".")


def is_left_out(folder: str) -> bool:
    """Whether a folder of that name is hidden, or a system's own."""
    return folder.startswith(".") or folder.lower() in SYSTEM_FOLDERS


def is_key(key: str, labelled: bool = False) -> bool:
    """Whether a listing of a folder may contain `key`: an image, relative, in no folder that is left out.

    Below a `labelled` folder, an ImageFolder, it must lie in a sub-folder.
    """
    *folders, name = key.split("/")
    if not is_image(name) or "\0" in key or (labelled and not folders):
        return False
    return all(f and not is_left_out(f) for f in folders)


def label_of(key: str, folder: str) -> dict[str, str | None]:
    """Label and split of an ImageFolder's file, from its path. Raises BadInputError for one in no sub-folder."""
    *folders, _ = key.split("/")
    if not folders:
        raise BadInputError(f"{folder}/{key} lies in no sub-folder, so it has no label; see --kind folder")
    split = folders[0] if len(folders) > 1 and folders[0].lower() in SPLITS else None
    return {"label": folders[-1], "split": split}


@dataclass(slots=True)
class LeftOut:
    """Counts of what a listing met and did not take."""

    files: Counter[str] = field(default_factory=Counter)  # by suffix, in lower case; "" for none
    hidden: int = 0
    system: Counter[str] = field(default_factory=Counter)  # folders by name
    links: int = 0

    def folder(self, name: str) -> None:
        """Count a folder that `is_left_out`."""
        if name.lower() in SYSTEM_FOLDERS:
            self.system[name] += 1
        else:
            self.hidden += 1

    def file(self, name: str) -> None:
        """Count a file that is no image."""
        if name.startswith("."):
            self.hidden += 1
        else:
            self.files[PurePosixPath(name).suffix.lower()] += 1

    def notes(self) -> tuple[str, ...]:
        """What to say of it, a line each; none where nothing was left out."""
        common = self.files.most_common(_MOST_SUFFIXES)
        parts = [f"{n:,} {suffix or 'without a suffix'}" for suffix, n in common]
        rest = sum(self.files.values()) - sum(n for _, n in common)
        said = []
        if parts:
            said.append(f"no image, left out: {', '.join([*parts, *([f'{rest:,} others'] if rest else [])])}")
        if _HEIC & self.files.keys() and not _HEIC & suffixes():
            said.append("HEIC images need the library pillow-heif: pip install pillow-heif")
        hidden = [f"{self.hidden:,} hidden files or folders"] if self.hidden else []
        hidden += [f"{n:,} {name}" for name, n in sorted(self.system.items())]
        if hidden:
            said.append(f"hidden, or a system's own, left out: {', '.join(hidden)}")
        if self.links:
            said.append(f"{self.links:,} links to folders outside are not followed; --allow-outside follows them")
        return tuple(said)


class FolderListing:
    """What folders on this machine and at a URL share."""

    labelled: bool

    @property
    def where(self) -> str:
        """The folder, for messages."""
        raise NotImplementedError

    def _list(self, left_out: LeftOut) -> Iterable[Item]:
        """The files below the folder, in any order; what is not taken is counted."""
        raise NotImplementedError

    @property
    def schema(self) -> pa.Schema | None:
        """Label and split, of an ImageFolder."""
        return pa.schema({"label": pa.string(), "split": pa.string()} if self.labelled else {})

    @cached_property
    def _found(self) -> tuple[list[Item], LeftOut]:
        left_out = LeftOut()
        found = sorted(self._list(left_out), key=lambda item: item.key)
        if not found:
            kinds = ", ".join(sorted(s.lstrip(".") for s in suffixes()))
            hints = "".join(f"; {note}" for note in left_out.notes())
            raise BadInputError(f"no images in {self.where} (looked for {kinds}, in subfolders too){hints}")
        return found, left_out

    @property
    def notes(self) -> tuple[str, ...]:
        """What was left out."""
        return self._found[1].notes()

    def keys(self) -> list[str]:
        """Paths below the folder, '/' between parts."""
        return [item.key for item in self._found[0]]

    def items(self) -> Iterator[Item]:
        """The files."""
        return iter(self._found[0])
