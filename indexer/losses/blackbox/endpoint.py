"""A black box behind HTTP that speaks the Open Inference Protocol v2 (KServe, Triton, OpenVINO, MLServer).

Requests are concurrent up to a limit, each with a timeout; transient failures are retried with exponential backoff. An
image that still fails is left out with the reason, and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.http import Http, HttpError, first_line
from fsearch.indexer.losses.blackbox.base import Failure, TensorModel, choose_tensor
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Preprocessing, read_shape

_ANSWER_BYTES, _METADATA_BYTES = 2**28, 2**22
_DTYPES = {"FP32": "float32", "UINT8": "uint8"}


class Endpoint(TensorModel):
    """One model of an inference server, at URL/v2/models/NAME."""

    def __init__(
        self,
        url: str,
        options: InputOptions,
        *,
        concurrent: int = 8,
        retries: int = 4,
        backoff: float = 0.25,
        timeout: float = 60.0,
    ) -> None:
        """Ask the server for the model's metadata.

        Parameters
        ----------
        concurrent : requests in flight at once.
        retries : how often a request that failed transiently is repeated.
        backoff : seconds before the second retry; doubled for each further one, at most 10.
        timeout : seconds to wait for an answer, and for all of it.

        Raises BadInputError where the server does not answer, or the model takes no image.
        """
        if "/v2/models/" not in url:
            raise BadInputError(f"{url}: give the model's own address, like http://host:8000/v2/models/NAME")
        self._http = Http(concurrent=concurrent, retries=retries, backoff=backoff, timeout=timeout)
        self._url = url.rstrip("/").removesuffix("/infer")
        metadata = self._metadata()
        tensor = _choose(metadata["inputs"], options.input, "input", url)
        output = _choose(metadata["outputs"], options.output, "output", url) if metadata.get("outputs") else {}
        self._output = options.output or output.get("name")
        self._input, self._datatype = str(tensor["name"]), str(tensor.get("datatype"))
        fixed, preprocessing = _preprocessing(tensor, options, url)
        self._per_request = fixed or 8  # images
        self._pool = ThreadPoolExecutor(concurrent, "endpoint")
        identity = (self._url, str(self._output), str(metadata.get("versions")))
        super().__init__(url, preprocessing, options, *identity, batch=concurrent * self._per_request)

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One prediction, or Failure, per image."""
        batches = [inputs[i : i + self._per_request] for i in range(0, len(inputs), self._per_request)]
        return [row for rows in self._pool.map(self._infer_each, batches) for row in rows]

    def _infer_each(self, batch: Sequence[Any]) -> Sequence[Any]:
        """One request; where it fails, one per image, because one bad image must not cost its neighbours."""
        rows = self._infer(batch)
        if isinstance(rows, Failure) and len(batch) > 1:
            return [row for one in batch for row in self._infer_each([one])]
        return [rows] if isinstance(rows, Failure) else rows

    def _infer(self, batch: Sequence[Any]) -> list[Any] | Failure:
        stacked = np.stack(batch)
        tensor = {"name": self._input, "shape": list(stacked.shape), "datatype": self._datatype}
        body: dict[str, Any] = {"inputs": [tensor | {"data": stacked.reshape(-1).tolist()}]}
        if self._output:
            body["outputs"] = [{"name": self._output}]
        status = 0
        try:
            status, data = self._http.request("POST", f"{self._url}/infer", _ANSWER_BYTES, body)
            response = json.loads(data)
        except HttpError as error:
            return Failure(str(error))
        except (ValueError, RecursionError):
            return Failure(f"HTTP {status}: no JSON came back")
        if status != 200:
            reason = response.get("error") if isinstance(response, dict) else None
            return Failure(f"HTTP {status}: {first_line(reason or 'no reason given')}")
        return self._rows(response, len(batch))

    def _rows(self, response: Any, count: int) -> list[Any] | Failure:
        try:
            outputs = response["outputs"]
            chosen = next((o for o in outputs if o["name"] == self._output), outputs[0])
            rows = np.asarray(chosen["data"], np.float64).reshape(chosen["shape"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            return Failure(f"the answer is no inference response: {first_line(error)}")
        return list(rows) if len(rows) == count else Failure(f"{len(rows)} predictions came back for {count} images")

    def _metadata(self) -> dict[str, Any]:
        try:
            status, data = self._http.request("GET", self._url, _METADATA_BYTES)
            metadata = json.loads(data) if status == 200 else None
        except (HttpError, ValueError, RecursionError) as error:
            raise BadInputError(f"{self._url} does not answer: {first_line(error)}") from error
        if not isinstance(metadata, dict) or not _tensors(metadata.get("inputs")):
            raise BadInputError(f"{self._url}: HTTP {status}, and no model metadata of the Open Inference Protocol v2")
        if metadata.get("outputs") and not _tensors(metadata["outputs"]):
            raise BadInputError(f"{self._url}: its outputs are no metadata of the Open Inference Protocol v2")
        return metadata


def _tensors(found: Any) -> bool:
    """Whether this is a list of tensors with a name, and a shape if any."""
    return (
        isinstance(found, list)
        and bool(found)
        and all(isinstance(t, dict) and isinstance(t.get("name"), str) for t in found)
        and all(isinstance(t.get("shape", []), list) for t in found)
    )


def _preprocessing(tensor: dict[str, Any], options: InputOptions, url: str) -> tuple[int, Preprocessing]:
    """Fixed batch size (0 for any) and preprocessing for an input tensor of the model's metadata."""
    dtype = _DTYPES.get(str(tensor.get("datatype")))
    if dtype is None:
        raise BadInputError(f"{url}: its input is {tensor.get('datatype')}; fsearch sends FP32 or UINT8 images")
    shape = [d if isinstance(d, int) and d > 0 else None for d in tensor.get("shape", [])]
    try:
        fixed, channels, layout, size = read_shape([None, *shape] if len(shape) == 3 else shape, options)
        typed = InputOptions(dtype=dtype).over(options)  # type: ignore[arg-type]
        return fixed, Preprocessing.of(typed, size, channels, layout)
    except BadInputError as error:
        raise BadInputError(f"{url}: {error}") from error


def _choose(tensors: list[dict[str, Any]], wanted: str | None, what: str, url: str) -> dict[str, Any]:
    return tensors[choose_tensor([t.get("name") for t in tensors], wanted, what, url)]
