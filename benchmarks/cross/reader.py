r"""Train the bundled reader: low-rank adapters on SmolLM2-135M, and one output, which say whether a sentence answers.

    python -m benchmarks.cross.reader --out first.safetensors
    python -m benchmarks.cross.reader --start first.safetensors --out mmsdk/encoders/reader.safetensors

First on questions of DSTC9 and some put together from a list, invented places and customers' messages; then on more
invented places and a part of the first. Always less every fifth place and company. About 1,200 and 1,500 steps of 2,048
tokens, 45 and 55 minutes on two cores with bfloat16; a state is saved every 200. The seed is fixed.
"""

import argparse
import math
import random
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from benchmarks.answerability import data
from benchmarks.answerability.data import HERE
from benchmarks.answerability.fit import ENCODER, Remembering
from benchmarks.cross import made
from benchmarks.cross import pairs as material
from benchmarks.cross.pairs import Pair
from benchmarks.cross.train import HELD, batches
from mmsdk import encoders, weights
from mmsdk.encoders import gguf, reader
from mmsdk.protocols import Encoder
from mmsdk.settings import Settings

RANK, SCALE, RATE, AGAIN = 16, 2.0, 5e-4, 4e-4
"""... the learning rates of the first training and of the one that goes on from it."""
REPEATED = 0.4
"""Which share of the first training's pairs is read again in the second."""
NOTE = {"base": reader.BODY}
KEPT = 200
"""After how many steps a state is saved."""


class Adapted(nn.Module):
    """A frozen linear layer in bfloat16 plus a product of two thin matrices in float32 (LoRA, Hu et al. 2021)."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.A = nn.Parameter(torch.randn(RANK, linear.in_features) / math.sqrt(linear.in_features))
        self.B = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Add the product to what the layer gives."""
        rows = inputs.flatten(0, 1)
        thin = rows @ self.A.T.to(rows.dtype)
        given = torch.addmm(self.linear(rows), thin, (SCALE * self.B).T.to(rows.dtype))
        return given.view(*inputs.shape[:-1], -1)


class Judge(nn.Module):
    """The adapted LLM and its one output, which begins as what tells Yes from No in the LLM's own words."""

    def __init__(self, stored: gguf.Weights) -> None:
        super().__init__()
        self.body: Any = reader.body(stored).bfloat16()
        self.body.set_attn_implementation("eager")  # of short texts its backward pass is the faster one
        words = self.body.embed_tokens.weight.detach().float()
        yes, no = (found.ids[0] for found in reader.tokenizer(stored.facts).encode_batch([" Yes", " No"]))
        for parameter in self.body.parameters():
            parameter.requires_grad = False
        self.output = nn.Parameter(torch.cat([words[yes] - words[no], torch.tensor([-1.0])]))
        for name, module in list(self.body.named_modules()):
            if isinstance(module, nn.Linear):
                parent, _, last = name.rpartition(".")
                setattr(self.body.get_submodule(parent), last, Adapted(module))

    def forward(self, rows: Sequence[Sequence[int]]) -> torch.Tensor:
        """Give a logit a row. What fills a row up stands behind its end, where nothing of it is seen."""
        longest = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
        states = self.body(ids, use_cache=False).last_hidden_state
        last = states[torch.arange(len(rows)), [len(row) - 1 for row in rows]].float()
        logits: torch.Tensor = last @ self.output[:-1] + self.output[-1]
        return logits

    def load(self, start: Path) -> None:
        """Take up what was saved."""
        found = load_file(start)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if parameter.requires_grad:
                    value = found[name.removeprefix("body.")].float()
                    parameter.copy_(value / SCALE if name.endswith(".B") else value)

    def changes(self) -> dict[str, torch.Tensor]:
        """Give what was trained, under the names of the model."""
        found = {name.removeprefix("body."): value for name, value in self.named_parameters() if value.requires_grad}
        return {
            name: (value.detach() * (SCALE if name.endswith(".B") else 1)).half().contiguous()
            for name, value in found.items()
        }


def collected(encoder: Encoder, seed: int) -> list[Pair]:
    pairs = [*material.dstc9(encoder, questions=300, negatives=4, seed=seed), *made.pairs(200, seed)]
    read = [(f"invented-{number}.md", 4, 0.3) for number in range(2, 7)]
    for name, negatives, noise in [*read, ("customers.md", 4, 0.0), ("customers.md", 2, 1.0)]:
        cases = list(data.invented(encoder, HERE / name, keep=lambda place: place % HELD != 0))
        pairs += material.invented(cases, encoder, negatives=negatives, seed=seed, noise=noise)
        print(name, material.counted(pairs), flush=True)
    return pairs


def more(encoder: Encoder, seed: int, repeated: float) -> list[Pair]:
    """Give pairs of the later places, and a share of the first pairs."""
    first = collected(encoder, seed)
    pairs, scorer = random.sample(first, int(repeated * len(first))), encoders.scorer("cross", Settings.load())
    for number in range(7, 11):
        file = HERE / f"invented-{number}.md"
        cases = list(data.invented(encoder, file, keep=lambda place: place % HELD != 0))
        pairs += material.doubted(cases, encoder, scorer, seed=seed)
        print(file.name, material.counted(pairs), flush=True)
    return pairs


def train(judge: Judge, rows: Sequence[list[int]], labels: torch.Tensor, out: Path, rate: float) -> None:
    steps = list(batches([len(row) for row in rows]))
    heavier = ((1 - labels.mean()) / labels.mean()) ** 0.5
    trained = [parameter for parameter in judge.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, weight_decay=0.0)
    started, seen = time.time(), []
    for step, batch in enumerate(steps, 1):
        for group in optimizer.param_groups:
            group["lr"] = rate * min(1, step / (0.05 * len(steps))) * (1 - (step - 1) / len(steps))
        loss = nn.functional.binary_cross_entropy_with_logits(
            judge([rows[row] for row in batch]), labels[batch], pos_weight=heavier
        )
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        seen.append(float(loss.detach()))
        if step % 20 == 0:
            print(f"{step}/{len(steps)} loss {np.mean(seen[-100:]):.3f} {time.time() - started:.0f} s", flush=True)
        if step % KEPT == 0:
            save_file(judge.changes(), out.with_name(f"{out.name}-{step}"), NOTE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="the first training's adapters, to go on from")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    encoder = Remembering(encoders.shared(ENCODER, Settings.load()))
    pairs = more(encoder, arguments.seed, REPEATED) if arguments.start else collected(encoder, arguments.seed)
    stored = gguf.read(weights.resolve(reader.BODY, settings=Settings.load()))
    words = reader.tokenizer(stored.facts)
    found = words.encode_batch([f"Question: {pair.question}\nText: {pair.text}" for pair in pairs])
    (end,) = words.encode_batch(["\nAnswered:"])
    rows = [[*one.ids[:160], *end.ids] for one in found]
    judge = Judge(stored)
    if arguments.start:
        judge.load(arguments.start)
    labels = torch.tensor([float(pair.answers) for pair in pairs])
    train(judge, rows, labels, arguments.out, AGAIN if arguments.start else RATE)
    save_file(judge.changes(), arguments.out, NOTE)


if __name__ == "__main__":
    main()
