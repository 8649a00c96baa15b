"""Recommendation: accuracy on MovieLens, time to fit, to serve and to rank all users, beside implicit and Cornac.

    python -m benchmarks.recommend movielens DATA [--split random] [--models ease,hybrid]
    python -m benchmarks.recommend cornac DATA       needs cornac, which mmsdk does not install
    python -m benchmarks.recommend prepare | serving    100,000 items, 1,000,000 interactions
    python -m benchmarks.recommend fit | batch | candidates | new-items

``DATA`` is the folder of MovieLens latest-small. Each prints JSON lines.
"""

import argparse
import json
import resource
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

K = 10


def movielens(folder: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    from mmsdk_recommend import catalogue, read_interactions

    frame = read_interactions(folder / "ratings.csv")[["user", "item", "time"]]
    return frame, catalogue.read(folder / "movies.csv")


def accuracy(folder: Path, how: str, models: list[str]) -> None:
    """Measure models, the hybrid with weights for the split's question and, as ``both``, for both questions."""
    from mmsdk.evaluation import paired_bootstrap
    from mmsdk_recommend import Catalogue, Recommender, evaluate, split

    frame, films = movielens(folder)
    parts, items = split(frame, how), Catalogue.from_frame(films)
    found = evaluate(parts, [name for name in models if name != "both"], catalogue=items, labels="genres")
    told = found.to_json()
    print(json.dumps({"split": how, "counts": told["counts"]}))
    results = {one.model: one for one in found.results}
    written = told["models"]
    if "both" in models:
        more = evaluate(parts, [Recommender(validation="both")], catalogue=items, labels="genres")
        results["both"] = more.result("hybrid")
        written.append({**more.to_json()["models"][-1], "model": "both"})
    for one in written:
        print(json.dumps(one), flush=True)
    for name in [name for name in ("both", "hybrid", "sasrec") if name in results]:
        for other in [other for other in ("popularity", "item_knn", "ease") if other in results]:
            for measure in (f"NDCG@{K}", f"HR@{K}", f"recall@{2 * K}"):
                a, b = (results[model].samples[measure] for model in (name, other))
                both = np.isfinite(a) & np.isfinite(b)
                gap = paired_bootstrap(a[both].tolist(), b[both].tolist())
                print(json.dumps({name: f"minus {other}", "measure": measure, "difference": str(gap)}), flush=True)


def export(folder: Path, out: Path) -> None:
    """Write the random split, so that another library in another environment sees the same."""
    from mmsdk_recommend import split

    parts = split(movielens(folder)[0], "random")
    parts.train[["user", "item"]].to_csv(out / "train.csv", index=False)
    parts.test[["user", "item"]].to_csv(out / "test.csv", index=False)


def cornac(out: Path, l2: float) -> None:
    """Fit and measure EASE by Cornac on an exported split; runs where Cornac is installed, without mmsdk."""
    from cornac.eval_methods import BaseMethod
    from cornac.metrics import NDCG, Recall
    from cornac.models import EASE

    train, test = (
        [(str(u), str(i), 1.0) for u, i in pd.read_csv(out / name)[["user", "item"]].values.tolist()]
        for name in ("train.csv", "test.csv")
    )
    method = BaseMethod.from_splits(train_data=train, test_data=test, exclude_unknowns=True, rating_threshold=0.5)
    result, _ = method.evaluate(
        EASE(lamb=l2, posB=False, verbose=False), [NDCG(k=K), Recall(k=2 * K)], user_based=True, show_validation=False
    )
    print(json.dumps({"cornac": dict(result.metric_avg_results), "l2": l2}))


def fit() -> None:
    """Time EASE at the sizes of MovieLens 100k and 1M."""
    from mmsdk_recommend.models.ease import EASE
    from mmsdk_recommend.models.protocol import Corpus

    for users, items, count in ((943, 1682, 100_000), (6000, 3700, 1_000_000)):
        corpus = Corpus(synthetic(users, items, count).histories)
        started, worked = time.perf_counter(), time.process_time()
        EASE().fit(corpus)
        taken = {"wall": round(time.perf_counter() - started, 2), "cpu": round(time.process_time() - worked, 2)}
        print(json.dumps({"EASE": [users, items, count], "seconds": taken}))


def prepare(out: Path) -> None:
    """Fit the default on 1,000,000 interactions of 100,000 items, and save it; beside it one that weighs everything."""
    from mmsdk_recommend import Recommender

    data = synthetic(50_000, 100_000, 1_000_000)
    random = np.random.default_rng(0)
    items = pd.DataFrame({"item": data.items, "price": random.integers(1, 500, len(data.items))})
    items["category"] = random.choice(["a", "b", "c", "d", "e"], len(items))
    items["stock"] = random.random(len(items)) < 0.8
    items["vector"] = list(random.normal(size=(len(items), 64)).astype(np.float32))
    started = time.process_time()
    made = Recommender().fit(data.frame(), items)
    print(
        json.dumps({"fit_cpu_seconds": round(time.process_time() - started, 1), "weights": vars(made.model)["weights"]})
    )
    made.save(out)
    weigh_all(made)
    made.save(out.with_name(f"{out.name}-all"))


def weigh_all(made: Any) -> None:
    """Give every component of a hybrid a weight, SASRec too: too large to train here, its answers take as long."""
    from mmsdk_recommend.models.protocol import Corpus
    from mmsdk_recommend.models.sasrec import SASRec

    untrained = SASRec(epochs=0)
    untrained.fit(Corpus(made.data.histories))
    hybrid = made.model
    there = hybrid.models | {"sasrec": untrained}
    hybrid.models = {label: there[label] for label in hybrid.components if label in there}
    hybrid.widths = dict.fromkeys(hybrid.models, made.width)
    hybrid.weights = dict.fromkeys(hybrid.models, 0.5)


def serving(out: Path) -> None:
    """Time one recommendation with filters by what ``prepare`` saved, and state the memory."""
    from mmsdk_recommend import Recommender

    made = Recommender.load(out)
    random = np.random.default_rng(0)
    filters = [
        {"stock": True, "price": {"$lt": int(limit)}, "category": {"$in": ["a", "b"]}}
        for limit in random.integers(20, 480, 320)
    ]
    users = random.choice(made.data.users, len(filters))
    walls, works = [], []
    for user, where in zip(users, filters, strict=True):
        started, worked = time.perf_counter(), time.process_time()
        found = made.recommend([user], K, where=where)
        walls.append(1000 * (time.perf_counter() - started))
        works.append(1000 * (time.process_time() - worked))
        assert len(found) == K
    told = {
        f"p{q}_ms_{kind}": round(float(np.percentile(taken[20:], q)), 2)
        for kind, taken in (("wall", walls), ("cpu", works))
        for q in (50, 95)
    }
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    disk = sum(file.stat().st_size for file in out.iterdir()) / 2**30
    print(json.dumps({**told, "peak_memory_gib": round(memory, 2), "on_disk_gib": round(disk, 2)}))


def batch() -> None:
    """Rank all items for all users, ours and implicit in turns: as fitted, as loaded, and folding all users in.

    Threads are those of ``OMP_NUM_THREADS``; the ratio is ours over implicit's in users a second, over rounds.
    """
    import os

    from implicit.cpu.als import AlternatingLeastSquares

    from mmsdk.evaluation import mean
    from mmsdk_recommend import Recommender

    threads = int(os.environ["OMP_NUM_THREADS"])
    for users, items, count in ((3000, 3700, 250_000), (3000, 20_000, 250_000)):
        data = synthetic(users, items, count)
        made = Recommender("ials", iterations=2).fit(data.frame())
        with tempfile.TemporaryDirectory() as folder:
            loaded = Recommender.load(made.save(Path(folder) / "ials"))
        matrix = data.histories.matrix
        other = AlternatingLeastSquares(factors=64, iterations=2, alpha=10.0, num_threads=threads)
        other.fit(matrix, show_progress=False)
        everybody = np.arange(len(data.users))
        theirs = partial(other.recommend, everybody, matrix, N=K)
        ways: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
            "ials": (partial(made.recommend, data.users, K), theirs),
            "ials loaded": (partial(loaded.recommend, data.users, K), theirs),
            "ials, folding in, beside stored factors": (partial(forgetful, made), theirs),
            "ials, folding in, both": (partial(forgetful, made), partial(theirs, recalculate_user=True)),
        }
        for name, model in others(data).items():
            ways[name] = (partial(model.recommend, data.users, K), theirs)
        for name, (ours, peer) in ways.items():
            taken = [(seconds(ours), seconds(peer)) for _ in range(8)][1:]
            ratio = mean([b / a for a, b in taken])
            rates = [round(users / float(np.median(one))) for one in zip(*taken, strict=True)]
            told = {"way": name, "users_a_second": dict(zip(("ours", "implicit"), rates, strict=True))}
            print(
                json.dumps({"size": [users, items, count], "threads": threads, **told, "ratio": str(ratio)}), flush=True
            )


