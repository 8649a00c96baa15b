"""Recommend posters of a shop that does not exist, whose customers' tastes are known, so that the truth can be checked.

    .venv/bin/python examples/recommend.py

Draws 1,000 posters: what they are about stands in their texts, how they look is only in their pictures. 600 customers
each like some subjects and some looks, and buy accordingly. A tenth of the posters is new: nobody bought one yet.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from mmsdk_recommend import Recommender
from mmsdk_recommend.evaluation import Trial, evaluate
from mmsdk_recommend.explain import explain
from mmsdk_recommend.report import write_report
from mmsdk_recommend.splits import Split, split

FOLDER = Path("demo-recommend")
ITEMS, USERS, NEW, VARIANTS = 1000, 600, 0.1, 12
SUBJECTS = {
    "sea": "Harbour at dawn|Gulls over the surf|The old lighthouse|Fishing boats at low tide|Waves on the pier",
    "mountains": "The north face|Alpine hut in fog|Above the glacier|A path to the summit|Chamois on the ridge",
    "music": "The jazz quartet|A cello on a chair|Opening night at the opera|Drums and brass|The street accordion",
    "kitchen": "Fresh bread|Copper pans|A bowl of soup|Olives and cheese|The pastry cook",
    "space": "Rings of Saturn|The rover on Mars|A comet over the desert|Launch pad at night|The far side of the moon",
    "trains": "The night express|Steam at the platform|Old tram depot|The viaduct|Signals in the rain",
    "gardens": "Roses by the wall|The greenhouse|Tulip fields|Under the apple trees|The gardener's shed",
    "horses": "Mare and foal|Galloping herd|The riding school|Stable in winter|The blacksmith",
}
LOOKS = ("stripes", "dots", "checks", "rings", "triangles", "waves")
Floats = NDArray[np.float64]


@dataclass
class World:
    """Hold the catalogue, all purchases, which posters are new, and the tastes nobody sees: ``[users, items]``."""

    catalogue: pd.DataFrame
    interactions: pd.DataFrame
    new: set[str]
    tastes: Floats


def draw(look: str, seed: int) -> Image.Image:
    """Draw a pattern in two colours, 96 x 96."""
    random = np.random.default_rng(seed)
    back, front = ((int(r), int(g), int(b)) for r, g, b in random.integers(0, 256, (2, 3)))
    step = int(random.integers(12, 20))
    picture = Image.new("RGB", (96, 96), back)
    pen = ImageDraw.Draw(picture)
    for x in range(0, 96, step):
        if look == "stripes":
            pen.rectangle((x, 0, x + step // 2, 96), fill=front)
        elif look == "rings":
            pen.ellipse((x / 2, x / 2, 95 - x / 2, 95 - x / 2), outline=front, width=4)
        elif look == "waves":
            pen.line([(t, x + 6 * np.sin(t / 7)) for t in range(96)], fill=front, width=4)
        for y in range(0, 96, step):
            if look == "dots":
                pen.ellipse((x, y, x + step * 0.6, y + step * 0.6), fill=front)
            elif look == "checks" and (x // step + y // step) % 2:
                pen.rectangle((x, y, x + step, y + step), fill=front)
            elif look == "triangles":
                pen.polygon([(x, y + step * 0.8), (x + step * 0.4, y), (x + step * 0.8, y + step * 0.8)], fill=front)
    return picture


def make_world(folder: Path, seed: int = 7) -> World:
    """Draw, write and sell everything; the same each time."""
    random = np.random.default_rng(seed)
    (folder / "pictures").mkdir(parents=True, exist_ok=True)
    for look in LOOKS:
        for variant in range(VARIANTS):
            draw(look, variant + 100 * LOOKS.index(look)).save(folder / "pictures" / f"{look}-{variant}.png")
    subjects, names = random.integers(0, len(SUBJECTS), ITEMS), list(SUBJECTS)
    looks = random.integers(0, len(LOOKS), ITEMS)
    rows: list[dict[str, Any]] = []
    for number, (subject, look) in enumerate(zip(subjects.tolist(), looks.tolist(), strict=True)):
        title = random.choice(SUBJECTS[names[subject]].split("|"))
        picture = folder / "pictures" / f"{LOOKS[look]}-{random.integers(VARIANTS)}.png"
        price = int(random.integers(8, 90))
        rows.append(
            {"item": f"p{number:03d}", "title": f"{title} (no. {number})", "image": str(picture), "price": price}
        )
    likes_subject = random.gumbel(size=(USERS, len(SUBJECTS))) * 1.1
    likes_look = random.gumbel(size=(USERS, len(LOOKS))) * 1.1
    known = random.normal(size=ITEMS) * 0.6
    tastes = likes_subject[:, subjects] + likes_look[:, looks] + known
    bought = []
    for user in range(USERS):
        order = np.argsort(-(tastes[user] + random.gumbel(size=ITEMS)))[: random.integers(20, 45)]
        times = np.sort(random.integers(1_700_000_000, 1_730_000_000, len(order)))
        pairs = zip(random.permutation(order).tolist(), times.tolist(), strict=True)
        bought += [{"user": f"u{user:03d}", "item": f"p{item:03d}", "time": time} for item, time in pairs]
    new = {f"p{item:03d}" for item in random.choice(ITEMS, int(NEW * ITEMS), replace=False)}
    return World(pd.DataFrame(rows), pd.DataFrame(bought), new, tastes)


def hide(world: World) -> Split:
    """Keep purchases of new posters for the test."""
    hidden = world.interactions["item"].isin(world.new)
    train, test = (world.interactions[mask].reset_index(drop=True) for mask in (~hidden, hidden))
    return Split("new items", "a tenth of the items is unknown", train, test[test["user"].isin(train["user"])])


def new_items(world: World, columns: list[str], model: str = "hybrid") -> Floats:
    """Rank the new posters for everybody by their content; NDCG@10 of each user."""
    parts = hide(world)
    components = {"ease": {"model": "ease"}, "popularity": {"model": "popularity"}, "content": {"model": "content"}}
    params: dict[str, Any] = {"components": components} if model == "hybrid" else {}
    fitted = Recommender(model, **params).fit(parts.train, world.catalogue[["item", *columns]])
    measured = Trial(fitted, parts).cold_items()
    assert measured is not None
    return measured["NDCG@10"]


def bounds(world: World, seed: int = 0) -> dict[str, float]:
    """Give what chance, the sales that are still to come, and the true tastes would reach on the new posters."""
    parts, random = hide(world), np.random.default_rng(seed)
    places = sorted(int(name[1:]) for name in world.new)
    sold = parts.test["item"].value_counts()
    sales = np.array([sold.get(f"p{place:03d}", 0) for place in places], float)
    wanted = parts.test.groupby("user")["item"].agg(set)
    found: dict[str, list[float]] = {"chance": [], "popularity": [], "truth": []}
    for user, items in wanted.items():
        taste = world.tastes[int(str(user)[1:])][places]
        for name, scores in (("chance", random.random(len(places))), ("popularity", sales), ("truth", taste)):
            hits = [f"p{places[place]:03d}" in items for place in np.argsort(-scores)[:10]]
            gains = 1 / np.log2(np.arange(2, 12))
            found[name].append(float(np.dot(hits, gains) / gains[: min(10, len(items))].sum()))
    return {name: float(np.mean(values)) for name, values in found.items()}


def main() -> None:
    """Show everything once."""
    world = make_world(FOLDER)
    world.catalogue.to_json(FOLDER / "catalogue.jsonl", orient="records", lines=True)
    world.interactions.to_csv(FOLDER / "interactions.csv", index=False)
    print(f"{len(world.catalogue)} posters, {len(world.new)} of them new, {len(world.interactions)} purchases")
    parts = hide(world)
    recommender = Recommender().fit(parts.train, world.catalogue)
    found = recommender.recommend(["u001"], k=3, where={"price": {"$lt": 40}})
    print("\nfor u001, under 40:")
    for item in found["item"]:
        print("  ", explain(recommender, "u001", item).text)
    print("\nlike p001:", ", ".join(recommender.similar("p001", k=3)["item"]))
    print("for somebody new who likes ships:", ", ".join(recommender.for_taste("ships and the ocean", k=3)["item"]))
    print("\nnew posters, NDCG@10:", json.dumps({k: round(v, 3) for k, v in bounds(world).items()}))
    for label, columns in (("text", ["title"]), ("picture", ["image"]), ("both", ["title", "image"])):
        print(f"   by {label}: {new_items(world, columns).mean():.3f}")
    measured = evaluate(split(world.interactions, "user_time"), ["ease", "hybrid"], catalogue=world.catalogue)
    print(f"\n{measured.table().iloc[:, :7].round(3).to_string()}")
    print("report:", write_report(measured, FOLDER / "report.html"))


if __name__ == "__main__":
    main()
