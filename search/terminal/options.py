"""Options that several commands share, each with its help.

The options of `query` and `rank` are the fields of QueryOptions, those of `index` the fields of IndexOptions:
`with_options` gives a command one for each field.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, get_origin, get_type_hints

import typer

from fsearch.indexer.device import Device
from fsearch.indexer.losses.choices import Split
from fsearch.indexer.sources.kind import Kind
from fsearch.search.options import EngineName
from fsearch.search.terminal import completion

HERE = Path(".fsearch")
_KEYWORD = inspect.Parameter.KEYWORD_ONLY
_GROUP_BY = "Column that tells repeats, as frames of a video; near-duplicates, the default, finds them."

WorkspaceOption = Annotated[
    Path,
    typer.Option("--workspace", "-w", envvar="FSEARCH_WORKSPACE", help="Folder of the workspace.", show_envvar=True),
]
ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="Which black box, where there are several.", autocompletion=completion.models),
]
QuietOption = Annotated[
    bool, typer.Option("--quiet", help="Print nothing but errors: no progress, no word of success.")
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
ExplainOption = Annotated[bool, typer.Option("--explain", help="Print every number and the rule behind each verdict.")]
NearestOption = Annotated[
    bool, typer.Option("--nearest", help="Print the nearest images, not those that fail and those that do not.")
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Seed of everything random; stored with the result.")]
SplitOption = Annotated[Split | None, typer.Option(help="Was the model trained on these images, or not?")]
KindOption = Annotated[
    Kind | None,
    typer.Option(help="What IMAGES is, where that is not clear; imagefolder takes folders for labels."),
]
ImageColumnOption = Annotated[str | None, typer.Option(help="Column of a table that holds paths, URLs or images.")]
RootOption = Annotated[
    Path | None, typer.Option(help="Folder that a table's paths are relative to; its own by default.")
]
AllowOutsideOption = Annotated[bool, typer.Option("--allow-outside", help="Let a table name files outside its root.")]
AllowPrivateHostsOption = Annotated[
    bool,
    typer.Option("--allow-private-hosts", help="Let URLs in a table lead to hosts at private addresses, as 10.0.0.7."),
]
RowsWhereOption = Annotated[
    str | None,
    typer.Option("--where", help='Only images whose own columns fulfil an SQL predicate, e.g. "year > 2020".'),
]
SampleOption = Annotated[int | None, typer.Option(min=1, help="Only so many images, drawn at random by --seed.")]
LimitOption = Annotated[int | None, typer.Option(min=1, help="Only so many images, from the beginning.")]
DeviceOption = Annotated[Device, typer.Option(help="Compute device; auto picks CUDA if available.")]
EncoderOption = Annotated[
    str | None,
    typer.Option("--encoder", help="The workspace's encoder, named again where it is code of your own: module:name."),
]
TextVectorOption = Annotated[
    Path | None,
    typer.Option("--text-vector", help=".npy of one embedding a phrase, taken instead of the text encoder's."),
]
GroupByOption = Annotated[str | None, typer.Option("--group-by", help=_GROUP_BY, autocompletion=completion.groupings)]
EngineOption = Annotated[
    EngineName,
    typer.Option(help="Work in this process, or on a Ray cluster (install the extra 'ray')."),
]
AddressOption = Annotated[
    str | None, typer.Option(help="With --engine ray: the cluster, e.g. HOST:6379; one on this machine by default.")
]
KEY_COLUMN_HELP = "Column of the file that names images; by default found by its name."
IGNORE_UNKNOWN_HELP = "Leave out rows that name no known image, and count them."
INDEX: dict[str, Any] = {  # one for each field of IndexOptions
    "model": typer.Option("--model", help="Name of the black box the losses come from."),
    "encoder": Annotated[
        str | None,
        typer.Option(
            help="demo (the default), an open_clip architecture, config.json, local-dir:FOLDER, hf-hub:ORG/NAME, or "
            "module:name of your own."
        ),
    ],
    "weights": typer.Option(help="Hub tag, or a local .safetensors or .pt file."),
    "embeddings": Annotated[
        Path | None,
        typer.Option(help=".npy, .npz or .parquet of the images' embeddings, taken instead of running an encoder."),
    ],
    "keys": Annotated[
        Path | None, typer.Option(help="Names of the images of a .npy, one a line; by default STEM.keys.txt beside it.")
    ],
    "no_text_encoder": typer.Option(
        "--no-text-encoder", help="With --embeddings: no encoder embeds phrases; query takes --text-vector."
    ),
    "key_column": typer.Option("--key-column", help=KEY_COLUMN_HELP),
    "ignore_unknown": typer.Option("--ignore-unknown", help=IGNORE_UNKNOWN_HELP),
    "split": typer.Option(help="Was the model trained on these images, or not?"),
    "templates": Annotated[
        list[str] | None,
        typer.Option(
            "--template",
            help='Prompt template with a {} placeholder; repeat to average: "a photo of a person with {}".',
        ),
    ],
    "memory_gib": typer.Option(
        "--memory-gib", help="The most that the FAISS index may take; by default half of the memory."
    ),
    "recall": typer.Option(
        help="Share of the true nearest images that an index too large to be exact must find (0.95)."
    ),
    "group_by": typer.Option("--group-by", help=_GROUP_BY, autocompletion=completion.groupings),
    "device": typer.Option(help="Compute device; auto picks CUDA if available."),
    "engine": typer.Option(help="Work in this process, or on a Ray cluster (install the extra 'ray')."),
    "address": typer.Option(help="With --engine ray: the cluster, e.g. HOST:6379; one on this machine by default."),
    "staging": typer.Option(
        help="With --engine ray: a folder that all machines see, or an fsspec URL; by default W/staged."
    ),
    "sizes": None,
}
QUERY: dict[str, Any] = {  # one for each field of QueryOptions
    "top": typer.Option("--top", min=1, max=100, help="Images of each kind shown with a phrase."),
    "where": typer.Option(
        help="Ask only about images that fulfil an SQL predicate, e.g. \"label = 'smiling'\".",
        autocompletion=completion.columns,
    ),
    "by": typer.Option(help="Ask again within each value of a column, e.g. label.", autocompletion=completion.columns),
    "bridge": typer.Option(
        "--bridge", help="Text-to-image bridge: membership, or raw for comparison; the others are gone."
    ),
    "fdr": typer.Option(
        "--fdr", help="Correction of p to q: Benjamini-Hochberg, or Benjamini-Yekutieli under any dependence."
    ),
    "seed": typer.Option("--seed", min=0, help="Seed of everything random; stored with the result."),
    "device": typer.Option(help="Compute device; auto picks CUDA if available."),
}
COMPARE: dict[str, Any] = {  # one for each field of CompareOptions
    "top": typer.Option("--top", min=1, max=100, help="Images given with a phrase in --json."),
    "where": typer.Option(
        help="Compare only on images that fulfil an SQL predicate on what is known of them, "
        "e.g. \"label = 'smiling'\".",
        autocompletion=completion.columns,
    ),
    "standardise": typer.Option(
        "--standardise",
        help="For losses on two scales: each less its mean, in its standard deviations; the whole is then the same.",
    ),
    "discover": typer.Option(
        "--discover",
        help="Also find what nobody listed: half of the images propose it, the other half judges; alone, without FILE.",
    ),
    "fdr": QUERY["fdr"],
    "seed": QUERY["seed"],
    "device": QUERY["device"],
}


DISCOVER: dict[str, Any] = {  # one for each field of DiscoverOptions
    "top": QUERY["top"],
    "where": typer.Option(
        help="Only images that fulfil an SQL predicate propose and judge.", autocompletion=completion.columns
    ),
    "columns": Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            help="Try only this column's values; repeat for several. By default all that tell no loss.",
            autocompletion=completion.columns,
        ),
    ],
    "llm": typer.Option(
        "--llm", help="Let a language model propose phrases too: a server of OpenAI's chat completions, http://HOST/v1."
    ),
    "llm_model": typer.Option("--llm-model", help="Its model; by default the first that it lists."),
    "send_images": typer.Option(
        "--send-images", help="Let it see a dozen small pictures, and not only what was found of phrases."
    ),
    "rounds": typer.Option("--rounds", min=1, max=10, help="How often it is asked."),
    "fdr": QUERY["fdr"],
    "seed": QUERY["seed"],
    "device": QUERY["device"],
}


def with_options(kind: type, declared: Mapping[str, Any]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Decorator for a command with a parameter `options`: one option of the command line for each field of `kind`.

    `declared` holds for each field of the dataclass `kind` a typer.Option, of the field's own type and default; an
    Annotated type with one, where the command line takes another type; or None, where it does not ask.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        hints = get_type_hints(kind)
        own = [p for p in inspect.signature(command, eval_str=True).parameters.values() if p.name != "options"]
        given = [
            inspect.Parameter(
                f.name, _KEYWORD, default=f.default, annotation=_annotation(hints[f.name], declared[f.name])
            )
            for f in dataclasses.fields(kind)
            if declared[f.name] is not None
        ]

        @functools.wraps(command)
        def with_fields(**values: Any) -> None:
            fields = {p.name: values.pop(p.name) for p in given}
            command(**values, options=kind(**fields))

        parameters = [*(p.replace(kind=_KEYWORD) for p in own), *given]
        with_fields.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_fields.__annotations__ = {p.name: p.annotation for p in parameters}
        return with_fields

    return decorate


def _annotation(hint: Any, declared: Any) -> Any:
    return declared if get_origin(declared) is Annotated else Annotated[hint, declared]
