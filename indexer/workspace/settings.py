"""The settings of a workspace, read from its catalog: refused where they are not what fsearch writes."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path

from fsearch.indexer.errors import WorkspaceError
from fsearch.indexer.vector_index.index_stats import IndexConfig
from fsearch.indexer.workspace import calibration
from fsearch.indexer.workspace.calibration import Calibration
from fsearch.indexer.workspace.encoder_spec import EncoderSpec

_MAX_DIM = 65_536
_MAX_TEXT = 1_000_000  # characters of one setting; a configuration of an encoder has thousands
_MAX_TEMPLATES = 1000


Parsed = tuple[EncoderSpec, tuple[str, ...], IndexConfig, Calibration | None]


def parsed(settings: Mapping[str, str], where: Path) -> Parsed:
    """Encoder, templates, constraints on the index, calibration. Raises WorkspaceError where they are not fsearch's."""
    try:
        if any(not isinstance(value, str) or len(value) > _MAX_TEXT for value in settings.values()):
            raise ValueError("a value is no text, or too long")
        encoder = EncoderSpec.from_settings(dict(settings))
        if not 0 < encoder.dim <= _MAX_DIM:
            raise ValueError(f"dim is {encoder.dim}")
        templates, config = _templates(settings.get("templates", "[]")), _config(settings.get("index", "{}"))
        return encoder, templates, config, Calibration.from_json(settings.get(calibration.SETTING, ""))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise WorkspaceError(f"the settings in {where} are not fsearch's: {str(error)[:120]}") from error


def _templates(text: str) -> tuple[str, ...]:
    found = json.loads(text)
    if not isinstance(found, list) or len(found) > _MAX_TEMPLATES:
        raise ValueError("templates is no list of them")
    for template in found:
        # phrases are put in by str.format, which would follow what other braces say
        if not isinstance(template, str) or template.count("{}") != 1 or set("{}") & set(template.replace("{}", "", 1)):
            raise ValueError(f"the template {str(template)[:40]!r}")
    return tuple(found)


def _config(text: str) -> IndexConfig:
    config = IndexConfig.from_json(text)
    numbers = (config.recall, config.exact_rows, 1.0 if config.memory_gib is None else config.memory_gib)
    if any(type(n) not in (int, float) or not math.isfinite(n) or n <= 0 for n in numbers) or config.recall > 1:
        raise ValueError(f"index is {text[:40]}")
    return config
