"""YAML of the user's, as plain data: no tags, no aliases, and no more than fits.

An alias lets a file of a few hundred bytes stand for more than any memory holds. In a phrase, 12:30:45, a date or `yes`
would become what nobody wrote.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.storage.regular_files import read_regular

LINE = "\0line"  # the key under which a marked mapping holds the line it begins at
MAX_BYTES = 64 * 2**20
_MAX_SETTINGS = 2**20  # bytes of a file of settings
_MAX_NESTED = 32  # brackets in it


def read_yaml(path: Path, *, text: bool = False, marked: bool = False) -> Any:
    """The content of a YAML file; see `_loaded`. Raises OSError where it is too large."""
    return _loaded(read_regular(path, MAX_BYTES), text=text, marked=marked)


def _loaded(data: bytes, *, text: bool, marked: bool) -> Any:
    """What YAML says; with `text`, scalars are text, but for null.

    With `marked`, each mapping holds its line under LINE, and a key that is given twice is refused: the last would hide
    the first. Raises yaml.YAMLError for what is no YAML or has an alias, ValueError for no UTF-8.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("an alias (*name) is refused; write it out")
            return super().compose_node(parent, index)

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            found = super().construct_mapping(node, deep)
            if not marked:
                return found
            keys = [key.value for key, _ in node.value]
            if twice := next((key for key in keys if keys.count(key) > 1), None):
                raise yaml.YAMLError(f"line {node.start_mark.line + 1}: {twice!r} is given twice")
            return found | {LINE: node.start_mark.line + 1}

    if text:
        known = yaml.SafeLoader.yaml_implicit_resolvers.items()
        Loader.yaml_implicit_resolvers = {c: [r for r in rules if r[0].endswith(":null")] for c, rules in known}
    return yaml.load(data.decode("utf-8-sig"), Loader)  # noqa: S506 - a SafeLoader


def read_settings(path: Path, what: str, *, marked: bool = False) -> Any:
    """What a small YAML file says, None where it is empty. Raises BadInputError where it cannot be read.

    With `marked`, scalars are text and mappings are marked; see `_loaded`.
    """
    try:
        data = read_regular(path, _MAX_SETTINGS)
    except OSError as error:
        raise BadInputError(f"{what} {path} cannot be read: {error.strerror}") from error
    return parse_settings(data, path, marked=marked)


def parse_settings(data: bytes, path: Path, *, marked: bool = False) -> Any:
    """What the bytes of a small YAML file say; errors call it `path`. See `read_settings`."""
    import yaml

    try:
        if _depth(data.decode("utf-8")) > _MAX_NESTED:  # the parser's time is the square of it
            raise BadInputError(f"{path} is no YAML of settings: brackets are nested more than {_MAX_NESTED} deep")
        return _loaded(data, text=marked, marked=marked)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise BadInputError(f"{path} is no YAML: {str(error).splitlines()[0]}") from error


def _depth(text: str) -> int:
    """How deep brackets are nested in a text, at most."""
    steps = (1 if c in "[{" else -1 for c in text if c in "[{]}")
    return max(itertools.accumulate(steps), default=0)
