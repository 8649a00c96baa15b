"""Measure whether one ranked list over texts, pictures and recordings is fair.

    python -m benchmarks.mixed

The set, in two halves without a common document, picture, recording or question: Cranfield's abstracts and
queries by the parity of their number; the classes of ``img_clothing`` by turns, every fourth photo of a class
being a question and the others being in the collection; the English ``speech_clips`` with a transcript by turns,
as recordings, with the questions of ``mixed_queries.jsonl`` (written by hand from the transcripts before any
search was run). A list that calibrates with labelled pairs takes them from the other half than it is tested on,
both ways round; every question is tested once.

Questions are of four groups: text for abstracts, text for photos, a photo for photos, text for recordings. The
figures are nDCG@10 and misplacement: how far the shares of the modalities among the first R results are from
those of the question's R relevant items (R at most 10; half the sum of absolute differences, 0 is fair). Each
group counts equally; intervals are bootstrapped over questions within groups, those of photos over classes.
"""

import json
import math
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from benchmarks.retrieval import DATA, cranfield
from mmsdk import calibration
from mmsdk.collection import Collection
from mmsdk.fusion import Fusion, Ranking, Scales, scales_in
from mmsdk.loaders import load
from mmsdk.protocols import Encoder, Entry
from mmsdk.search import CANDIDATES, Search
from mmsdk.settings import Settings
from mmsdk.types import Content, Document, Modality, Role, Vectors, modality_of

Run = list[list[str]]
"""For every question the names of what was found, best first."""
WANTED: Mapping[str, Modality] = {
    "abstracts": "text",
    "photos": "image",
    "photos by photo": "image",
    "recordings": "audio",
}
MODALITIES: tuple[Modality, ...] = ("text", "image", "audio")
NAMES = {
    "dress": "dress",
    "hat": "hat",
    "longsleeve": "long-sleeved top",
    "outwear": "jacket or coat",
    "pants": "pair of trousers",
    "shirt": "shirt",
    "shoes": "pair of shoes",
    "shorts": "pair of shorts",
    "skirt": "skirt",
    "t-shirt": "t-shirt",
}
PHRASES = ("{}", "a photo of a {}", "somebody wearing a {}")


@dataclass
class Half:
    """Hold what one half asks and finds: ``judged`` is question number to the ids of relevant documents."""

    sources: list[Path] = field(default_factory=list)
    texts: dict[str, str] = field(default_factory=dict)
    questions: list[Content] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    clusters: list[str] = field(default_factory=list)
    judged: list[frozenset[str]] = field(default_factory=list)
    """Ids are those of ``texts``, and the sources of photos and recordings."""

    def ask(self, question: Content, group: str, judged: Sequence[str], *, cluster: str = "") -> None:
        """Add a question; questions of one cluster are resampled together."""
        self.questions.append(question)
        self.groups.append(group)
        self.clusters.append(f"{group} {cluster or len(self.questions)}")
        self.judged.append(frozenset(judged))


def halves() -> tuple[Half, Half]:
    """Read the set."""
    both = Half(), Half()
    _abstracts(both)
    _photos(both)
    _recordings(both)
    return both


def _abstracts(both: tuple[Half, Half]) -> None:
    task = cranfield()
    for name, text in task.texts.items():
        if text:
            both[int(name) % 2].texts[name] = text
    for name, question in task.queries.items():
        half = both[int(name) % 2]
        relevant = [document for document, grade in task.judged[name].items() if grade and document in half.texts]
        if relevant:
            half.ask(question, "abstracts", relevant)


def _photos(both: tuple[Half, Half]) -> None:
    for place, (folder, name) in enumerate(NAMES.items()):
        half = both[place % 2]
        files = sorted((DATA.resolve() / "img_clothing" / folder).glob("*.jpg"))
        kept = [file for number, file in enumerate(files) if number % 4]
        half.sources += kept
        judged = [str(file) for file in kept]
        for phrase in PHRASES:
            half.ask(phrase.format(name), "photos", judged, cluster=folder)
        for file in files[::4]:
            half.ask(load(file), "photos by photo", judged, cluster=folder)


def _recordings(both: tuple[Half, Half]) -> None:
    lines = (Path(__file__).parent / "mixed_queries.jsonl").read_text("utf-8").splitlines()
    turns: dict[tuple[str, ...], int] = {}
    for line in lines:
        asked = json.loads(line)
        half = both[turns.setdefault(tuple(asked["clips"]), len(turns)) % 2]
        files = [DATA.resolve() / "speech_clips" / clip for clip in asked["clips"]]
        half.sources += [file for file in files if file not in half.sources]
        half.ask(asked["query"], "recordings", [str(file) for file in files], cluster=asked["clips"][0])


