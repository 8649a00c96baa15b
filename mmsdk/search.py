"""Questions become hits: encode every part, ask every space and full text, fuse, choose, fetch.

It knows nothing of how a store finds things nor of how sources came in.
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from mmsdk import recognizers, telemetry
from mmsdk.beside import beside
from mmsdk.chunking import CJK
from mmsdk.errors import UnsupportedModalityError
from mmsdk.fusion import DENSE, NOTE, UNREAD, Fusion, Ranking, Scales, holds_spoken, scales_in
from mmsdk.protocols import Encoder, Store
from mmsdk.selection import Candidate, Selection, collapsed, select
from mmsdk.settings import Settings
from mmsdk.types import Audio, Chunk, Content, Filter, Hit, Modality, Vectors, modality_of

CANDIDATES = 200
"""Every list is at least this long before fusion; chosen on CISI."""
_CHINESE = (
    ("多久可以退货？", "收到商品后三十天内，未使用的物品可以寄回并获得退款。"),
    ("长城有多长？", "这道古代防御城墙全长约两万一千公里，跨越十五个省。"),
    ("感冒了怎么办？", "多休息，多喝水，必要时服用退烧药，症状严重请就医。"),
    ("谁发明了电话？", "亚历山大·贝尔在一八七六年获得了这种通话装置的专利。"),
    ("鱼为什么能在水里呼吸？", "鳃从水流中吸收氧气，并排出二氧化碳。"),
    ("银行利率上升会怎样？", "借贷成本增加，企业投资减少，股市往往下跌。"),
    ("怎样煮米饭？", "大米淘洗后加一倍半的水，小火焖二十分钟。"),
    ("月食是怎么形成的？", "地球运行到太阳与月球之间，影子遮住了月面。"),
)
"""Questions and their answers: an encoder that knows Chinese tells which belong together."""
_LETTER = re.compile(r"[^\W\d_]")
_CJK = re.compile(f"[{CJK}]")
_chinese: dict[str, bool] = {}
PLAIN = Selection()
T = TypeVar("T")
Question = Sequence[Content]


Parts = Sequence[tuple[Content, Modality]]
"""What is asked, each with the modality it had."""


@dataclass(frozen=True)
class Encoded:
    """Hold the vectors that an encoder gave; ``wanted`` says of which question, part and content each is."""

    encoder: Encoder
    wanted: Sequence[tuple[int, int, Content]]
    vectors: Vectors


def snapshot(store: Store) -> AbstractContextManager[Any]:
    """Let all reads within be of one state, where the store can."""
    seen: AbstractContextManager[Any] = getattr(store, "snapshot", nullcontext)()
    return seen


class Search:
    """Answer several questions over one store in one go."""

    def __init__(
        self, store: Store, encoders: Sequence[Encoder], *, settings: Settings, selection: Selection = PLAIN
    ) -> None:
        self.store, self.encoders, self.settings, self.selection = store, encoders, settings, selection
        self.seconds: dict[str, float] = {}
        self._modalities: dict[str, Modality] = {}
        """Of chunks that were found for a quota."""

    def run(self, questions: Sequence[Question], k: int, *, where: Filter | None) -> list[list[Hit]]:
        """Give at most ``k`` hits a question, best first."""
        self.selection.check(k)
        asked, count = self._timed("hear", self._heard, questions), max(CANDIDATES, k)
        with ExitStack() as stack:
            words = self._words_while_encoding(stack, asked, count, where)
            vectors = self._encoded(asked)
            stack.enter_context(snapshot(self.store))
            rankings = self._ranked(asked, vectors, count, where=where, words=words)
            noted = self.store.noted(NOTE)
            scales, has_spoken = scales_in(noted), holds_spoken(noted)
            fused = [self._timed("fuse", self._fused, lists, scales, has_spoken) for lists in rankings]
            return self._timed("fetch", self._hits, fused, k, where)

    def rankings(self, questions: Sequence[Question], count: int, *, where: Filter | None) -> list[list[Ranking]]:
        """Give for each question the lists of every space and of full text, ``count`` long."""
        asked = self._timed("hear", self._heard, questions)
        vectors = self._encoded(asked)
        with snapshot(self.store):
            return self._ranked(asked, vectors, count, where=where)

    def _words_while_encoding(
        self, stack: ExitStack, asked: Sequence[Parts], count: int, where: Filter | None
    ) -> Callable[[], list[list[Ranking]]] | None:
        """Begin to search full text for a single question in words, of the state that all of it will be of."""
        if len(asked) != 1 or any(modality != "text" for _, modality in asked[0]):
            return None  # a state that is read for long keeps the log of changes from shrinking
        seen = stack.enter_context(snapshot(self.store))
        return None if seen is None else stack.enter_context(beside(partial(self._words, seen, asked, count, where)))

    def _encoded(self, asked: Sequence[Parts]) -> list[Encoded]:
        """Give the vectors of the parts of every question; each part is encoded once a space."""
        done: set[tuple[str, int, int]] = set()
        encoded = []
        for encoder in self.encoders:
            wanted = [
                (owner, place, content)
                for owner, question in enumerate(asked)
                for place, (content, _) in enumerate(question)
                if modality_of(content) in encoder.modalities and (encoder.space, owner, place) not in done
            ]
            if wanted:
                done.update((encoder.space, owner, place) for owner, place, _ in wanted)
                contents = [content for _, _, content in wanted]
                encoded.append(
                    Encoded(encoder, wanted, self._timed("encode", telemetry.encode, encoder, contents, role="query"))
                )
        self._refuse_unencoded(asked, {(owner, place) for _, owner, place in done})
        return encoded

    def _ranked(
        self,
        asked: Sequence[Parts],
        vectors: Sequence[Encoded],
        count: int,
        *,
        where: Filter | None,
        words: Callable[[], list[list[Ranking]]] | None = None,
    ) -> list[list[Ranking]]:
        told = None if words is None else words()  # two threads may not read one state at once
        lists: list[list[Ranking]] = [[] for _ in asked]
        for encoded in vectors:
            self._timed("dense", self._dense, encoded, lists, count, where)
        told = self._words(self.store, asked, count, where) if told is None else told
        return [[*dense, *texts] for dense, texts in zip(lists, told, strict=True)]

    def _heard(self, questions: Sequence[Question]) -> list[Parts]:
        """Give every part with its modality; recordings as what is said, where speech shares a space with text."""
        text_spaces = {encoder.space for encoder in self.encoders if "text" in encoder.modalities}
        is_heard = any(
            "audio" in encoder.modalities and "text" not in encoder.modalities and encoder.space in text_spaces
            for encoder in self.encoders
        )
        recordings = [part for question in questions for part in question if isinstance(part, Audio)]
        said: dict[Audio, str] = {}
        if is_heard and recordings:
            transcripts = recognizers.transcriber(self.settings).transcribe(recordings)
            said = {part: transcript.text for part, transcript in zip(recordings, transcripts, strict=True)}
        return [
            [(said.get(part, part) if isinstance(part, Audio) else part, modality_of(part)) for part in question]
            for question in questions
        ]

    def _dense(self, encoded: Encoded, rankings: list[list[Ranking]], count: int, where: Filter | None) -> None:
        encoder = encoded.encoder
        for kind in self.store.kinds(encoder.space):
            lists = self._near(encoder.space, encoded.vectors, count, where=where, kind=kind)
            for (owner, place, content), found in zip(encoded.wanted, lists, strict=True):
                share = dense_share(encoder, content)
                rankings[owner].append(Ranking(place, modality_of(content), kind, encoder.space, found, share))

    def _near(
        self, space: str, vectors: Vectors, count: int, *, where: Filter | None, kind: Modality
    ) -> list[list[tuple[str, float]]]:
        lists = self.store.search(space, vectors, count, where=where, kind=kind)
        for modality, narrowed in self._quotas(where):
            more = self.store.search(space, vectors, count, where=narrowed, kind=kind)
            lists = [self._with(found, extra, modality) for found, extra in zip(lists, more, strict=True)]
        return lists

    def _quotas(self, where: Filter | None) -> Iterator[tuple[Modality, Filter]]:
        """Give the filter for every modality with a quota: its best may lie beyond the candidates."""
        for modality, count in self.selection.quota.items():
            if count:
                only = {"modality": modality}
                yield modality, {"$and": [where, only]} if where else only

    def _with(
        self, found: list[tuple[str, float]], more: list[tuple[str, float]], modality: Modality
    ) -> list[tuple[str, float]]:
        self._modalities.update((name, modality) for name, _ in more)
        return sorted({**dict(found), **dict(more)}.items(), key=lambda pair: (-pair[1], pair[0]))

    def _refuse_unencoded(self, asked: Sequence[Parts], done: set[tuple[int, int]]) -> None:
        for owner, question in enumerate(asked):
            for place, (content, modality) in enumerate(question):
                if (owner, place) not in done and not isinstance(content, str):
                    known = sorted({modality for encoder in self.encoders for modality in encoder.modalities})
                    raise UnsupportedModalityError(
                        f"no encoder of this collection takes {modality}; they take {', '.join(known) or 'nothing'}"
                    )

    def _words(self, store: Any, asked: Sequence[Parts], count: int, where: Filter | None) -> list[list[Ranking]]:
        """Give for each question the lists of full text; ``store`` is one, or a state of one."""
        with telemetry.timed(self.seconds, "text"):
            return [
                [
                    Ranking(place, "text", "text", None, self._told(store, content, count, where), asked=content)
                    for place, (content, _) in enumerate(question)
                    if isinstance(content, str)
                ]
                for question in asked
            ]

    def _told(self, store: Any, content: str, count: int, where: Filter | None) -> list[tuple[str, float]]:
        found: list[tuple[str, float]] = store.search_text(content, count, where=where)
        for modality, narrowed in self._quotas(where):
            found = self._with(found, store.search_text(content, count, where=narrowed), modality)
        return found

    def _fused(self, rankings: Sequence[Ranking], scales: Scales, has_spoken: bool) -> Fusion:
        spoken: set[str] = set()
        if has_spoken:
            texts = {name for ranking in rankings if ranking.content == "text" for name, _ in ranking.found}
            modalities = self.store.modalities(list(texts))
            spoken = {name for name, modality in modalities.items() if modality == "audio"}
        return Fusion(rankings, method=self.settings.retrieval.fusion, scales=scales, spoken=spoken)

    def _hits(self, fused: Sequence[Fusion], k: int, where: Filter | None) -> list[list[Hit]]:
        """Give for each question the first ``k`` that are still there; most come in one reading."""
        queues = [self._chosen(fusion, k) for fusion in fused]
        first = [list(islice(queue, k)) for queue in queues]
        chunks = self._got([found.id for wanted in first for found in wanted])
        found = []
        for fusion, wanted, queue in zip(fused, first, queues, strict=True):
            hits = self._made(fusion, wanted, chunks, where)
            while len(hits) < k and (wanted := list(islice(queue, k))):
                hits += self._made(fusion, wanted, self._got([found.id for found in wanted]), where)
            found.append(hits[:k])
        return found

    def _made(
        self, fusion: Fusion, wanted: Sequence[Candidate], chunks: Mapping[str, Chunk], where: Filter | None
    ) -> list[Hit]:
        """Make hits of what is there of ``wanted``."""
        there = [found for found in wanted if found.id in chunks]
        traces = fusion.traces([found.id for found in there])
        method = self.settings.retrieval.fusion
        hits = []
        for found in there:
            said = {"fused": found.score, "rank": found.rank, "method": method, **found.note, "where": where}
            hits.append(Hit(chunks[found.id], found.score, {**traces[found.id], **said, "seconds": self.seconds}))
        return hits

    def _got(self, ids: Sequence[str]) -> dict[str, Chunk]:
        return {chunk.id: chunk for chunk in self.store.get(list(dict.fromkeys(ids)))}

    def _chosen(self, fusion: Fusion, k: int) -> Iterator[Candidate]:
        """Give the results in the order in which they become hits."""
        candidates = (Candidate(name, score, rank) for rank, (name, score) in enumerate(fusion.ranked(), 1))
        return candidates if self.selection == PLAIN else iter(self._selected(list(candidates), k, fusion.contents))

    def _selected(self, candidates: Sequence[Candidate], k: int, contents: Mapping[str, Modality]) -> list[Candidate]:
        selection = self.selection
        similar = self._compared(candidates, contents) if selection.compares else None
        if similar is not None and selection.collapse is not None:
            candidates, kept = collapsed(candidates, similar, selection.collapse)
            similar = similar[np.ix_(kept, kept)]
        similar = np.maximum(similar, 0) if similar is not None and selection.diversity else None
        return select(candidates, k, selection=selection, modalities=self._modalities, similar=similar)

    def _compared(self, candidates: Sequence[Candidate], contents: Mapping[str, Modality]) -> NDArray[np.float32]:
        """Give cosines of candidates, float32 ``[n, n]``: the highest of any space, 0 for a text and a picture."""
        names = [candidate.id for candidate in candidates]
        similar = np.zeros((len(names), len(names)), np.float32)
        for space in {encoder.space for encoder in self.encoders}:
            rows = np.nan_to_num(self.store.vectors(space, names))
            similar = np.maximum(similar, rows @ rows.T)
        kinds = np.array([contents[name] for name in names])
        return np.where(kinds[:, None] == kinds[None, :], similar, np.float32(0))

    def _timed(self, step: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        with telemetry.timed(self.seconds, step):
            return function(*arguments, **options)


def dense_share(encoder: Encoder, content: Content) -> float:
    """Give what a cosine counts beside full text: less for a Chinese question when the encoder knows no Chinese.

    All-MiniLM puts 3 of the 8 answers above to their questions; its Chinese neighbours are near chance.
    """
    if not isinstance(content, str) or 2 * len(_CJK.findall(content)) <= len(_LETTER.findall(content)):
        return DENSE
    if encoder.fingerprint not in _chinese:
        _chinese[encoder.fingerprint] = knows_chinese(encoder)
    return DENSE if _chinese[encoder.fingerprint] else UNREAD


def knows_chinese(encoder: Encoder) -> bool:
    """Say whether at least three quarters of Chinese questions are nearest to their own answers."""
    questions = encoder.encode([question for question, _ in _CHINESE], role="query")
    answers = encoder.encode([answer for _, answer in _CHINESE], role="document")
    nearest = (questions @ answers.T).argmax(axis=1)
    return float((nearest == range(len(_CHINESE))).mean()) >= 0.75
