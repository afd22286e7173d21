"""Every setting by name, with its family: a function of the sources and a seed that makes a World."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, lru_cache
from pathlib import Path

from benchmarks.calibration.ship import taught
from benchmarks.calibration.unseen import SINGLE
from benchmarks.planted import clip_sets, drawn, real_clip, scene_worlds, worlds
from benchmarks.planted.pool import POOL, Pool, make_pool
from benchmarks.planted.scene_worlds import ScenePool, make_scenes
from benchmarks.planted.world import World

from fsearch.indexer.workspace.calibration import Calibration

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

    @cached_property
    def scenes(self) -> ScenePool:
        """The scenes, and their encoder."""
        seed = HELD_OUT_POOL if self.held_out else DEV_POOL
        return make_scenes(seed, self.cache or Path("build/planted"))

    def pool_of(self, count: int) -> Pool:
        """At least `count` portraits."""
        if count <= POOL // 2:
            return self.pool
        return _large_pool((HELD_OUT_POOL if self.held_out else DEV_POOL) + 1, count, self.cache)

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


@lru_cache(maxsize=1)
def _large_pool(seed: int, count: int, folder: Path | None) -> Pool:
    return make_pool(seed, count, folder)


def _portraits(plant: Callable[..., World]) -> Setting:
    return Setting("portraits", lambda sources, seed: plant(sources.pool, seed))


def _clip(plant: Callable[..., World], *names: str) -> Setting:
    return Setting("clip", lambda sources, seed: plant(sources.clip_folder, *names, seed))


def _negated(name: str) -> Setting:
    return Setting("negated", lambda sources, seed: clip_sets.classes_fail(sources.clip_folder, name, seed).negated())


def _taught(name: str) -> Setting:
    """The encoder is calibrated, as it is shipped, but by the other labelled sets alone."""
    return Setting("taught", lambda sources, seed: _calibrated(name, sources.clip_folder, seed))


def _calibrated(name: str, folder: Path, seed: int) -> World:
    world = clip_sets.classes_fail(folder, name, seed)
    known = _others_teach(folder, name)
    setting = f"taught-{name.removeprefix('clip-')}"
    return replace(world, setting=setting, reference=world.reference.calibrated(known))


@cache
def _others_teach(folder: Path, name: str) -> Calibration:
    return taught(folder, [other for other in SINGLE if other != name])


def _drawn(family: str, plant: Callable[..., World], *how: float | str, size: int = 0) -> Setting:
    return Setting(family, lambda sources, seed: plant(sources.pool_of(size), seed, *how))


_FRAMES = {
    f"frames-{clips}x{each}-{correlation:g}{'' if failing else '-null'}": _drawn(
        "frames", drawn.frames, clips, each, correlation, failing
    )
    for clips, each in ((100, 30), (300, 10), (300, 3))
    for correlation in (1.0, 0.5, 0.1)
    for failing in (True, False)
}
_LOSSES = {
    f"losses-{kind}{'' if failing else '-null'}": _drawn("losses", drawn.losses, kind, failing)
    for kind in drawn.KINDS
    for failing in (True, False)
}
SETTINGS: dict[str, Setting] = {
    **{name: _portraits(plant) for name, plant in worlds.PORTRAITS.items()},
    "clip-pairs": _clip(real_clip.clusters_fail),
    **{name: _clip(clip_sets.classes_fail, name) for name in clip_sets.SETS},
    "clip-halves": _clip(clip_sets.parts_fail, "clip-caltech"),
    **{f"taught-{name.removeprefix('clip-')}": _taught(name) for name in SINGLE if name in clip_sets.SETS},
    **{f"negated-{name.removeprefix('clip-')}": _negated(name) for name in clip_sets.SETS},
    **_FRAMES,
    "scenes": Setting("scenes", lambda sources, seed: scene_worlds.biased(sources.scenes, seed)),
    "scenes-planted": Setting("scenes", lambda sources, seed: scene_worlds.drawn(sources.scenes, seed, True)),
    "scenes-null": Setting("scenes", lambda sources, seed: scene_worlds.drawn(sources.scenes, seed, False)),
    **{f"beside-{n}": _drawn("beside", drawn.beside, n, size=n) for n in (3_000, 20_000)},
    **{f"hidden{name}": _drawn("hidden", drawn.hidden, how) for name, how in (("", True), ("-nothing", False))},
    **{f"prevalence-{share:g}": _drawn("prevalence", drawn.prevalence, share) for share in (0.005, 0.01, 0.5, 0.95)},
    **{f"list-{n}": _drawn("list", drawn.listed, n) for n in (50, 650, 3_000)},
    "list-padded": _drawn("list", drawn.padded),
    **_LOSSES,
    "losses-variance-null": _drawn("losses", drawn.unequal_variance),
    **{f"size-{n}": _drawn("size", drawn.size, n, size=n) for n in (1_000, 3_000, 20_000, 100_000)},
}


def chosen(names: str) -> list[str]:
    """Settings named by themselves or by their family, separated by commas. Raises ValueError for another name."""
    found: list[str] = []
    for name in names.split(","):
        own = [s for s, setting in SETTINGS.items() if name in (s, setting.family) or s.startswith(f"{name}-")]
        if not own:
            raise ValueError(f"no setting {name!r}; there are: {', '.join(SETTINGS)}")
        found += [s for s in own if s not in found]
    return found