@dataclass
class Asked:
    """Hold a half in a collection, with the lists that its questions got."""

    half: Half
    collection: Collection
    names: Mapping[str, str]
    """Chunk id to the name that ``judged`` uses."""
    modalities: Mapping[str, Modality]
    lists: list[list[Ranking]]

    def fused(self, scales: Scales, method: str = "scores") -> Run:
        """Rank by fusion."""
        spoken = {name for name, modality in self.modalities.items() if modality == "audio"}
        return [
            self._named(name for name, _ in Fusion(lists, method=method, scales=scales, spoken=spoken).ranked())  # type: ignore[arg-type]
            for lists in self.lists
        ]

    def by_cosine(self) -> Run:
        """Merge by raw cosines."""
        run = []
        for lists in self.lists:
            cosines: dict[str, float] = {}
            for ranking in lists:
                if ranking.space is not None:
                    cosines.update(ranking.found)
            run.append(self._named(sorted(cosines, key=lambda name: -cosines[name])))
        return run

    def apart(self, join: Callable[[list[list[str]]], list[str]]) -> Run:
        """Rank every modality by itself, texts by hybrid search, and join the three lists."""
        run = []
        for lists in self.lists:
            ranked = [name for name, _ in Fusion(lists).ranked()]
            kinds = [[name for name in ranked if self.modalities[name] == kind] for kind in MODALITIES]
            run.append(self._named(join(kinds)))
        return run

    def pairs(self) -> list[tuple[Content, list[str]]]:
        """Give the questions with the ids of relevant documents."""
        store = self.collection.store
        ids = {source: name for source in map(str, self.half.sources) for name in store.documents(source=source)}
        return [
            (question, [ids.get(name, name) for name in sorted(relevant) if name in ids or name in self.half.texts])
            for question, relevant in zip(self.half.questions, self.half.judged, strict=True)
        ]

    def _named(self, chunks: Iterable[str]) -> list[str]:
        return list(dict.fromkeys(self.names[name] for name in chunks))[:10]


