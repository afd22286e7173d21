"""Where models run: on the GPU where there is one, or where the user says."""

from __future__ import annotations

from typing import Literal, get_args

from fsearch.indexer.errors import BadInputError, require_one_of

Device = Literal["auto", "cpu", "cuda"]


def choose(asked: Device = "auto") -> str:
    """What torch calls it: "cpu" or "cuda". Raises BadInputError for a GPU that torch does not see."""
    import torch

    require_one_of("device", asked, get_args(Device))
    there = torch.cuda.is_available()
    if asked == "cuda" and not there:
        raise BadInputError("--device cuda: torch sees no GPU here (does nvidia-smi?); leave --device out for the CPU")
    return "cuda" if there and asked != "cpu" else "cpu"
