"""Questions become hits: encode every part, ask every space and full text, fuse, fetch.

It knows nothing of how a store finds things nor of how sources came in.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mmsdk import recognizers
from mmsdk.errors import UnsupportedModalityError
from mmsdk.fusion import Fused, Ranking, fuse
from mmsdk.settings import Settings
from mmsdk.types import Audio, Content, Encoder, Filter, Hit, Modality, Store, modality_of

CANDIDATES = 100
"""Every list is at least this long before fusion."""
T = TypeVar("T")
Question = Sequence[Content]


class Search:
    """Answer several questions over one store in one go."""

    def __init__(self, store: Store, encoders: Sequence[Encoder], *, settings: Settings) -> None:
        self.store, self.encoders, self.settings = store, encoders, settings
        self._seconds: dict[str, float] = {}

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
            vectors = self._timed("encode", encoder.encode, [content for _, _, content, _ in wanted], role="query")
            for kind in self.store.kinds(encoder.space):
                lists = self._timed("dense", self.store.search, encoder.space, vectors, count, where=where, kind=kind)
                for (owner, place, content, _), found in zip(wanted, lists, strict=True):
                    rankings[owner].append(Ranking(place, modality_of(content), kind, encoder.space, found))
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
                Hit(chunks[result.id], result.score, {**result.trace, "seconds": self._seconds})
                for result in wanted
                if result.id in chunks
            ]
            if len(hits) >= k:
                break
        return hits[:k]

    def _timed(self, step: str, function: Callable[..., T], *arguments: Any, **options: Any) -> T:
        begin = time.perf_counter()
        try:
            return function(*arguments, **options)
        finally:
            self._seconds[step] = self._seconds.get(step, 0.0) + time.perf_counter() - begin