class Gapped:
    """Give an encoder of a known space a gap between modalities: half of every vector's length says which it is.

    Texts are at least 0.5 from each other and pictures too, texts and pictures at most 0.5: raw cosines of several
    modalities cannot be merged, as with many encoders trained by contrast.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self.space, self.dimension = f"gapped:{encoder.space}", encoder.dimension + 2
        self.modalities, self.fingerprint = encoder.modalities, f"gapped {encoder.fingerprint}"

    def encode(self, inputs: Sequence[Content], *, role: Role = "document") -> Vectors:
        """Encode with the gap."""
        return parted(self.encoder.encode(inputs, role=role), [modality_of(content) for content in inputs])


def parted(vectors: Vectors, kinds: Sequence[Modality]) -> Vectors:
    rows = np.zeros((len(vectors), vectors.shape[1] + 2), np.float32)
    rows[:, :-2] = math.sqrt(0.5) * vectors
    for row, kind in zip(rows, kinds, strict=True):
        row[-1 if kind == "image" else -2] = math.sqrt(0.5)
    return rows


def asked(half: Half, collection: Collection) -> Asked:
    """Ask all questions."""
    store, names, modalities = collection.store, {}, {}
    for document in store.documents():
        for chunk in store.chunks(document):
            names[chunk.id] = document if document in half.texts else chunk.source
            modalities[chunk.id] = chunk.modality
    search = Search(store, collection.encoders, settings=collection.settings)
    lists = search.rankings([[question] for question in half.questions], CANDIDATES, where=None)
    return Asked(half, collection, names, modalities, lists)


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        sides = []
        for number, half in enumerate(halves()):
            collection = Collection.open(f"{folder}/{number}", create=True, settings=Settings())
            collection.add_texts(list(half.texts.values()), ids=list(half.texts))
            report = collection.add(half.sources)
            found = asked(half, collection)
            sides.append(found)
            print(f"half {number}: {dict(Counter(found.modalities.values()))}, {dict(Counter(half.groups))}, {report}")
        print("\nThe bundled encoders, one space")
        measure(sides)
        print("\nThe same with a gap between modalities")
        measure([asked(side.half, gapped(side.collection, f"{folder}/gap{n}")) for n, side in enumerate(sides)])


def gapped(collection: Collection, folder: str) -> Collection:
    """Give a collection of the same chunks with vectors that have a gap."""
    store = collection.store
    wrapped = [Gapped(encoder) for encoder in collection.encoders if "audio" not in encoder.modalities]
    made = Collection.open(folder, create=True, encoders=wrapped, settings=Settings())
    space = collection.encoders[0].space
    entries = []
    for name, digest in store.documents().items():
        chunks = tuple(store.chunks(name))
        vectors = store.vectors(space, [chunk.id for chunk in chunks])
        rows = parted(vectors, [modality_of(chunk.content) for chunk in chunks])
        document = Document(name, (), chunks[0].source if chunks else "", digest)
        entries.append(Entry(document, chunks, {wrapped[0].space: rows}))
    made.store.upsert(entries)
    made.calibrate()
    return made


def measure(sides: Sequence[Asked]) -> None:
    """Print how fair and how good each way to merge is, and each beside calibration by pairs."""
    rows = [calibration.from_rows(side.collection.store, side.collection.encoders) for side in sides]
    learned = [scales_in({"scales": side.collection.calibrate(side.pairs())}) for side in sides]
    spaces = {key[:2] for scales in (*learned, *rows) for key in scales}
    raw: Scales = {(space, query, item): (0.0, 1.0) for space, query in spaces for item in MODALITIES}
    print("scales by pairs:", *(shown(scales) for scales in learned), "\nscales by rows:", *(shown(s) for s in rows))
    runs = {
        "calibrated by pairs of the other half": [side.fused(learned[1 - n]) for n, side in enumerate(sides)],
        "default scales": [side.fused({}) for side in sides],
        "scales by rows": [side.fused(rows[n]) for n, side in enumerate(sides)],
        "raw scores: cosines": [side.by_cosine() for side in sides],
        "raw scores: hybrid": [side.fused(raw) for side in sides],
        "reciprocal ranks": [side.fused({}, "ranks") for side in sides],
        "concatenation": [side.apart(lambda kinds: [name for kind in kinds for name in kind[:50]]) for side in sides],
        "taking turns": [side.apart(turns) for side in sides],
    }
    figures = {name: Figures(sides, run) for name, run in runs.items()}
    first = next(iter(figures.values()))
    for name, found in figures.items():
        print(f"  {name:38s} nDCG@10 {found.line('ndcg')}  misplaced {found.line('misplaced')}")
        if found is not first:
            print(f"  {'':38s} calibrated minus this {first.minus(found, 'ndcg')}, {first.minus(found, 'misplaced')}")
    for name in ("calibrated by pairs of the other half", "default scales", "raw scores: cosines"):
        print(f"  {name}: nDCG@10, misplaced, and shares of {', '.join(MODALITIES)} among the first R")
        for group in WANTED:
            print(f"    {group:16s} {figures[name].of(group)}")


def turns(kinds: list[list[str]]) -> list[str]:
    """Take the best of every modality, then the second best, and so on."""
    return [kind[place] for place in range(10) for kind in kinds if place < len(kind)]


class Figures:
    """Hold nDCG@10, misplacement and shares of every question, by group and cluster."""

    def __init__(self, sides: Sequence[Asked], runs: Sequence[Run]) -> None:
        self.rows: dict[str, dict[str, list[tuple[float, ...]]]] = defaultdict(lambda: defaultdict(list))
        for side, run in zip(sides, runs, strict=True):
            kinds = {name: side.modalities[chunk] for chunk, name in side.names.items()}
            half = side.half
            for group, cluster, relevant, found in zip(half.groups, half.clusters, half.judged, run, strict=True):
                count = min(10, len(relevant))
                gained = sum(1 / math.log2(place + 2) for place, name in enumerate(found) if name in relevant)
                ideal = sum(1 / math.log2(place + 2) for place in range(count))
                shares = [sum(kinds[name] == kind for name in found[:count]) / count for kind in MODALITIES]
                target = [float(kind == WANTED[group]) for kind in MODALITIES]
                misplaced = sum(abs(share - wanted) for share, wanted in zip(shares, target, strict=True)) / 2
                self.rows[group][cluster].append((gained / ideal, misplaced, *shares))

    def line(self, what: str) -> str:
        """Give the mean over groups with its interval."""
        low, high = np.quantile(self._resampled(what), (0.025, 0.975))
        return f"{self._mean(what):.3f} [{low:.3f}, {high:.3f}]"

    def minus(self, other: "Figures", what: str) -> str:
        """Give the difference with its paired interval."""
        low, high = np.quantile(self._resampled(what) - other._resampled(what), (0.025, 0.975))
        return f"{what} {self._mean(what) - other._mean(what):+.3f} [{low:+.3f}, {high:+.3f}]"

    def of(self, group: str) -> str:
        """Give the means of one group."""
        rows = [row for cluster in self.rows[group].values() for row in cluster]
        return "  ".join(f"{value:.3f}" for value in np.mean(rows, axis=0))

    def _mean(self, what: str) -> float:
        return float(np.mean([np.concatenate(self._values(group, what)).mean() for group in WANTED]))

    def _values(self, group: str, what: str) -> list[np.ndarray]:
        column = ("ndcg", "misplaced").index(what)
        return [np.array([row[column] for row in cluster]) for cluster in self.rows[group].values()]

    def _resampled(self, what: str, times: int = 2000) -> np.ndarray:
        """Draw clusters with replacement within every group; the same draws for every way to merge."""
        random = np.random.default_rng(0)
        total = np.zeros(times)
        for group in WANTED:
            values = self._values(group, what)
            sums, counts = np.array([v.sum() for v in values]), np.array([len(v) for v in values])
            drawn = random.integers(len(values), size=(times, len(values)))
            total += sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
        return total / len(WANTED)


def shown(scales: Scales) -> str:
    """Write scales on a line."""
    return "; ".join(f"{query} to {item} {low:.3f} {high:.3f}" for (_, query, item), (low, high) in scales.items())


if __name__ == "__main__":
    main()
