"""Which workspaces this user trusts, and with what: a record in the user's own configuration, outside any workspace.

A workspace may come from somebody else. What it says of an encoder or a data set is neither loaded, read nor fetched
unless the person names it in this call, or has trusted exactly that before: by making the workspace with it, or by
`fsearch trust`. Code is trusted by `fsearch trust` alone. The record is of a path and of what is named there: neither
another workspace put in its place nor a name changed in it inherits the trust.

The record is in $FSEARCH_CONFIG, else $XDG_CONFIG_HOME/fsearch, else ~/.config/fsearch.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.files import write_atomic
from fsearch.indexer.storage.inside import remove


def config_folder() -> Path:
    """The user's configuration of fsearch; it may not exist yet. Raises RuntimeError where there is no home."""
    if own := os.environ.get("FSEARCH_CONFIG"):
        return Path(own)
    base = os.environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "fsearch"


def is_trusted(root: Path, thing: str) -> bool:
    """Whether the workspace at `root` was trusted with `thing`: a text that says all of an encoder or a source."""
    try:
        return _digest(thing) in _read(_record(root))
    except RuntimeError:
        return False


def remember(root: Path, things: Iterable[str]) -> bool:
    """Trust the workspace at `root` with `things` from now on; False where that cannot be recorded."""
    try:
        record = _record(root)
        known, new = _read(record), {_digest(thing) for thing in things}
        if not new <= known:
            record.parent.mkdir(parents=True, exist_ok=True)
            content = {"workspace": str(root.resolve()), "trusted": sorted(known | new)}
            write_atomic(record, json.dumps(content, indent=1).encode())
    except (OSError, RuntimeError):
        return False
    return True


def forget(root: Path) -> bool:
    """Trust the workspace at `root` with nothing any more; returns whether it was trusted with anything."""
    try:
        return remove(_record(root))
    except (OSError, RuntimeError) as error:
        raise BadInputError(f"the record of trust cannot be changed: {error}") from error


def _record(root: Path) -> Path:
    return config_folder() / "trusted" / f"{_digest(str(root.resolve()))[:32]}.json"


def _read(record: Path) -> set[str]:
    with contextlib.suppress(OSError, ValueError, TypeError, KeyError):
        return set(json.loads(record.read_bytes())["trusted"])
    return set()


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()
