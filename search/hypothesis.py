"""A phrase to ask about, and what the encoder reads for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fsearch.indexer.errors import BadInputError


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A phrase to ask about. `template`, if any, holds {} where the text goes before it is embedded."""

    text: str
    group: str | None = None
    template: str | None = None

    def prompts(self, templates: Sequence[str] = ()) -> tuple[str, ...]:
        """What the encoder reads: the phrase in its own template, else in each of `templates`, else as it is."""
        used = (self.template,) if self.template else tuple(templates) or ("{}",)
        return tuple(t.format(self.text) for t in used)


def check_template(template: str, where: str) -> str:
    """`template`, which must hold {} once and no other brace. Raises BadInputError naming `where`."""
    if template.count("{}") != 1 or set("{}") & set(template.replace("{}", "", 1)):
        raise BadInputError(f"{where}: the template {template!r} must hold {{}} once, where the phrase goes")
    return template
