"""A black box behind HTTP that speaks the Open Inference Protocol v2 (KServe, Triton, OpenVINO, MLServer).

Requests go out in a bounded number at once, each with a time limit; what fails for a passing reason is asked again,
waiting longer each time. An image that still fails is left out with the reason, and the others go on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.base import Failure
from fsearch.indexer.losses.blackbox.preprocess import InputOptions, Pixels, fit_shape

CONCURRENT = 8
RETRIES = 4
BACKOFF = 0.25  # seconds before the second try; doubled for each one after
TIMEOUT = 60.0  # seconds for an answer
_AGAIN = (408, 429, 500, 502, 503, 504)
_DTYPES = {"FP32": "float32", "UINT8": "uint8"}


class Endpoint:
    """One model of a server, at URL/v2/models/NAME."""

    def __init__(self, url: str, options: InputOptions) -> None:
        """Ask the server what the model takes. Raises BadInputError where it does not answer, or takes no image."""
        try:
            import urllib3
        except ImportError as error:
            raise BadInputError("HTTP endpoints need the library urllib3: pip install urllib3") from error
        if "/v2/models/" not in url:
            raise BadInputError(f"{url}: give the model's own address, like http://host:8000/v2/models/NAME")
        retry = urllib3.Retry(
            RETRIES,
            backoff_factor=BACKOFF,
            backoff_max=10,
            status_forcelist=_AGAIN,
            allowed_methods=None,  # an inference changes nothing, so asking again is safe
            redirect=0,
            raise_on_status=False,
        )
        timeout = urllib3.Timeout(connect=10, read=TIMEOUT)
        self._http = urllib3.PoolManager(retries=retry, timeout=timeout, maxsize=CONCURRENT, block=True)
        self._url = url.rstrip("/").removesuffix("/infer")
        self._errors = (urllib3.exceptions.HTTPError,)
        said = self._metadata()
        tensor = _chosen(said.get("inputs"), options.input, "input", url)
        output = _chosen(said.get("outputs"), options.output, "output", url) if said.get("outputs") else {}
        dtype = _DTYPES.get(str(tensor.get("datatype")))
        if dtype is None:
            raise BadInputError(f"{url}: its input is {tensor.get('datatype')}; fsearch sends FP32 or UINT8 images")
        shape = [d if isinstance(d, int) and d > 0 else None for d in tensor.get("shape", [])]
        try:
            fixed, channels, layout, size = fit_shape([None, *shape] if len(shape) == 3 else shape, options)
            self.pixels = Pixels.of(InputOptions(dtype=dtype).over(options), size, channels, layout)  # type: ignore[arg-type]
        except BadInputError as error:
            raise BadInputError(f"{url}: {error}") from error
        self._input, self._datatype = str(tensor["name"]), str(tensor["datatype"])
        self._output = options.output or output.get("name")
        self._together = fixed or 8  # images in one request
        self._pool = ThreadPoolExecutor(CONCURRENT, "endpoint")
        self.origin, self.batch = url, CONCURRENT * self._together
        self.digest = self.pixels.digest(self._url, str(self._output), str(said.get("versions")))
        self.classes, self.scores = options.classes, options.scores
        self.note, self.squashes = str(self.pixels), self.pixels.resize == "squash"

    def prepare(self, image: Image.Image) -> Any:
        """The input tensor of one image."""
        return self.pixels.tensor(image)

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """One prediction, or the reason why there is none, for each image."""
        parts = [inputs[i : i + self._together] for i in range(0, len(inputs), self._together)]
        return [said for answers in self._pool.map(self._part, parts) for said in answers]

    def _part(self, part: Sequence[Any]) -> Sequence[Any]:
        answers = self._ask(part)
        if isinstance(answers, Failure) and len(part) > 1:  # one bad image must not cost its neighbours
            return [said for one in part for said in self._part([one])]
        return [answers] if isinstance(answers, Failure) else answers

    def _ask(self, part: Sequence[Any]) -> list[Any] | Failure:
        stacked = np.stack(part)
        tensor = {"name": self._input, "shape": list(stacked.shape), "datatype": self._datatype}
        body: dict[str, Any] = {"inputs": [tensor | {"data": stacked.reshape(-1).tolist()}]}
        if self._output:
            body["outputs"] = [{"name": self._output}]
        try:
            answer = self._http.request("POST", f"{self._url}/infer", json=body)
            said = json.loads(answer.data)
        except self._errors as error:
            return Failure(_line(error))
        except ValueError:
            return Failure(f"HTTP {answer.status}: no JSON came back")
        if answer.status != 200:
            reason = said.get("error") if isinstance(said, dict) else None
            return Failure(f"HTTP {answer.status}: {str(reason or 'no reason given').splitlines()[0]}")
        return self._rows(said, len(part))

    def _rows(self, said: Any, count: int) -> list[Any] | Failure:
        try:
            outputs = said["outputs"]
            chosen = next((o for o in outputs if o["name"] == self._output), outputs[0])
            rows = np.asarray(chosen["data"], np.float64).reshape(chosen["shape"])
        except (KeyError, TypeError, ValueError, IndexError) as error:
            return Failure(f"the answer is no inference response: {_line(error)}")
        return list(rows) if len(rows) == count else Failure(f"{len(rows)} predictions came back for {count} images")

    def _metadata(self) -> dict[str, Any]:
        try:
            answer = self._http.request("GET", self._url)
            said = json.loads(answer.data) if answer.status == 200 else None
        except (*self._errors, ValueError) as error:
            raise BadInputError(f"{self._url} does not answer: {_line(error)}") from error
        if not isinstance(said, dict) or not said.get("inputs"):
            raise BadInputError(
                f"{self._url}: HTTP {answer.status}, and no model metadata of the Open Inference Protocol v2"
            )
        return said


def _chosen(tensors: Any, wanted: str | None, what: str, url: str) -> dict[str, Any]:
    names = [t.get("name") for t in tensors]
    if wanted is not None and wanted not in names:
        raise BadInputError(f"{url} has no {what} {wanted!r}; it has: {', '.join(map(str, names))}")
    found: dict[str, Any] = tensors[names.index(wanted)] if wanted is not None else tensors[0]
    return found


def _line(error: BaseException) -> str:
    return str(getattr(error, "reason", None) or error).splitlines()[0]
