"""Names of images in the one form they are compared in, whatever program, system or folder they were written on."""

from __future__ import annotations

import os
import unicodedata
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from pathlib import Path, PurePosixPath
from urllib.parse import unquote, urlsplit

_COMPARED = 400  # names that the nearest ones are looked for among, on either side


def normal_key(text: str) -> str:
    """A name with `/` between parts, composed characters (NFC), without `./`, quotes around it, and `file://`."""
    key = text.strip()
    if len(key) > 1 and key[0] == key[-1] and key[0] in "\"'":
        key = key[1:-1].strip()
    if key.lower().startswith("file:"):
        key = unquote(urlsplit(key).path)
    elif "://" in key:
        return unicodedata.normalize("NFC", key)
    key = key.replace("\\", "/")
    if "//" in key or "./" in key:
        root = "/" if key.startswith("/") else ""
        key = root + "/".join(part for part in key.split("/") if part not in ("", "."))
    return unicodedata.normalize("NFC", key)


@dataclass(frozen=True, slots=True)
class Hit:
    """The images that a name may mean, and the foreign folder that it leads through, if it does."""

    images: list[int]
    root: str | None = None


class KeyIndex:
    """n images by each form in which a file may name them.

    `sources`, one per image, tell images of the same key in several sources apart; `folders` are those that names may
    lead through, absolute or from the current one.
    """

    def __init__(self, images: Sequence[str], sources: Sequence[str] = (), folders: Iterable[Path] = ()) -> None:
        self._sources, self._keys = sources, [normal_key(k) for k in images]
        self._above = _forms(folders)
        tables = (defaultdict[str, list[int]](list) for _ in range(6))
        self._exact, self._path, self._path_stem, self._name, self._stem, self._decoded = tables
        for i, (raw, key) in enumerate(zip(images, self._keys, strict=True)):
            self._exact[raw].append(i)
            self._path[key].append(i)
            if sources:
                self._path[f"{sources[i]}/{key}"].append(i)
            name = key.rpartition("/")[2]
            stem, suffix = os.path.splitext(name)
            self._path_stem[key[: len(key) - len(suffix)]].append(i)
            self._name[name].append(i)
            self._stem[stem].append(i)
            if "%" in key:
                self._decoded[unquote(key)].append(i)

    def find(self, text: str) -> Hit:
        """The images that a name may mean: by path, else through a folder, by stem, by file name, by its tail."""
        key = normal_key(text)
        forms = [key, *(below for below in self._below(key) if below != key)]
        if "%" in key and "://" not in key:
            forms += [unicodedata.normalize("NFC", unquote(form)) for form in forms]
        found = self._exact.get(text) or next((self._path[f] for f in forms if f in self._path), None)
        found = found or next((self._decoded[f] for f in forms if f in self._decoded), None)
        found = found or next((self._path_stem[f] for f in forms if f in self._path_stem), None)
        if not found and "/" not in key:
            found = self._name.get(key) or self._stem.get(key)
        return Hit(found) if found else self._by_tail(forms)

    def _below(self, key: str) -> Iterable[str]:
        for above in self._above:
            if key.startswith(above):
                yield key.removeprefix(above)
        if ".." in key:
            full = os.path.normpath(os.path.join(os.getcwd(), key))
            yield from (full.removeprefix(above) for above in self._above if full.startswith(above))

    def _by_tail(self, forms: Sequence[str]) -> Hit:
        """Images whose path ends such a name, or which end in it."""
        for form in forms:
            if "/" not in form or "://" in form:
                continue
            same = self._name.get(PurePosixPath(form).name, [])
            longest = max((len(self._keys[i]) for i in same if form.endswith("/" + self._keys[i])), default=0)
            if longest:
                root = form[: -longest - 1]
                tails = [i for i in same if form.endswith("/" + self._keys[i]) and len(self._keys[i]) == longest]
                own = [i for i in tails if self._sources and f"/{self._sources[i]}".endswith(f"/{root}")]
                return Hit(own or tails, root)
            deeper = [i for i in same if self._keys[i].endswith("/" + form)]
            if deeper:
                return Hit(deeper)
        return Hit([])

    def nearest(self, text: str, count: int = 3) -> list[str]:
        """The names of images that look most like one that is none of them."""
        key = normal_key(text)
        names = sorted(set(self._keys))
        tail = PurePosixPath(key).name
        backwards = sorted(n[::-1] for n in names)
        pool = _around(names, key) | _around(names, tail) | {n[::-1] for n in _around(backwards, key[::-1])}

        def likeness(name: str) -> float:
            return max(SequenceMatcher(None, name, k, autojunk=False).ratio() for k in (key, tail))

        return sorted(pool, key=lambda name: (-likeness(name), name))[:count]


def _around(names: Sequence[str], key: str) -> set[str]:
    """Names beside the place that `key` would have among the sorted `names`."""
    import bisect

    place = bisect.bisect(names, key)
    half = _COMPARED // 2
    return set(names[max(0, place - half) : place + half])


def _forms(folders: Iterable[Path]) -> list[str]:
    """Each folder as a name may begin with it."""
    found: Collection[str] = {}
    working = Path.cwd()
    for folder in folders:
        full = folder.absolute()
        below = full.relative_to(working) if full.is_relative_to(working) else full
        found = dict.fromkeys((*found, *(f.as_posix() for f in (folder, full, folder.resolve(), below))))
    return [unicodedata.normalize("NFC", form.rstrip("/") + "/") for form in found if form not in (".", "/")]
