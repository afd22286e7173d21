"""The tensors of a PyTorch checkpoint, as training programs save it, without running anything that it names."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fsearch.indexer.errors import BadInputError

_STATES = ("state_dict_ema", "model_ema", "state_dict", "model_state_dict", "model", "net", "module")  # as timm looks
_WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "_forward_module.")  # of DataParallel, compile, Lightning


_USUAL = (  # what training programs put beside tensors; files of the older kind are not searched for names
    "argparse.Namespace",
    "pathlib.PosixPath",
    "pathlib.WindowsPath",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
    "numpy.dtype",
    "_codecs.encode",
)


class _Inert:
    """Stands for an object of any class that a checkpoint names beside its tensors: settings, paths, numbers."""

    def __new__(cls, *_: Any, **__: Any) -> _Inert:
        return object.__new__(cls)

    def __setstate__(self, _: Any) -> None:
        pass


def read_state(weights: Path) -> tuple[dict[str, Any], str]:
    """The tensors by name, and the entry of the file they were in ("" for the file itself).

    What else a file holds (settings, an optimiser) is not built: each class that it names is replaced by one that does
    nothing. Raises BadInputError where the file cannot be read, or holds no tensors by name.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        content = load_file(weights) if weights.suffix == ".safetensors" else _load(weights)
    except BadInputError:
        raise
    except (SafetensorError, OSError, RuntimeError, ValueError, EOFError, KeyError) as error:
        raise BadInputError(f"{weights} cannot be loaded: {str(error).splitlines()[0]}") from error
    except Exception as error:  # an unpickling error: the file holds what no stand-in can take
        raise BadInputError(f"{weights} holds more than tensors and is refused; save its state_dict") from error
    if isinstance(content, Mapping):
        entry = next((k for k in _STATES if _is_state(content.get(k))), "")
        state: Any = content[entry] if entry else content
        if _is_state(state):
            return {str(k): v for k, v in state.items() if hasattr(v, "shape")}, entry
    raise BadInputError(f"{weights} holds no tensors by name; save its state_dict")


def fitting(state: Mapping[str, Any], names: set[str]) -> dict[str, Any]:
    """The tensors under the `names` that a model has: without the prefixes of wrappers that all of them share."""
    found = dict(state)
    while not names & found.keys():
        prefix = next((w for w in _WRAPPERS if any(k.startswith(w) for k in found)), None)
        if prefix is None:
            return found
        found = {k.removeprefix(prefix): v for k, v in found.items() if k.startswith(prefix)}
    return {k.replace("_orig_mod.", ""): v for k, v in found.items()}


def _is_state(value: Any) -> bool:
    return isinstance(value, Mapping) and any(hasattr(v, "shape") for v in value.values())


def _load(weights: Path) -> Any:
    import torch

    with torch.serialization.safe_globals(_stand_ins(weights)):
        return torch.load(weights, map_location="cpu", weights_only=True)


def _stand_ins(weights: Path) -> list[Any]:
    """`_Inert` under the name of each class that torch would refuse."""
    import torch

    if not zipfile.is_zipfile(weights):
        return [(_Inert, name) for name in _USUAL]
    names = torch.serialization.get_unsafe_globals_in_checkpoint(weights)
    return [(_Inert, name) for name in names if re.fullmatch(r"[\w.<>]+", name)]
