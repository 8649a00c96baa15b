r"""Train a successor of the bundled cross-encoder: low-rank adapters on all-MiniLM-L6-v2.

    I=benchmarks/answerability/invented
    python -m benchmarks.cross.train --out first --dstc9 4000 --made 4000 --epochs 1.5
    python -m benchmarks.cross.train --start first --out one --dstc9 300 --made 500 --epochs 1.5 --rate 4e-4 \
        --invented $I-2.md $I-3.md $I-4.md $I-5.md $I-6.md
    ... the same with --seed 2 --out other
    python -m benchmarks.cross.train --average one other --out mmsdk/encoders/cross.safetensors

    ... and then, for what customers write:
    git show 848e147:mmsdk/encoders/cross.safetensors > long
    python -m benchmarks.cross.train --average long --rank 64 --out start
    python -m benchmarks.cross.train --start start --out four --dstc9 60 --made 100 --epochs 1 --rate 3e-4 --seed 11 \
        --share 0.2 --noise 0.4 --customers benchmarks/answerability/customers.md --invented $I-2.md ... $I-6.md

    ... and longer: the same with --seed 11 --passes 3 --out s11, and with --seed 12 --out s12; each is 1,060 steps and
    leaves a state every 150 (s11-150, ...), to be averaged over seeds, or to be judged when a run dies:
    python -m benchmarks.cross.train --average s11-150 s12-300 --rank 64 --out cross.safetensors

    ... and last on more places, less the wrong sentences that probably answer:
    python -m benchmarks.cross.train --start cross.safetensors --out last --dstc9 100 --made 70 --epochs 1 --rate 3e-4 \
        --seed 21 --share 0.35 --noise 0.3 --invented $I-2.md ... $I-6.md --doubted $I-7.md ... $I-10.md

First what is plenty: DSTC9 and questions put together from a list; then the invented places with a little of both, with
two seeds; then the average of the two. The model tells whether a sentence answers. An hour on one free core; the seeds
are fixed.
"""

import argparse
import math
import random
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from benchmarks.answerability import data
from benchmarks.answerability.fit import ENCODER, Remembering
from benchmarks.cross import made
from benchmarks.cross import pairs as material
from benchmarks.cross.pairs import Pair
from mmsdk import encoders, weights
from mmsdk.settings import Settings

RANK, SCALE, LENGTH, TOKENS = 32, 2.0, 128, 2048
NOTE = {"base": "all-MiniLM-L6-v2", "length": str(LENGTH)}
KEPT = 150
"""After how many steps a state is saved."""
HELD = 5
"""Every how many-th invented place is kept from training: half of them to fit on, half for a last check."""
SMALL = ("LayerNorm", "bias", "pooler", "classifier", "token_type")
"""Parameters trained whole; the other matrices of the body only by their adapters."""


class Adapted(nn.Module):
    """A frozen linear layer plus a product of two thin matrices (LoRA, Hu et al. 2021)."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.A = nn.Parameter(torch.randn(rank, linear.in_features) / math.sqrt(linear.in_features))
        self.B = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Add the product to what the layer gives."""
        given: torch.Tensor = self.linear(inputs)
        return given + SCALE * (inputs @ self.A.T) @ self.B.T


def adapted(folder: Path, rank: int = RANK) -> nn.Module:
    model: nn.Module = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=1)
    for name, module in list(model.named_modules()):
        if isinstance(module, nn.Linear) and ".encoder." in name:
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, Adapted(module, rank))
    for name, parameter in model.named_parameters():
        parameter.requires_grad = name.endswith((".A", ".B")) or any(part in name for part in SMALL)
    return model


def changes(model: nn.Module) -> dict[str, torch.Tensor]:
    found = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            value = parameter.detach() * (SCALE if name.endswith(".B") else 1)
            found[name.replace(".linear.bias", ".bias")] = value.half().contiguous()
    return found


def averaged(files: Sequence[dict[str, torch.Tensor]], rank: int) -> dict[str, torch.Tensor]:
    """Average what several trainings changed (model soups, Wortsman et al. 2022), products at the nearest ``rank``."""
    found = {}
    for name in files[0]:
        layer, _, kind = name.rpartition(".")
        if kind == "B":
            products = [file[name].float() @ file[f"{layer}.A"].float() for file in files]
            left, middle, right = torch.linalg.svd(torch.stack(products).mean(0), full_matrices=False)
            root = middle[:rank].sqrt()
            found[name], found[f"{layer}.A"] = left[:, :rank] * root, right[:rank] * root[:, None]
        elif kind != "A":
            found[name] = torch.stack([file[name].float() for file in files]).mean(0)
    return {name: value.half().contiguous() for name, value in found.items()}


def resume(model: nn.Module, saved: dict[str, torch.Tensor]) -> None:
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                value = saved[name.replace(".linear.bias", ".bias")].float()
                parameter.copy_(value / (SCALE if name.endswith(".B") else 1))


def batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Give batches of like length in random order."""
    order = sorted(range(len(lengths)), key=lambda row: lengths[row] + random.random() * 8)
    found: list[list[int]] = [[]]
    for row in order:
        if (len(found[-1]) + 1) * lengths[row] > TOKENS:
            found.append([])
        found[-1].append(row)
    random.shuffle(found)
    yield from (batch for batch in found if batch)


def train(
    model: nn.Module, tokenizer: Any, pairs: Sequence[Pair], *, epochs: float, rate: float, keep: Path | None = None
) -> None:
    """Train; the state of every ``KEPT`` steps is saved beside ``keep``, to be averaged and for a machine that dies."""
    encoded = tokenizer([p.question for p in pairs], [p.text for p in pairs], truncation=True, max_length=LENGTH)
    lengths = [len(ids) for ids in encoded["input_ids"]]
    labels = torch.tensor([float(p.answers) for p in pairs])
    heavier = torch.tensor(float((1 - labels.mean()) / labels.mean()) ** 0.5)
    adapters = [p for n, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(adapters, lr=rate, weight_decay=0.01)
    total = int(epochs * sum(1 for _ in batches(lengths)))
    step, started, seen = 0, time.time(), []
    model.train()
    while step < total:
        for batch in batches(lengths):
            if step >= total:
                break
            for group in optimizer.param_groups:
                group["lr"] = rate * min(1, (step + 1) / (0.06 * total)) * (1 - step / total)
            inputs = tokenizer.pad({k: [encoded[k][row] for row in batch] for k in encoded}, return_tensors="pt")
            with torch.autocast("cpu", dtype=torch.bfloat16):
                logits = model(**inputs).logits[:, 0].float()
            loss = nn.functional.binary_cross_entropy_with_logits(logits, labels[batch], pos_weight=heavier)
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            nn.utils.clip_grad_norm_(adapters, 1.0)
            optimizer.step()
            seen.append(float(loss.detach()))
            step += 1
            if step % 100 == 0:
                print(f"{step}/{total} loss {np.mean(seen[-100:]):.3f} {time.time() - started:.0f} s", flush=True)
            if keep and step % KEPT == 0:
                save_file(changes(model), keep.with_name(f"{keep.name}-{step}"), NOTE)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--dstc9", type=int, default=4000, help="questions of DSTC9")
    parser.add_argument("--made", type=int, default=0, help="questions put together from attributes.txt")
    parser.add_argument("--invented", type=Path, nargs="*", default=[], help="files of invented places")
    parser.add_argument("--share", type=float, default=1.0, help="share of the questions of invented places")
    parser.add_argument("--noise", type=float, default=0.0, help="share of these written as a customer might")
    parser.add_argument("--customers", type=Path, nargs="*", default=[], help="customers' messages, read twice")
    parser.add_argument("--doubted", type=Path, nargs="*", default=[], help="places whose wrong sentences are checked")
    parser.add_argument("--passes", type=int, default=1, help="how often places and messages are drawn, each anew")
    parser.add_argument("--start", type=Path, help="adapters to go on from")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--rate", type=float, default=5e-4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--average", type=Path, nargs="+", help="do not train: average these")
    parser.add_argument("--rank", type=int, default=96, help="rank of what is averaged")
    arguments = parser.parse_args()
    if arguments.average:
        save_file(averaged([load_file(file) for file in arguments.average], arguments.rank), arguments.out, NOTE)
        return
    random.seed(arguments.seed)
    torch.manual_seed(arguments.seed)
    encoder = Remembering(encoders.shared(ENCODER, Settings.load()))
    pairs = list(material.dstc9(encoder, questions=arguments.dstc9, negatives=4)) if arguments.dstc9 else []
    print("dstc9", material.counted(pairs), flush=True)
    if arguments.made:
        pairs += list(made.pairs(arguments.made, arguments.seed))
        print("with made", material.counted(pairs), flush=True)
    read = [(file, 4, arguments.share, arguments.noise) for file in arguments.invented]
    read += [(file, *how) for file in arguments.customers for how in ((4, 1.0, 0.0), (2, 1.0, 1.0))]
    for file, negatives, share, noise in read:
        cases = list(data.invented(encoder, file, keep=lambda place: place % HELD != 0))
        for seed in range(arguments.seed, arguments.seed + 1000 * arguments.passes, 1000):
            more = list(material.invented(cases, encoder, negatives=negatives, seed=seed, share=share, noise=noise))
            print(file, material.counted(more), flush=True)
            pairs += more
    for file in arguments.doubted:
        cases = list(data.invented(encoder, file, keep=lambda place: place % HELD != 0))
        scorer = encoders.scorer("cross", Settings.load())
        pairs += material.doubted(cases, encoder, scorer, seed=arguments.seed)
        print("with", file, material.counted(pairs), flush=True)
    folder = weights.resolve(ENCODER.partition(":")[2], settings=Settings.load())
    saved = load_file(arguments.start) if arguments.start else {}
    rank = next((len(value) for name, value in saved.items() if name.endswith(".A")), RANK)
    model, tokenizer = adapted(folder, rank), AutoTokenizer.from_pretrained(folder)
    if saved:
        resume(model, saved)
    train(model, tokenizer, pairs, epochs=arguments.epochs, rate=arguments.rate, keep=arguments.out)
    save_file(changes(model), arguments.out, NOTE)


if __name__ == "__main__":
    main()
