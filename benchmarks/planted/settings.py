"""Every setting by name, with its family: a function of the sources and a seed that makes a World."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from benchmarks.planted import clip_sets, real_clip, worlds
from benchmarks.planted.pool import Pool, make_pool
from benchmarks.planted.world import World

DEV_POOL, HELD_OUT_POOL = 900, 1000  # seeds of the portraits


@dataclass(frozen=True)
class Sources:
    """What worlds are made from: real CLIP sets in the folder `clip`, and portraits, kept in the folder `cache`."""

    clip: Path | None
    cache: Path | None
    held_out: bool

    @cached_property
    def pool(self) -> Pool:
        """The portraits; those of held-out seeds are others."""
        return make_pool(HELD_OUT_POOL if self.held_out else DEV_POOL, cache=self.cache)

    @property
    def clip_folder(self) -> Path:
        """The folder of the real CLIP sets. Raises ValueError where none was named."""
        if self.clip is None:
            raise ValueError("this setting needs the real CLIP sets; name their folder: --clip FOLDER")
        return self.clip


@dataclass(frozen=True)
class Setting:
    """A family of worlds: `make(sources, seed)` plants one."""

    family: str
    make: Callable[[Sources, int], World]


def _portraits(plant: Callable[..., World]) -> Setting:
    return Setting("portraits", lambda sources, seed: plant(sources.pool, seed))


def _clip(plant: Callable[..., World], *names: str) -> Setting:
    return Setting("clip", lambda sources, seed: plant(sources.clip_folder, *names, seed))


SETTINGS: dict[str, Setting] = {
    **{name: _portraits(plant) for name, plant in worlds.PORTRAITS.items()},
    "clip-pairs": _clip(real_clip.clusters_fail),
    **{name: _clip(clip_sets.classes_fail, name) for name in clip_sets.SETS},
    "clip-caltech-halves": _clip(clip_sets.parts_fail, "clip-caltech"),
}


def chosen(names: str) -> list[str]:
    """Settings named by themselves or by their family, separated by commas. Raises ValueError for another name."""
    found: list[str] = []
    for name in names.split(","):
        own = [s for s, setting in SETTINGS.items() if name in (s, setting.family)]
        if not own:
            raise ValueError(f"no setting {name!r}; there are: {', '.join(SETTINGS)}")
        found += [s for s in own if s not in found]
    return found