def others(data: Any) -> dict[str, Any]:
    """Give EASE and the default (without content), the latter as learned without SASRec, and weighing everything."""
    from mmsdk_recommend import Recommender
    from mmsdk_recommend.models.hybrid import COMPONENTS

    light = {label: one for label, one in COMPONENTS.items() if label != "sasrec"}
    found = {"ease": Recommender("ease").fit(data.frame())}
    for name in ("hybrid as learned without SASRec", "hybrid weighing all with SASRec"):
        found[name] = Recommender(components=light).fit(data.frame())
    vars(found[name].model)["components"] = COMPONENTS
    weigh_all(found[name])
    return found


def seconds(way: Callable[[], object]) -> float:
    started = time.perf_counter()
    way()
    return time.perf_counter() - started


def forgetful(made: Any) -> None:
    """Recommend to all users with none of them solved for before."""
    made.model.solved.clear()
    made.recommend(made.data.users, K)


def candidates() -> None:
    """Find the best 10 of 100,000 items by 64 factors under filters, from all scores and by FAISS."""
    from importlib import import_module

    from mmsdk_recommend.ranking import top

    faiss: Any = import_module("faiss")  # its type stubs lack the parameters of a search
    random = np.random.default_rng(0)
    items = random.normal(size=(100_000, 64)).astype(np.float32)
    items *= random.gamma(1.0, 1.0, size=(len(items), 1)).astype(np.float32)  # popular items have long vectors
    users = random.normal(size=(200, 1, 64)).astype(np.float32)
    flat, graph = faiss.IndexFlatIP(64), faiss.IndexHNSWFlat(64, 32, faiss.METRIC_INNER_PRODUCT)
    flat.add(items)
    graph.add(items)
    graph.hnsw.efSearch = 128
    for share in (1.0, 0.1, 0.01):
        allowed = random.random(len(items)) < share

        def exact(user: Any, allowed: Any = allowed) -> Any:
            scores = user @ items.T
            scores[:, ~allowed] = -np.inf
            return top(scores, K)

        def through(index: Any, user: Any, allowed: Any = allowed) -> Any:
            chosen = faiss.IDSelectorBitmap(np.packbits(allowed, bitorder="little"))
            kind = faiss.SearchParametersHNSW if index is graph else faiss.SearchParameters
            more = {"efSearch": 128} if index is graph else {}
            return index.search(user, K, params=kind(sel=chosen, **more))[1]

        ways: dict[str, Callable[[Any], Any]] = {
            "all scores": exact,
            "FAISS flat": partial(through, flat),
            "FAISS HNSW": partial(through, graph),
        }
        right = [exact(user)[0] for user in users]
        for name, way in ways.items():
            taken, hits = [], []
            for user, truth in zip(users, right, strict=True):
                started = time.perf_counter()
                found = way(user)[0]
                taken.append(1000 * (time.perf_counter() - started))
                hits.append(len(set(truth.tolist()) & set(found.tolist())) / K)
            told = {"ms": round(float(np.median(taken)), 2), "recall": round(float(np.mean(hits)), 3)}
            print(json.dumps({"allowed": share, "way": name, **told}), flush=True)


