"""YAML of the user's, as plain data: no tags, no aliases, and no more than fits.

An alias lets a file of a few hundred bytes stand for more than any memory holds. In a phrase, 12:30:45, a date or `yes`
would become what nobody wrote.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

MAX_BYTES = 64 * 2**20


def read_yaml(path: Path, *, text: bool = False) -> Any:
    """The content of a YAML file; with `text`, scalars are text, but for null.

    Raises yaml.YAMLError for what is no YAML or has an alias, ValueError where it is too large or no UTF-8.
    """
    import yaml

    class Loader(yaml.SafeLoader):
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise yaml.YAMLError("an alias (*name) is refused; write it out")
            return super().compose_node(parent, index)

    if text:
        known = yaml.SafeLoader.yaml_implicit_resolvers.items()
        Loader.yaml_implicit_resolvers = {c: [r for r in rules if r[0].endswith(":null")] for c, rules in known}
    with path.open("rb") as file:
        data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    return yaml.load(data.decode("utf-8-sig"), Loader)  # noqa: S506 - a SafeLoader
