"""A compact hash map from 128-bit digests to integers, in 24 bytes an entry: an index run holds one entry an image.

A Python dict takes ten times as much. Digests are SHA-256 truncated to 128 bits: the chance of a collision among a
billion images is one in 10^20.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.embedding.batch_sizes import MERGE_EVERY
from fsearch.indexer.storage.catalog import Connection

Words = NDArray[np.uint64]


def halves(column: str, prefix: str = "") -> str:
    """SQL for both 64-bit halves of a column of hexadecimal SHA-256s, as `high` and `low`."""
    high, low = (f"CAST('0x' || substr({column}, {start}, 16) AS UBIGINT)" for start in (1, 17))
    return f"{high} AS {prefix}high, {low} AS {prefix}low"


def hash_text(text: str) -> bytes:
    """The digest of a key: the first 16 bytes of the SHA-256 of its UTF-8 form."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:16]


def hash_prefix(sha256: str) -> bytes:
    """The digest of content with a known hexadecimal SHA-256."""
    return bytes.fromhex(sha256[:32])


class HashMap:
    """16-byte digests, each with an integer. One thread may write while others read.

    Parameters
    ----------
    high, low : (n,) uint64, the halves of each digest.
    values : (n,) int64.
    merge_every : entries added until they are merged into the sorted arrays.
    """

    def __init__(self, high: Words, low: Words, values: NDArray[np.int64], merge_every: int = MERGE_EVERY) -> None:
        order = np.lexsort((low, high))
        self._sorted = high[order], low[order], values[order]
        self._recent: dict[bytes, int] = {}
        self._merge_every = merge_every

    @classmethod
    def empty(cls, merge_every: int = MERGE_EVERY) -> HashMap:
        """A map without entries."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64), merge_every)

    @classmethod
    def read(cls, con: Connection, query: str, merge_every: int = MERGE_EVERY) -> HashMap:
        """From the columns `high`, `low` and `value` of a query."""
        found = con.execute(query).fetchnumpy()
        return cls(found["high"], found["low"], found["value"].astype(np.int64), merge_every)

    def get(self, digest: bytes) -> int | None:
        """The value of `digest`; None where it has none."""
        if (number := self._recent.get(digest)) is not None:
            return number
        highs, lows, values = self._sorted
        high, low = (np.uint64(int.from_bytes(half, "big")) for half in (digest[:8], digest[8:]))
        at = int(np.searchsorted(highs, high))
        while at < len(highs) and highs[at] == high:
            if lows[at] == low:
                return int(values[at])
            at += 1
        return None

    def __contains__(self, digest: bytes) -> bool:
        return self.get(digest) is not None

    def __setitem__(self, digest: bytes, number: int) -> None:
        self._recent[digest] = number
        if len(self._recent) >= self._merge_every:
            self._merge()

    def _merge(self) -> None:
        words = np.frombuffer(b"".join(self._recent), ">u8").astype(np.uint64).reshape(-1, 2)
        numbers = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        highs, lows, values = self._sorted
        merged = HashMap(
            np.concatenate([words[:, 0], highs]),  # the sort is stable: of equal digests the new one is found
            np.concatenate([words[:, 1], lows]),
            np.concatenate([numbers, values]),
        )
        self._sorted = merged._sorted  # before _recent is emptied: a reader finds every digest in one of them
        self._recent = {}