def new_items() -> None:
    """Rank the hidden tenth of the example's posters by text, by picture, and by both."""
    import runpy

    from mmsdk.evaluation import mean

    example = runpy.run_path("examples/recommend.py")
    with tempfile.TemporaryDirectory() as folder:
        world = example["make_world"](Path(folder))
        print(json.dumps({name: round(value, 4) for name, value in example["bounds"](world).items()}))
        for label, columns in (("text", ["title"]), ("picture", ["image"]), ("both", ["title", "image"])):
            values = example["new_items"](world, columns)
            print(json.dumps({label: str(mean(values[np.isfinite(values)].tolist()))}))


def synthetic(users: int, items: int, count: int) -> Any:
    """Interactions with popularity as in shops (Zipf) and 50 groups of taste."""
    from mmsdk_recommend import Interactions

    random = np.random.default_rng(0)
    group = random.integers(0, 50, items)
    order = [np.flatnonzero(group == number) for number in range(50)]
    who = random.integers(0, users, count)
    own = random.random(count) < 0.7
    rank = np.minimum(random.zipf(1.3, count) - 1, items - 1)
    what = random.permutation(items)[rank]
    for number, members in enumerate(order):
        chosen = own & (who % 50 == number)
        what[chosen] = members[np.minimum(random.zipf(1.2, int(chosen.sum())) - 1, len(members) - 1)]
    spare = random.integers(0, items, items)  # every item occurs
    frame = pd.DataFrame(
        {
            "user": np.concatenate([who[: count - items], spare % users]) if count > 2 * items else who,
            "item": np.concatenate([what[: count - items], np.arange(items)]) if count > 2 * items else what,
        }
    )
    frame["time"] = random.random(len(frame)) * 1e7
    return Interactions.from_frame(frame)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "what",
        choices=["movielens", "export", "cornac", "fit", "prepare", "serving", "batch", "candidates", "new-items"],
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--out", type=Path, default=Path("benchmark-recommend"))
    parser.add_argument("--split", default="global_time")
    parser.add_argument("--models", default="ease,sasrec,hybrid")
    parser.add_argument("--l2", type=float, default=300.0)
    asked = parser.parse_args()
    if asked.what == "movielens":
        accuracy(asked.folder, asked.split, ["popularity", "item_knn", *asked.models.split(",")])
    elif asked.what == "export":
        asked.out.mkdir(exist_ok=True)
        export(asked.folder, asked.out)
    elif asked.what == "cornac":
        cornac(asked.out, asked.l2)
    elif asked.what in ("prepare", "serving"):
        {"prepare": prepare, "serving": serving}[asked.what](asked.out)
    else:
        {"fit": fit, "batch": batch, "candidates": candidates, "new-items": new_items}[asked.what]()


if __name__ == "__main__":
    main()
