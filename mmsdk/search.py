"""Questions become hits: encode every part, ask every space and full text, fuse, fetch.

It knows nothing of how a store finds things nor of how sources came in.
"""

import re
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mmsdk import recognizers, telemetry
from mmsdk.chunking import CJK
from mmsdk.errors import UnsupportedModalityError
from mmsdk.fusion import DENSE, UNREAD, Fused, Ranking, fuse
from mmsdk.protocols import Encoder, Store
from mmsdk.settings import Settings
from mmsdk.types import Audio, Content, Filter, Hit, Modality, modality_of

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
T = TypeVar("T")
Question = Sequence[Content]


class Search:
    """Answer several questions over one store in one go."""

    def __init__(self, store: Store, encoders: Sequence[Encoder], *, settings: Settings) -> None:
        self.store, self.encoders, self.settings = store, encoders, settings
        self.seconds: dict[str, float] = {}

    def run(self, questions: Sequence[Question], k: int, *, where: Filter | None) -> list[list[Hit]]:
        """Give at most ``k`` hits a question, best first."""
        asked = self._timed("hear", self._heard, questions)
        rankings: list[list[Ranking]] = [[] for _ in questions]
        count = max(CANDIDATES, k)
        self._dense(asked, rankings, count, where=where)
        self._timed("text", self._words, asked, rankings, count, where)
        return [self._hits(lists, k) for lists in rankings]

    def _heard(self, questions: Sequence[Question]) -> list[list[tuple[Content, Modality]]]:
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

    def _dense(
        self,
        asked: Sequence[Sequence[tuple[Content, Modality]]],
        rankings: list[list[Ranking]],
        count: int,
        *,
        where: Filter | None,
    ) -> None:
        done: set[tuple[str, int, int]] = set()
        for encoder in self.encoders:
            wanted = [
                (owner, place, content, modality)
                for owner, question in enumerate(asked)
                for place, (content, modality) in enumerate(question)
                if modality_of(content) in encoder.modalities and (encoder.space, owner, place) not in done
            ]
            if not wanted:
                continue
            done.update((encoder.space, owner, place) for owner, place, _, _ in wanted)
            vectors = self._timed(
                "encode", telemetry.encode, encoder, [content for _, _, content, _ in wanted], role="query"
            )
            for kind in self.store.kinds(encoder.space):
                lists = self._timed("dense", self.store.search, encoder.space, vectors, count, where=where, kind=kind)
                for (owner, place, content, _), found in zip(wanted, lists, strict=True):
                    share = dense_share(encoder, content)
                    rankings[owner].append(Ranking(place, modality_of(content), kind, encoder.space, found, share))
        self._refuse_unencoded(asked, {(owner, place) for _, owner, place in done})

    def _refuse_unencoded(
        self, asked: Sequence[Sequence[tuple[Content, Modality]]], done: set[tuple[int, int]]
    ) -> None:
        for owner, question in enumerate(asked):
            for place, (content, modality) in enumerate(question):
                if (owner, place) not in done and not isinstance(content, str):
                    known = sorted({modality for encoder in self.encoders for modality in encoder.modalities})
                    raise UnsupportedModalityError(
                        f"no encoder of this collection takes {modality}; they take {', '.join(known) or 'nothing'}"
                    )

    def _words(
        self,
        asked: Sequence[Sequence[tuple[Content, Modality]]],
        rankings: list[list[Ranking]],
        count: int,
        where: Filter | None,
    ) -> None:
        for owner, question in enumerate(asked):
            for place, (content, _) in enumerate(question):
                if isinstance(content, str):
                    found = self.store.search_text(content, count, where=where)
                    rankings[owner].append(Ranking(place, "text", "text", None, found))

    def _hits(self, rankings: Sequence[Ranking], k: int) -> list[Hit]:
        return self._timed("fetch", self._fetched, fuse(rankings), k)

    def _fetched(self, fused: Sequence[Fused], k: int) -> list[Hit]:
        """Give the first ``k`` that are still there."""
        hits: list[Hit] = []
        for start in range(0, len(fused), k):
            wanted = fused[start : start + k]
            chunks = {chunk.id: chunk for chunk in self.store.get([result.id for result in wanted])}
            hits += [
                Hit(chunks[result.id], result.score, {**result.trace, "seconds": self.seconds})
                for result in wanted
                if result.id in chunks
            ]
            if len(hits) >= k:
                break
        return hits[:k]

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
