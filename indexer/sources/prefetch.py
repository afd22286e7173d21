"""Read and decode images in threads, ahead of the model that consumes them or in turns, in the order of the source."""

from __future__ import annotations

import hashlib
import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from PIL import Image

from fsearch.indexer.sources.base import UNREAD as UNREAD
from fsearch.indexer.sources.base import Item
from fsearch.indexer.sources.decode import RejectedImageError, decode_whole, to_rgb

Content = bytes | Image.Image | str  # encoded bytes, or pixels; or why there is neither

_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class DecodedImage:
    """One image of a source, read and decoded.

    Attributes
    ----------
    image : RGB, upright; smaller than `size` where that is very large.
    sha256 : hexadecimal, of the encoded bytes; of size and pixels where the source gave a decoded image.
    bytes : how many were hashed.
    size : width and height of the whole image in pixels, upright.
    orientation : the EXIF orientation that was undone, 1 for none.
    """

    image: Image.Image
    sha256: str
    bytes: int
    size: tuple[int, int]
    orientation: int = 1


def read_image(item: Item) -> DecodedImage | str:
    """Read and decode one image; the reason as text where it is rejected."""
    return decode_image(read_content(item))


def read_content(item: Item) -> Content:
    """What a source gives for one image: encoded bytes, or pixels; the reason as text where it cannot."""
    try:
        return item.read()
    except OSError as error:
        return f"{UNREAD}{error.strerror or error}"
    except RejectedImageError as error:
        return str(error)


def decode_image(content: Content) -> DecodedImage | str:
    """The image of what `read_content` gave; the reason as text where it is rejected."""
    if isinstance(content, str):
        return content
    try:
        if isinstance(content, bytes):
            found = decode_whole(content)
            digest = hashlib.sha256(content).hexdigest()
            return DecodedImage(found.image, digest, len(content), found.size, found.orientation)
        image = to_rgb(content)
        pixels = image.tobytes()
        digest = hashlib.sha256(f"{image.size}".encode() + pixels).hexdigest()
        return DecodedImage(image, digest, len(pixels), image.size)
    except OSError as error:
        return f"{UNREAD}{error.strerror or error}"
    except RejectedImageError as error:
        return str(error)


def prefetch(items: Iterable[_T], work: Callable[[_T], _R], count: int) -> Iterator[_R]:
    """Apply `work` to each of `items` in threads, at most `count` ahead of the consumer; results in order."""
    with _threads() as pool:
        waiting: deque[Future[_R]] = deque()
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > count:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def in_turns(items: Iterable[_T], work: Callable[[_T], _R], count: int) -> Iterator[_R]:
    """Apply `work` to `count` of `items` at a time, in threads; results in order.

    For work that needs all cores, for a consumer that needs them too: threads of one model wait for each other, so that
    whoever takes a core from one of them keeps the others waiting.
    """
    items = iter(items)
    with _threads() as pool:
        while some := list(itertools.islice(items, count)):
            yield from pool.map(work, some)


def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max(2, os.cpu_count() or 2), "decode")
