"""One small classifier in every form that fsearch runs, and a server that speaks the Open Inference Protocol v2."""

from __future__ import annotations

import json
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

SIDE = 16
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
YAML = f"""size: {SIDE}
mean: {list(MEAN)}
std: {list(STD)}
resize: squash
classes: [plain, fancy]
scores: logits
"""


class Net(torch.nn.Module):
    """Two logits from the pixels; the same weights each time."""

    def __init__(self) -> None:
        super().__init__()
        self.body = torch.nn.Conv2d(3, 4, 5, stride=4)
        self.head = torch.nn.Linear(36, 2)
        generator = torch.Generator().manual_seed(3)
        with torch.no_grad():
            for p in self.parameters():
                p.copy_(torch.randn(p.shape, generator=generator) * 0.3)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        return self.head(torch.relu(self.body(pixels)).flatten(1))


def expected_logits(image: Image.Image) -> np.ndarray:
    """What the net says of one image, its input made by hand."""
    small = image.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    pixels = (np.asarray(small, np.float32) / 255 - np.float32(MEAN)) / np.float32(STD)
    with torch.inference_mode():
        return Net()(torch.from_numpy(pixels.transpose(2, 0, 1)[None].astype(np.float32)))[0].numpy()


def example() -> torch.Tensor:
    return torch.zeros(2, 3, SIDE, SIDE)


def onnx(root: Path, name: str = "net.onnx", batch: int | None = None) -> Path:
    path = root / name
    dynamic = {"pixels": {0: torch.export.Dim("batch")}} if batch is None else None
    inputs = (example() if batch is None else torch.zeros(batch, 3, SIDE, SIDE),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Net().eval(),
            inputs,
            path,
            input_names=["pixels"],
            output_names=["logits"],
            dynamic_shapes=dynamic,
            verbose=False,
            dynamo=True,
            external_data=False,
        )
    path.with_suffix(".yaml").write_text(YAML)
    return path


def torchscript(root: Path) -> Path:
    path = root / "net.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.trace(Net().eval(), example()), path)
    path.with_suffix(".yaml").write_text(YAML)
    return path


def exported(root: Path) -> Path:
    path = root / "net.pt2"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(Net().eval(), (example(),), dynamic_shapes=({0: torch.export.Dim("batch")},))
        torch.export.save(program, path)
    path.with_suffix(".yaml").write_text(YAML)
    return path


def timm_checkpoint(root: Path, name: str = "test_resnet") -> Path:
    import timm

    torch.manual_seed(0)
    path = root / "timm.pt"
    torch.save({"state_dict": timm.create_model(name, num_classes=2).state_dict()}, path)
    return path


def predict(images: list[Image.Image]) -> np.ndarray:
    """The black box as a function."""
    return np.stack([expected_logits(i) for i in images])


class Server:
    """What the endpoint was asked, and how it should misbehave."""

    def __init__(self) -> None:
        self.url = ""
        self.requests = 0
        self.images = 0
        self.busy_for = 0  # so many first requests are answered 503
        self.refuses: Any = lambda pixels: False  # an image it answers with 400


@contextmanager
def serve() -> Iterator[Server]:
    """An Open Inference Protocol v2 server on loopback."""
    state = Server()
    net = Net().eval()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def answer(self, status: int, said: Any) -> None:
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self) -> None:
            if self.path != "/v2/models/net":
                return self.answer(404, {"error": "no such model"})
            shape = [-1, 3, SIDE, SIDE]
            self.answer(
                200,
                {
                    "name": "net",
                    "inputs": [{"name": "pixels", "datatype": "FP32", "shape": shape}],
                    "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, 2]}],
                },
            )

        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            state.requests += 1
            if state.requests <= state.busy_for:
                return self.answer(503, {"error": "busy"})
            (tensor,) = said["inputs"]
            pixels = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
            if any(state.refuses(p) for p in pixels):
                return self.answer(400, {"error": "this image is not to my taste"})
            state.images += len(pixels)
            with torch.inference_mode():
                out = net(torch.from_numpy(pixels)).numpy()
            data = out.reshape(-1).tolist()
            self.answer(
                200, {"outputs": [{"name": "logits", "datatype": "FP32", "shape": list(out.shape), "data": data}]}
            )

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_port}/v2/models/net"
    try:
        yield state
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
