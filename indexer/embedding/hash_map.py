"""A map from hashes to numbers in 24 bytes an entry: what an index run must hold of every image, whatever their number.

A Python dict of the same takes ten times that. Hashes are cut to 128 bits: among a billion images two are alike with a
chance of one in 10^20.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from fsearch.indexer.storage.catalog import Connection

_RECENT = 65_536

Words = NDArray[np.uint64]


def halves(column: str, prefix: str = "") -> str:
    """SQL for both 64-bit halves of a column of hexadecimal SHA-256s, as `high` and `low`."""
    high, low = (f"CAST('0x' || substr({column}, {start}, 16) AS UBIGINT)" for start in (1, 17))
    return f"{high} AS {prefix}high, {low} AS {prefix}low"


def hash_text(text: str) -> bytes:
    """The digest of a key, in the form in which it can be stored: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).digest()[:16]


def hash_prefix(sha256: str) -> bytes:
    """The digest of content whose hexadecimal SHA-256 is known."""
    return bytes.fromhex(sha256[:32])


class HashMap:
    """Digests of 16 bytes, each with a number. One thread may write while others read."""

    def __init__(self, high: Words, low: Words, values: NDArray[np.int64]) -> None:
        order = np.lexsort((low, high))
        self._sorted = high[order], low[order], values[order]
        self._recent: dict[bytes, int] = {}

    @classmethod
    def none(cls) -> HashMap:
        """An empty map."""
        return cls(np.empty(0, np.uint64), np.empty(0, np.uint64), np.empty(0, np.int64))

    @classmethod
    def read(cls, con: Connection, query: str) -> HashMap:
        """From the columns `high`, `low` and `value` of a query."""
        found = con.execute(query).fetchnumpy()
        return cls(found["high"], found["low"], found["value"].astype(np.int64))

    def get(self, digest: bytes) -> int | None:
        """The number of `digest`; None where it is not here."""
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
        if len(self._recent) >= _RECENT:
            self._merge()

    def _merge(self) -> None:
        words = np.frombuffer(b"".join(self._recent), ">u8").astype(np.uint64).reshape(-1, 2)
        numbers = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        highs, lows, values = self._sorted
        fresh = HashMap(
            np.concatenate([words[:, 0], highs]),  # what is new comes first among equals, and is found first
            np.concatenate([words[:, 1], lows]),
            np.concatenate([numbers, values]),
        )
        self._sorted = fresh._sorted  # before the other is emptied: a reader finds every digest in one of them
        self._recent = {}
