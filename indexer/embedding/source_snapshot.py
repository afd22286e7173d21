"""What a workspace knows already of the images of one source, in about 90 bytes an image."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator

import numpy as np

from fsearch.indexer.embedding.hash_map import HashMap, halves, hash_prefix, hash_text
from fsearch.indexer.sources.base import Item
from fsearch.indexer.storage.catalog import Catalog

_NEVER = -(2**63)  # a time of change that no file has
_PRESENT, _EXPECTED, _SEEN = 1, 2, 4


class SourceSnapshot:
    """The images of one source: found by key, each in a slot."""

    def __init__(self, catalog: Catalog, source: str) -> None:
        key, content = halves("sha256(key)"), halves("sha256", "content_")
        query = (
            f"SELECT {key}, {content}, image_id, coalesce(bytes, -1) AS size, "
            f"coalesce(mtime_ns, {_NEVER}) AS changed, status = 'present' AS present FROM images WHERE source = ?"
        )
        with catalog.read() as con:
            found = con.execute(query, [source]).fetchnumpy()
        self._slots = HashMap(found["high"], found["low"], np.arange(len(found["high"])))
        self._ids: array[int] = array("q", found["image_id"].astype(np.int64).tobytes())
        self._sizes: array[int] = array("q", found["size"].astype(np.int64).tobytes())
        self._changed: array[int] = array("q", found["changed"].astype(np.int64).tobytes())
        contents = np.stack([found["content_high"], found["content_low"]], axis=1).astype(">u8")
        self._content = bytearray(contents.tobytes())
        self._flags = bytearray(found["present"].astype(np.uint8).tobytes())  # _PRESENT, or nothing
        self._met = HashMap.none()
        self._gone: dict[bytes, list[int]] = {}

    def mark_seen(self, key: str) -> bool:
        """Note that the source has `key`; whether that is new in this run."""
        digest = hash_text(key)
        if digest in self._met:
            return False
        self._met[digest] = 1
        if (slot := self._slots.get(digest)) is not None:
            self._flags[slot] |= _SEEN
        return True

    def was_seen(self, key: str) -> bool:
        """Whether `key` was met in this run."""
        return hash_text(key) in self._met

    def mark_expected(self, keys: Iterable[str]) -> None:
        """Say which keys the source holds now. Content of a key that is gone may be followed to its new key."""
        for key in keys:
            if (slot := self._slots.get(hash_text(key))) is not None:
                self._flags[slot] |= _EXPECTED
        gone = defaultdict(list)
        for slot, flags in enumerate(self._flags):
            if flags & (_PRESENT | _EXPECTED) == _PRESENT:
                gone[self._of(slot)].append(slot)
        self._gone = dict(gone)

    def is_current(self, item: Item) -> bool:
        """Whether an image is here and has not changed since, by size and time."""
        slot = self._slots.get(hash_text(item.key))
        if slot is None or item.mtime_ns is None or not self._flags[slot] & _PRESENT:
            return False
        return self._changed[slot] == item.mtime_ns and item.size in (0, self._sizes[slot])

    def image_id(self, key: str) -> int:
        """The identity of an image that is here."""
        slot = self._slots.get(hash_text(key))
        assert slot is not None
        return self._ids[slot]

    def take(self, item: Item, sha256: str, size: int, new_id: int) -> tuple[int, bool, bool]:
        """Note an image as it is now; its identity, whether its content changed, and whether it was renamed.

        `new_id` is the identity it gets where it is new.
        """
        digest, content = hash_text(item.key), hash_prefix(sha256)
        slot, renamed = self._slots.get(digest), False
        if slot is None and self._gone.get(content):
            slot, renamed = self._gone[content].pop(), True
            self._slots[digest] = slot
        if slot is None:
            slot = self._new_slot(new_id)
            self._slots[digest] = slot
            changed = False
        else:
            changed = self._of(slot) != content
        self._sizes[slot], self._changed[slot] = size, _NEVER if item.mtime_ns is None else item.mtime_ns
        self._content[16 * slot : 16 * slot + 16] = content
        self._flags[slot] = _PRESENT | _EXPECTED | _SEEN
        return self._ids[slot], changed, renamed

    def gone(self) -> list[int]:
        """Identities of the images that were here and were not met in this run."""
        return list(self._unseen())

    def _unseen(self) -> Iterator[int]:
        for slot, flags in enumerate(self._flags):
            if flags & (_PRESENT | _SEEN) == _PRESENT:
                yield self._ids[slot]

    def _new_slot(self, image_id: int) -> int:
        self._ids.append(image_id)
        self._sizes.append(0)
        self._changed.append(_NEVER)
        self._content += bytes(16)
        self._flags.append(0)
        return len(self._flags) - 1

    def _of(self, slot: int) -> bytes:
        return bytes(self._content[16 * slot : 16 * slot + 16])
