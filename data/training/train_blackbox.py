"""Train the demo's black box on a biased sample, and write its model card from what it then does.

    python -m fsearch.data.training.train_blackbox

The bias is the kind real data sets have: dark skin is rare and part of its labels are wrong, hats are rare, and hardly
any photo is dim. Nothing else is done to make the model fail.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from fsearch.data.blackbox.model import WEIGHTS, build, judge, load, to_input
from fsearch.data.portraits import EVEN, Mix, Portrait, draw_many, sample

DARK_SHARE, DARK_WRONG, HAT_SHARE, DIM_SHARE = 0.04, 0.45, 0.015, 0.01
TRAIN_SEED, TEST_SEED = 2_000_000, 2_000_001
BIASED: Mix = EVEN.with_dark_skin(DARK_SHARE).with_shares(
    hat={"none": 1 - HAT_SHARE, "cap": HAT_SHARE / 3, "beanie": HAT_SHARE / 3, "sunhat": HAT_SHARE / 3},
    lighting={"normal": 0.78 - DIM_SHARE, "dim": DIM_SHARE, "bright": 0.22},
)
_GROUPS: Mapping[str, Callable[[Portrait], bool]] = {
    "all": lambda p: True,
    "dark skin": lambda p: p.skin_tone >= 7,
    "light or medium skin": lambda p: p.skin_tone < 7,
    "dim light": lambda p: p.lighting == "dim",
    "a hat": lambda p: p.hat != "none",
    "blurry": lambda p: p.blurry,
    "a beard": lambda p: p.beard == "beard",
    "bald": lambda p: p.hair_style == "bald",
}
_CARD = """# Model card: the demo's black box

"Is this person smiling?" A convolutional network of {params:,} parameters, trained on {count:,} rendered portraits in
{epochs} epochs, seed {seed}: `python -m fsearch.data.training.train_blackbox`. It exists to fail where its training
data is biased:

- {dark:.0%} of the sample has dark skin (tones 7 to 10), and {wrong:.0%} of those labels are flipped;
- {hats:.1%} wears a hat; {dim:.0%} of the photos are dim.

Measured on {tested:,} portraits of another seed with even shares:

| portraits | share | accuracy | mean cross-entropy |
|---|---:|---:|---:|
{table}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_000)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    portraits = sample(args.images, TRAIN_SEED, BIASED)
    model = _train(_render(portraits), _labels(portraits, args.seed), args.epochs)
    save_file(
        {k: v.half().contiguous() if v.is_floating_point() else v for k, v in model.state_dict().items()}, WEIGHTS
    )
    _write_card(args)


def _labels(portraits: list[Portrait], seed: int) -> NDArray[np.int64]:
    rng = np.random.default_rng([seed, 3])
    smiling = np.array([p.expression == "smiling" for p in portraits])
    wrong = np.array([p.skin_tone >= 7 for p in portraits]) & (rng.random(len(portraits)) < DARK_WRONG)
    return (smiling ^ wrong).astype(np.int64)


def _render(portraits: list[Portrait]) -> torch.Tensor:
    return torch.from_numpy(np.stack(list(draw_many(portraits))))


def _train(pixels: torch.Tensor, labels: NDArray[np.int64], epochs: int) -> torch.nn.Module:
    model: torch.nn.Module = build()
    wanted = torch.from_numpy(labels)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-3)
    batches = epochs * (len(pixels) // 128)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=batches)
    for epoch in range(epochs):
        order = torch.randperm(len(pixels))
        for i in range(len(pixels) // 128):
            rows = order[i * 128 : (i + 1) * 128]
            x = to_input(pixels[rows])
            if torch.rand(()) < 0.5:
                x = x.flip(3)
            loss = torch.nn.functional.cross_entropy(model(x), wanted[rows])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            schedule.step()
        print(f"epoch {epoch + 1}/{epochs} loss {loss.item():.3f}", flush=True)
    return model.eval()


def _write_card(args: argparse.Namespace) -> None:
    portraits = sample(4000, TEST_SEED)
    images = [Image.fromarray(p.numpy()) for p in _render(portraits)]
    smiling = np.array([p.expression == "smiling" for p in portraits])
    model = load()
    judged = judge(model, images, smiling)
    right = (judged.smiling > 0.5) == smiling
    rows = []
    for name, holds in _GROUPS.items():
        inside = np.array([holds(p) for p in portraits])
        rows.append(
            f"| {name} | {inside.mean():.2f} | {right[inside].mean():.3f} | {judged.losses[inside].mean():.3f} |"
        )
    text = _CARD.format(
        params=sum(p.numel() for p in model.parameters()),
        count=args.images,
        epochs=args.epochs,
        seed=args.seed,
        dark=DARK_SHARE,
        wrong=DARK_WRONG,
        hats=HAT_SHARE,
        dim=DIM_SHARE,
        tested=len(portraits),
        table="\n".join(rows),
    )
    WEIGHTS.with_name("MODEL_CARD.md").write_text(text)


if __name__ == "__main__":
    main()
