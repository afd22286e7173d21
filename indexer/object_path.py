"""Import a user's Python object by its path `module:name`, as ASGI servers import an application."""

from __future__ import annotations

import importlib
import os
import re
import sys
from typing import Any

from fsearch.indexer.errors import BadInputError

_NAMED = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


def is_named(text: str) -> bool:
    """Whether `text` has the form `module:name`."""
    return bool(_NAMED.fullmatch(text))


def load_object(name: str, what: str) -> Any:
    """The object that `module:name` names; modules in the current folder are found too.

    `what` describes it in messages. Raises BadInputError where there is no such module or name, or importing it fails.
    """
    if not is_named(name):
        raise BadInputError(f"{what} {name!r}: write module:name")
    module_name, attributes = name.split(":")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        found = importlib.import_module(module_name)
    except Exception as error:  # the module is the user's and may raise anything
        reason = str(error).splitlines()[0] if str(error) else ""
        raise BadInputError(
            f"{what} {name!r}: importing {module_name} raised {type(error).__name__}: {reason}"
        ) from error
    for attribute in attributes.split("."):
        if not hasattr(found, attribute):
            raise BadInputError(f"{what} {name!r}: there is no {attribute!r} in {module_name}")
        found = getattr(found, attribute)
    return found
