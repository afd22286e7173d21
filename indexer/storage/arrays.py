"""Load NumPy's own files: without pickle, and with one error for whatever a damaged one makes NumPy raise."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any, Literal

import numpy as np


class DamagedArray(Exception):
    """A .npy or .npz file cannot be read; the message is one line."""


def load_array(file: Path | IO[bytes], mmap_mode: Literal["r"] | None = None) -> Any:
    """The array in a .npy file. Raises DamagedArray; OSError where there is no such file."""
    try:
        return np.load(file, mmap_mode=mmap_mode, allow_pickle=False)
    except FileNotFoundError:
        raise
    except Exception as error:  # a header is parsed as Python, and may fail as such
        raise DamagedArray(_line(error)) from error


def load_arrays(path: Path) -> dict[str, Any]:
    """The arrays in a .npz file, by name. Raises DamagedArray."""
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except Exception as error:
        raise DamagedArray(_line(error)) from error


def _line(error: BaseException) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
