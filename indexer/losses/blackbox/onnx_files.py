"""The files beside an ONNX model that hold its weights, read from the model's own protobuf without the library onnx.

Only the fields on the way to a tensor's `external_data` are followed; see onnx.proto.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from pathlib import Path

_GRAPH, _NODE, _INITIALIZER, _SPARSE, _ATTRIBUTE, _EXTERNAL = "graph", "node", "tensor", "sparse", "attribute", "entry"
_FIELDS = {  # message: {number of a field that is followed: the message it holds}
    "model": {7: _GRAPH, 25: "function"},
    "function": {7: _NODE},
    _GRAPH: {1: _NODE, 5: _INITIALIZER, 15: _SPARSE},
    _NODE: {5: _ATTRIBUTE},
    _ATTRIBUTE: {5: _INITIALIZER, 6: _GRAPH, 10: _INITIALIZER, 11: _GRAPH, 22: _SPARSE, 23: _SPARSE},
    _SPARSE: {1: _INITIALIZER, 2: _INITIALIZER},
    _INITIALIZER: {13: _EXTERNAL},
}
_MOST_NESTED = 32


def external_files(model: Path) -> list[Path]:
    """The files that the tensors of `model` lie in, sorted; those that are there. Damage ends the search."""
    found = set()
    with model.open("rb") as file:
        if model.stat().st_size == 0:
            return []
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            for location in _locations(data, 0, len(data), "model", 0):
                path = model.parent / location
                if path.is_file() and path.resolve().is_relative_to(model.parent.resolve()):
                    found.add(path)
    return sorted(found)


def _locations(data: mmap.mmap, start: int, end: int, message: str, depth: int) -> Iterator[str]:
    """The values of `location` in the external data below a message."""
    if message == _EXTERNAL:
        key, value = _entry(data, start, end)
        if key == "location":
            yield value
        return
    for field, place, stop in _parts(data, start, end):
        inner = _FIELDS[message].get(field)
        if inner is not None and depth < _MOST_NESTED:
            yield from _locations(data, place, stop, inner, depth + 1)


def _entry(data: mmap.mmap, start: int, end: int) -> tuple[str, str]:
    """Key and value of a StringStringEntryProto."""
    texts = {field: data[place:stop].decode("utf-8", "replace") for field, place, stop in _parts(data, start, end)}
    return texts.get(1, ""), texts.get(2, "")


def _parts(data: mmap.mmap, start: int, end: int) -> Iterator[tuple[int, int, int]]:
    """Number, begin and end of each field of a message that has a length; numbers are passed over."""
    place = start
    while place < end:
        tag, place = _varint(data, place, end)
        kind = tag & 7
        if kind == 0:
            _, place = _varint(data, place, end)
        elif kind in (1, 5):
            place += 8 if kind == 1 else 4
        elif kind == 2:
            length, place = _varint(data, place, end)
            if place + length > end:
                return
            yield tag >> 3, place, place + length
            place += length
        else:
            return


def _varint(data: mmap.mmap, place: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while place < end and shift < 64:
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place
    return value, end
