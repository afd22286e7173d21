"""Train the demo encoder: open_clip's CLIP class and contrastive loss on rendered portraits and their captions.

    python -m fsearch.data.training.train_encoder --work build/portraits
    python -m fsearch.data.training.train_encoder --work build/portraits --from fsearch/data/encoder --lr 3e-4

The second starts from trained weights, as after words or drawings were added, and needs fewer steps. Under torchrun,
each process takes a share of the batch and their gradients are averaged.
Resumable: run the same command again and it continues from the last checkpoint in --work. The result is written to
data/encoder/ as fp16 safetensors beside its model card.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as processes
from open_clip import CLIP, ClipLoss
from safetensors.torch import load_file, save_file
from torch.nn.attention import SDPBackend, sdpa_kernel

from fsearch.data.portraits import known_words
from fsearch.data.training import corpus
from fsearch.data.training.card import CAPTIONS_PER_STEP, write_card
from fsearch.data.training.measure import normalise, phrase_aurocs

ENCODER = Path(__file__).parents[1] / "encoder"
WEIGHTS = "fsearch-portraits.safetensors"
CHECKPOINT_EVERY = 100
RESTARTS = (4_400, 5_600)  # steps at which the learning rate rises once more, to a quarter of its peak


def main() -> None:
    args = _arguments()
    if processes.is_torchelastic_launched():
        processes.init_process_group("gloo")
    torch.manual_seed(args.seed)
    config = json.loads((ENCODER / "fsearch-portraits.json").read_text())
    data = corpus.load(args.work, args.images, config["text_cfg"]["context_length"], args.workers)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = CLIP(**config)
    if args.start:
        model.load_state_dict(load_file(args.start / WEIGHTS), strict=False)  # but for the mask, a constant
    model = model.float().to(device)
    model.visual.to(memory_format=torch.channels_last)
    spent = _train(model, data, args, device)
    if _rank() > 0:
        return
    model.float().eval()
    state = {k: v.half().contiguous().cpu() for k, v in model.state_dict().items() if k != "attn_mask"}
    save_file(state, ENCODER / WEIGHTS, metadata={"format": "pt"})
    (ENCODER / "words.txt").write_text(" ".join(sorted(known_words())) + "\n")
    write_card(ENCODER, phrase_aurocs(ENCODER), vars(args), spent, _processes())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder of the corpus cache and the checkpoint")
    parser.add_argument("--from", dest="start", type=Path, help="folder of the weights to start from, else at random")
    parser.add_argument(
        "--lock-images", action="store_true", help="train the text tower alone (Zhai et al., CVPR 2022): for new words"
    )
    parser.add_argument("--images", type=int, default=80_000)
    parser.add_argument("--steps", type=int, default=6_600)
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--workers", type=int, default=2)
    return parser.parse_args()


def _train(model: CLIP, data: corpus.Corpus, args: argparse.Namespace, device: torch.device) -> float:
    """Run the remaining steps and return the seconds of training over all runs."""
    loss_of = ClipLoss()
    decay = [p for p in model.parameters() if p.ndim >= 2]
    rest = [p for p in model.parameters() if p.ndim < 2]
    groups = [{"params": decay, "weight_decay": 0.05}, {"params": rest, "weight_decay": 0.0}]
    optimiser = torch.optim.AdamW(groups, lr=args.lr, betas=(0.9, 0.98))
    checkpoint = args.work / "checkpoint.pt"
    first, spent = _resume(checkpoint, model, optimiser)
    model.train()
    model.visual.train(not args.lock_images)
    began = time.monotonic()
    for step in range(first, args.steps):
        for group in optimiser.param_groups:
            group["lr"] = args.lr * _schedule(step, args.steps)
        loss = _step(model, data, loss_of, args, step, device)
        optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        _average(model)
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        if (step + 1) % CHECKPOINT_EVERY == 0 or step + 1 == args.steps:
            seconds = spent + time.monotonic() - began
            if _rank() == 0:
                _save(checkpoint, model, optimiser, step + 1, seconds)
            print(f"step {step + 1}/{args.steps} loss {loss.item():.3f} {seconds:.0f} s", flush=True)
    return spent + time.monotonic() - began


def _schedule(step: int, steps: int) -> float:
    """Share of the peak learning rate: warm up, then cosines with restarts (SGDR, Loshchilov and Hutter, 2017)."""
    warm = min(200, steps // 10)
    if step < warm:
        return (step + 1) / warm
    began = max((r for r in RESTARTS if r <= step), default=warm)
    ends = min((r for r in (*RESTARTS, steps) if r > step), default=steps)
    peak = 1.0 if began == warm else 0.25
    return peak * 0.5 * (1 + math.cos(math.pi * (step - began) / max(1, ends - began)))


def _step(
    model: CLIP, data: corpus.Corpus, loss_of: ClipLoss, args: argparse.Namespace, step: int, device: torch.device
) -> torch.Tensor:
    """The contrastive loss of one batch, averaged over several captions of each image (the image tower runs once)."""
    batch = args.batch // _processes()
    rng = np.random.default_rng([args.seed, step, *([_rank()] if _rank() else [])])
    rows = np.sort(rng.choice(len(data.images), batch, replace=False))
    images = augment(torch.from_numpy(data.images[rows]), rng).to(device)
    picks = np.argsort(rng.random((batch, corpus.CAPTIONS)), axis=1)[:, :CAPTIONS_PER_STEP]
    tokens = torch.from_numpy(np.take_along_axis(data.tokens[rows], picks[:, :, None], axis=1)).long().to(device)
    amp = torch.autocast(device.type, torch.bfloat16) if device.type == "cuda" or _cpu_has_bf16() else nullcontext()
    with amp, sdpa_kernel(SDPBackend.MATH):  # on a CPU the fused attention's backward pass is six times slower
        with torch.set_grad_enabled(not args.lock_images):
            seen = model.encode_image(images, normalize=True).float()
        told = model.encode_text(tokens.flatten(0, 1), normalize=True).float()
    told = told.unflatten(0, (batch, CAPTIONS_PER_STEP))
    scale = model.logit_scale.exp()
    losses = [loss_of(seen, told[:, k], scale) for k in range(CAPTIONS_PER_STEP)]
    return torch.stack(losses).mean()


def augment(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """(n, h, w, 3) uint8 to (n, 3, h, w) normalised float, mirrored, shifted and jittered within each attribute."""
    x = pixels.permute(0, 3, 1, 2).float() / 255
    mirrored = torch.from_numpy(rng.random(len(x)) < 0.5)
    x[mirrored] = x[mirrored].flip(3)
    pad = 5
    padded = torch.nn.functional.pad(x, (pad, pad, pad, pad), mode="replicate")
    dx, dy = rng.integers(0, 2 * pad + 1, 2)
    x = padded[:, :, dy : dy + x.shape[2], dx : dx + x.shape[3]]
    gain = torch.from_numpy(rng.uniform(0.94, 1.06, (len(x), 3, 1, 1))).float()
    grain = torch.Generator().manual_seed(int(rng.integers(2**31)))
    x = (x * gain + torch.randn(x.shape, generator=grain) * float(rng.uniform(0, 0.03))).clamp(0, 1)
    return normalise(x).contiguous(memory_format=torch.channels_last)


def _processes() -> int:
    return processes.get_world_size() if processes.is_initialized() else 1


def _rank() -> int:
    return processes.get_rank() if processes.is_initialized() else 0


def _average(model: CLIP) -> None:
    """Average the gradients over all processes."""
    if _processes() > 1:
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in gradients]) / _processes()
        processes.all_reduce(flat)
        for gradient, mean in zip(gradients, torch.split(flat, [g.numel() for g in gradients]), strict=True):
            gradient.copy_(mean.view(gradient.shape))


def _cpu_has_bf16() -> bool:
    return bool(torch.cpu._is_avx512_bf16_supported())


def _save(path: Path, model: CLIP, optimiser: torch.optim.Optimizer, step: int, seconds: float) -> None:
    part = path.with_suffix(".part")
    state = {"model": model.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "seconds": seconds}
    torch.save(state, part)
    part.replace(path)


def _resume(path: Path, model: CLIP, optimiser: torch.optim.Optimizer) -> tuple[int, float]:
    if not path.exists():
        return 0, 0.0
    state: dict[str, Any] = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state["seconds"])


if __name__ == "__main__":
    main()
