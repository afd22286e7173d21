"""A black box by its timm name, with the user's own checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from fsearch.indexer.errors import BadInputError
from fsearch.indexer.losses.blackbox.checkpoint import fitting, read_state
from fsearch.indexer.losses.blackbox.preprocess import InputOptions
from fsearch.indexer.losses.choices import ScoreKind
from fsearch.indexer.storage.files import content_sha256


class TimmModel:
    """A timm architecture with weights from a local file, preprocessed as timm's own configuration says."""

    def __init__(self, name: str, weights: Path | None, options: InputOptions) -> None:
        """Load `name` with `weights`. Raises BadInputError where the name is unknown, or the weights do not fit."""
        import timm.data
        import torch

        library: Any = timm

        if weights is None:
            raise BadInputError(f"timm:{name} needs its weights: --weights FILE (.safetensors, .pt or .pth)")
        if not weights.is_file():
            raise BadInputError(f"no such checkpoint: {weights}")
        if not library.is_model(name):
            near = ", ".join(library.list_models(f"*{name.split('_')[0]}*")[:5])
            raise BadInputError(f"timm knows no model {name!r}" + (f"; near: {near}" if near else ""))
        state, entry = read_state(weights)
        try:
            heads = library.models.get_pretrained_cfg_value(name, "classifier") or ()
            names = {
                f"{h}.{part}" for h in ([heads] if isinstance(heads, str) else heads) for part in ("weight", "bias")
            }
            if not names:
                names = set(library.create_model(name, pretrained=False).state_dict())
            state = fitting(state, names)
            sizes = [len(state[k]) for k in sorted(names & state.keys()) if heads]
            model = library.create_model(name, pretrained=False, **({"num_classes": sizes[0]} if sizes else {}))
            model.load_state_dict(state)
        except Exception as error:  # timm and torch raise whatever does not fit
            reason = " ".join(line.strip() for line in str(error).splitlines()[:2])
            raise BadInputError(f"{weights} does not fit timm's {name}: {reason}") from error
        self._device = "cuda" if torch.cuda.is_available() else "cpu"
        self._model = model.eval().to(self._device)
        config = library.data.resolve_data_config({}, model=model)
        if options.size:
            config["input_size"] = (config["input_size"][0], *options.size)
        if options.interpolation:
            config["interpolation"] = options.interpolation
        if options.crop_pct:
            config["crop_pct"] = options.crop_pct
        config |= {k: v * 3 if len(v) == 1 else v for k, v in (("mean", options.mean), ("std", options.std)) if v}
        self._transform: Any = library.data.create_transform(**config, is_training=False)
        self.origin, self.batch = f"timm:{name} with {weights}", 32
        self.digest = f"{name} {content_sha256(weights)} {sorted((k, str(v)) for k, v in config.items())}"
        self.classes = options.classes
        self.scores: ScoreKind | None = options.scores or "logits"
        self.note = (
            f"input as timm configures {name}: {config['input_size'][1]}x{config['input_size'][2]}, "
            f"{config['interpolation']}, crop {config['crop_pct']:g}" + (f"; weights of {entry!r}" if entry else "")
        )
        self.squashes = False

    def prepare(self, image: Image.Image) -> Any:
        """The input tensor of one image."""
        return self._transform(image)

    def predict(self, inputs: Sequence[Any]) -> Sequence[Any]:
        """Logits, one row per image."""
        import torch

        with torch.inference_mode():
            out = self._model(torch.stack(list(inputs)).to(self._device))
        return list(out.float().cpu().numpy())
