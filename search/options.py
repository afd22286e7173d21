"""Options of commands, as the Python API takes them too. Light to import: the command line reads them for its help."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from fsearch.diagnoser.choices import BridgeName, Correction
from fsearch.indexer.device import Device
from fsearch.indexer.embedding.batch_sizes import DEFAULT_SIZES, BatchSizes
from fsearch.indexer.losses.choices import ScoreKind, Split

if TYPE_CHECKING:
    from fsearch.indexer.losses.blackbox.preprocess import InputOptions

Form = Literal["coco", "hf", "croissant", "fiftyone", "spotlight", "embedding-atlas"]
EngineName = Literal["local", "ray"]
Named = Any  # an encoder as a caller names it: a name, or an object of the caller's own
Progress = Callable[[str, int, int], None]  # (what, done, in all)


@dataclass(frozen=True, slots=True)
class QueryOptions:
    """How phrases are judged; the options of `fsearch query` and `rank`. Stored with a run.

    Attributes
    ----------
    top : images of each kind given with each phrase: failing, passing, nearest.
    where : SQL predicate on the view `examples`: only such images are asked about, the baseline included.
    by : column of `examples`: the question is asked again within each of its values.
    bridge : how text is taken to image space: "membership", or "raw" for comparison; others are of version 0.1.
    fdr : correction of p-values to q-values: "bh", or "by" under any dependence between phrases.
    seed : of everything random.
    device : compute device for phrases, and for an index that is searched for many of them.
    """

    top: int = 8
    where: str | None = None
    by: str | None = None
    bridge: BridgeName = "membership"
    fdr: Correction = "bh"
    seed: int = 0
    device: Device = "auto"


@dataclass(frozen=True, slots=True)
class CompareOptions:
    """How two models are compared; the options of `fsearch compare`. Stored with a comparison.

    Attributes
    ----------
    top : images given with each phrase, of those that moved as it did.
    where : SQL predicate on the view `examples`: only such images are asked about. It may not name what a model said.
    standardise : take each model's losses less their mean, in their standard deviations; for losses on two scales.
    discover : also look for what nobody listed: half of the images propose it, the other half judges.
    fdr : correction of p-values to q-values: "bh", or "by" under any dependence between phrases.
    seed : of everything random.
    device : compute device for phrases, and for an index that is searched for many of them.
    """

    top: int = 8
    where: str | None = None
    standardise: bool = False
    discover: bool = False
    fdr: Correction = "bh"
    seed: int = 0
    device: Device = "auto"


@dataclass(frozen=True, slots=True)
class IndexOptions:
    """How a data set is indexed: everything but the images and the losses themselves; the options of `fsearch index`.

    Attributes
    ----------
    model : name of the black box the losses come from.
    encoder, weights : "demo"; an open_clip name, or a configuration .json, with a hub tag or local file; a folder
        `local-dir:FOLDER` or repository `hf-hub:ORG/NAME`; or an encoder of your own, as `module:attribute` or the
        object itself, with embed_images, embed_texts, dim and logit_scale. Remembered by the workspace.
    embeddings : .npy, .npz or .parquet of the images' embeddings; `encoder` then names their text side.
    keys : names of the images of a .npy, one a line; by default STEM.keys.txt beside it.
    no_text_encoder : with `embeddings`: there is no text side, and queries bring `text_vectors`.
    key_column : the column of the losses file that names images; by default found by its name.
    ignore_unknown : leave out rows of the losses file that name no known image, and count them.
    split : whether the losses are of images the model was trained on ("train") or not ("held-out").
    templates : prompt templates with a {} placeholder, averaged in text space. Remembered.
    memory_gib : the most that the FAISS index may take; by default half of this machine's. Remembered.
    recall : the share of the true nearest images it must find, where it is not exact; 0.95 at first. Remembered.
    device : compute device; by default the GPU where there is one.
    engine : "local" embeds in this process, "ray" on the Ray cluster at `address` (one on this machine by default).
    staging : with "ray", a folder that every machine sees, or an fsspec URL; by default inside the workspace.
    group_by : column of the images that says which are repeats (frames of one video), or "near-duplicates", which are
        found by their embeddings (the default): repeats are no independent evidence. Remembered.
    sizes : how the run is cut into pieces; no result depends on it, so the command line does not ask.
    """

    model: str = "model"
    encoder: Named | None = None
    weights: str | None = None
    embeddings: str | os.PathLike[str] | None = None
    keys: str | os.PathLike[str] | None = None
    no_text_encoder: bool = False
    key_column: str | None = None
    ignore_unknown: bool = False
    split: Split | None = None
    templates: Sequence[str] | None = None
    memory_gib: float | None = None
    recall: float | None = None
    device: Device = "auto"
    engine: EngineName = "local"
    address: str | None = None
    staging: str | None = None
    group_by: str | None = None
    sizes: BatchSizes = DEFAULT_SIZES


@dataclass(frozen=True, slots=True)
class BlackBoxOptions:
    """A black box that `index` runs on the images as it embeds them; the words are those of `losses.add`.

    Attributes
    ----------
    black_box, task, target, classes, index_base, scores, params, input : see `losses.add`.
    weights : checkpoint of a timm model; on the command line --black-box-weights, since --weights are the encoder's.
    """

    black_box: Any
    task: str | None
    target: str | Sequence[str] = ()
    classes: Sequence[str] = ()
    index_base: int | None = None
    scores: ScoreKind | None = None
    params: Mapping[str, float] | None = None
    weights: str | os.PathLike[str] | None = None
    input: InputOptions | None = None


@dataclass(frozen=True, slots=True)
class DiscoverOptions:
    """How failures that nobody listed are looked for; the options of `fsearch discover`. Stored with the run.

    Attributes
    ----------
    top : images of each kind given with each finding: failing, passing, nearest.
    where : SQL predicate on the view `examples`: only such images propose and judge.
    columns : the only columns of `examples` whose values are tried; by default all that do not tell the loss.
    llm : address of a server of OpenAI's chat completions that proposes phrases too; none by default.
    llm_model : its model; by default the first it lists.
    send_images : whether it sees small pictures of the proposing half, and not only what was said of phrases.
    rounds : how often it is asked.
    fdr : correction of p-values to q-values over everything proposed: "bh", or "by" under any dependence.
    seed : of everything random.
    device : compute device for phrases, and for an index that is searched for many of them.
    """

    top: int = 8
    where: str | None = None
    columns: Sequence[str] | None = None
    llm: str | None = None
    llm_model: str | None = None
    send_images: bool = False
    rounds: int = 3
    fdr: Correction = "bh"
    seed: int = 0
    device: Device = "auto"


def named(progress: Progress | None, what: str) -> Callable[[int, int], None] | None:
    """`progress` for one kind of work."""
    return (lambda done, total: progress(what, done, total)) if progress else None
