"""State of one source's images as the workspace last saw them, in about 75 bytes an image.

Each key has a slot: an index into flat arrays of identity, size, time and content hash. A run looks a key up once and
passes the slot along.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from fsearch.indexer.embedding.batch_sizes import MERGE_EVERY
from fsearch.indexer.embedding.hash_map import HashMap, halves, hash_prefix, hash_text
from fsearch.indexer.sources.base import Item
from fsearch.indexer.storage.catalog import Catalog

_NEVER = -(2**63)  # a time of change that no file has
_NO_ID = -1
_PRESENT, _EXPECTED, _SEEN = 1, 2, 4


@dataclass(frozen=True, slots=True)
class VisitedItem(Item):
    """An item of the current run, with the slot of its key."""

    slot: int = -1

    @classmethod
    def of(cls, item: Item, slot: int) -> VisitedItem:
        """`item` with its slot."""
        return cls(item.key, item.read, item.size, item.mtime_ns, item.metadata, slot)


class SourceSnapshot:
    """The images of one source, by key. `merge_every` is passed to its HashMap."""

    def __init__(self, catalog: Catalog, source: str, merge_every: int = MERGE_EVERY) -> None:
        key, content = halves("sha256(key)"), halves("sha256", "content_")
        query = (
            f"SELECT {key}, {content}, image_id, coalesce(bytes, -1) AS size, "
            f"coalesce(mtime_ns, {_NEVER}) AS changed, status = 'present' AS present FROM images WHERE source = ?"
        )
        with catalog.read() as con:
            found = con.execute(query, [source]).fetchnumpy()
        self._slots = HashMap(found["high"], found["low"], np.arange(len(found["high"])), merge_every)
        self._ids: array[int] = array("q", found["image_id"].astype(np.int64).tobytes())
        self._sizes: array[int] = array("q", found["size"].astype(np.int64).tobytes())
        self._changed: array[int] = array("q", found["changed"].astype(np.int64).tobytes())
        contents = np.stack([found["content_high"], found["content_low"]], axis=1).astype(">u8")
        self._content = bytearray(contents.tobytes())
        self._flags = bytearray(found["present"].astype(np.uint8).tobytes())  # _PRESENT, or none
        self._expected: Sequence[str] = ()
        self._expected_slots: array[int] = array("q")
        self._position = 0
        self._gone: dict[bytes, list[int]] = {}

    def mark_expected(self, keys: Sequence[str]) -> None:
        """Register the keys that the source holds now, in order.

        An image whose key is not among them may be followed to a new key of the same content.
        """
        self._expected = keys
        for key in keys:
            slot = self._slot(key)
            self._flags[slot] |= _EXPECTED
            self._expected_slots.append(slot)
        gone = defaultdict(list)
        for slot, flags in enumerate(self._flags):
            if flags & (_PRESENT | _EXPECTED) == _PRESENT:
                gone[self._content_of(slot)].append(slot)
        self._gone = dict(gone)

    def mark_seen(self, key: str) -> int | None:
        """Note that the source has `key`; its slot, or None where this run met it before.

        Keys that come in the order of `mark_expected` are not hashed a second time.
        """
        position, self._position = self._position, self._position + 1
        if position < len(self._expected) and self._expected[position] == key:
            slot = self._expected_slots[position]
        else:
            slot = self._slot(key)
        if self._flags[slot] & _SEEN:
            return None
        self._flags[slot] |= _SEEN
        return slot

    def was_seen(self, key: str) -> bool:
        """Whether this run met `key`."""
        slot = self._slots.get(hash_text(key))
        return slot is not None and bool(self._flags[slot] & _SEEN)

    def is_current(self, slot: int, item: Item) -> bool:
        """Whether an image is in the workspace and has not changed since, by size and time."""
        if item.mtime_ns is None or not self._flags[slot] & _PRESENT:
            return False
        return self._changed[slot] == item.mtime_ns and item.size in (0, self._sizes[slot])

    def image_id(self, slot: int) -> int:
        """The identity of the image in a slot."""
        return self._ids[slot]

    def update(self, item: VisitedItem, sha256: str, size: int, new_id: int) -> tuple[int, bool, bool]:
        """Record an image as it is now: its identity, whether its content changed, and whether it was renamed.

        `new_id` is the identity that a new image gets.
        """
        slot, content = item.slot, hash_prefix(sha256)
        changed = renamed = False
        if self._ids[slot] != _NO_ID:
            changed = self._content_of(slot) != content
        elif self._gone.get(content):
            before, renamed = self._gone[content].pop(), True
            self._ids[slot], self._ids[before], self._flags[before] = self._ids[before], _NO_ID, 0
        else:
            self._ids[slot] = new_id
        self._sizes[slot], self._changed[slot] = size, _NEVER if item.mtime_ns is None else item.mtime_ns
        self._content[16 * slot : 16 * slot + 16] = content
        self._flags[slot] = _PRESENT | _EXPECTED | _SEEN
        return self._ids[slot], changed, renamed

    def missing_ids(self) -> list[int]:
        """Identities of the images that were present and that this run did not meet."""
        return list(self._unseen())

    def _unseen(self) -> Iterator[int]:
        for slot, flags in enumerate(self._flags):
            if flags & (_PRESENT | _SEEN) == _PRESENT:
                yield self._ids[slot]

    def _slot(self, key: str) -> int:
        """The slot of `key`; a new one, without an identity, where it has none."""
        digest = hash_text(key)
        slot = self._slots.get(digest)
        if slot is None:
            slot = len(self._flags)
            self._slots[digest] = slot
            self._ids.append(_NO_ID)
            self._sizes.append(0)
            self._changed.append(_NEVER)
            self._content += bytes(16)
            self._flags.append(0)
        return slot

    def _content_of(self, slot: int) -> bytes:
        return bytes(self._content[16 * slot : 16 * slot + 16])
