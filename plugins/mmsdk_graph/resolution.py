"""Which names are one entity: blocking, likeness of strings, acronyms, legal suffixes, initials.

Resolution is a function of the set of names and of what people decided, so that it comes out the same in whatever order
documents came. It compares names, not what is said of them: two people of one name are one entity until somebody splits
them.
"""

import hashlib
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import combinations
from typing import Any

from mmsdk.entities import bare_name, short_name
from mmsdk_graph.countries import COUNTRIES

Key = tuple[str, str]
"""A name as it is written, and its type."""
Pair = tuple[Key, Key]
LIKE = 0.9
REVIEW = 0.08
"""How far below the threshold a pair is put on the review list."""
_BLOCK = 60  # names; larger blocks say too little
_WORD = re.compile(r"[^\W_]+(?:['’.&-][^\W_]+)*")
_HONORIFICS = frozenset(
    re.findall(r"\S+", "mr mrs ms miss dr prof professor sir lord lady president sen senator rep gov judge st")
)
_SMALL = frozenset(re.findall(r"\S+", "of the and for in de la du des von van der & a an at on"))


@dataclass(frozen=True)
class Decisions:
    """Hold what people decided: pairs that are one, and pairs that never are."""

    same: frozenset[frozenset[Key]] = frozenset()
    never: frozenset[frozenset[Key]] = frozenset()


@dataclass
class Resolved:
    """Hold the entity of each name, and the pairs that somebody should look at with their likeness."""

    entities: dict[Key, str] = field(default_factory=dict)
    names: dict[str, Key] = field(default_factory=dict)
    review: list[tuple[Key, Key, float]] = field(default_factory=list)


def resolve(
    counts: Mapping[Key, int],
    *,
    thresholds: Mapping[str, float] | None = None,
    decisions: Decisions = Decisions(),
) -> Resolved:
    """Group names into entities.

    ``counts`` says how often each name stands in the documents: the name that stands most often names the entity.
    ``thresholds`` are by type, in [0.5, 1]. Vectors of names are not compared: docs/decisions/0150.
    """
    keys = sorted(counts)
    scored = _scored(keys)
    groups = _Groups(keys, decisions.never)
    for pair in sorted(decisions.same, key=sorted):
        if len(pair) == 2 and all(key in counts for key in pair):
            groups.join(*sorted(pair), forced=True)
    ambiguous = _ambiguous(scored)
    review = []
    for one, other, likeness in sorted(scored, key=lambda row: (-row[2], row[0], row[1])):
        least = (thresholds or {}).get(one[1], LIKE)
        unsure = one in ambiguous or other in ambiguous
        if likeness >= least and not unsure:
            groups.join(one, other)
        elif likeness >= least - REVIEW:
            review.append((one, other, likeness))
    result = Resolved()
    for members in groups.all():
        best = min(members, key=lambda key: (-counts[key], -len(key[0]), key))
        number = hashlib.sha256(f"{best[1]}\0{best[0]}".encode()).hexdigest()[:16]
        result.names[number] = best
        result.entities |= dict.fromkeys(members, number)
    result.review = [
        (a, b, s)
        for a, b, s in review
        if result.entities[a] != result.entities[b] and frozenset((a, b)) not in decisions.never
    ]
    return result


def likeness(one: str, other: str, kind: str) -> float:
    """Say how alike two names of a type are, in [0, 1].

    >>> likeness("International Business Machines", "IBM", "Organization") > 0.9
    True
    >>> likeness("North Carolina", "South Carolina", "Location") < 0.8
    True
    """
    a, b = _form(one, kind), _form(other, kind)
    if a.bare == b.bare:
        return 1.0
    if a.digits != b.digits:
        return 0.0
    if _is_acronym(a, b) or _is_acronym(b, a):
        return 0.95
    if kind == "Person":
        return _persons(a.words, b.words)
    return _phrases(a.words, b.words)


@dataclass(frozen=True)
class _Form:
    bare: str
    words: tuple[str, ...]
    digits: str
    written: str
    capitals: tuple[str, ...]


@lru_cache(maxsize=100_000)
def _form(name: str, kind: str) -> _Form:
    written = short_name(name) if kind == "Organization" else name
    words = [word.casefold().replace(".", "").replace("’", "'") for word in _WORD.findall(written)]
    words = [re.sub(r"'s?$", "", word) for word in words]
    if kind == "Person":
        words = [word for word in words if word not in _HONORIFICS and word not in ("jr", "sr")] or words
    elif words[:1] == ["the"]:
        words = words[1:]
    bare = " ".join(words) or bare_name(name) or name.casefold()
    capitals = tuple(word[0] for word in words if word and word not in _SMALL)
    return _Form(bare, tuple(words), re.sub(r"\D", "", name), name, capitals)


def _is_acronym(short: _Form, long: _Form) -> bool:
    """Say whether one name is the initials of the other: IBM, I.B.M., U.N.; legal words may count (GMC)."""
    letters = re.sub(r"[^\w]", "", short.written)
    if not (2 <= len(letters) <= 6 and letters.isupper() and letters.isalpha() and len(long.words) > 1):
        return False
    initials = "".join(long.capitals)
    every = "".join(word[0] for word in long.words)
    whole = "".join(w[0] for w in _WORD.findall(long.written.casefold()) if w not in _SMALL)
    return letters.casefold() in (initials, every, whole)


def _persons(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """Compare people: the last names must agree, the others agree as words, initials or not at all."""
    if len(a) > len(b):
        a, b = b, a
    if len(a) == 1:
        return 0.86 if len(b) > 1 and a[0] == b[-1] else _close(a[0], b[0]) if len(b) == 1 else 0.0
    last = _close(a[-1], b[-1])
    if last < 0.84:
        return 0.0
    given, rest = [], iter(b[:-1])
    for word in a[:-1]:
        likeness = next((like for other in rest if (like := _given(word, other))), 0.0)
        if not likeness:
            return 0.0
        given.append(likeness)
    return min(last, *given) if last < 1 or given else 0.0


def _given(a: str, b: str) -> float:
    if a == b:
        return 1.0
    if len(a) == 1 or len(b) == 1:
        return 0.93 if a[0] == b[0] else 0.0
    close = _close(a, b)
    return close if close >= 0.84 else 0.0


def _phrases(a: tuple[str, ...], b: tuple[str, ...]) -> float:
    """Compare phrases word by word: each must have its like in the other; one word of difference is too much."""
    if not a or not b:
        return 0.0
    joined = _close("".join(a), "".join(b))
    if len(a) != len(b):
        short, long = sorted((a, b), key=len)
        rest = Counter(long) - Counter(short)
        is_suffix = not (Counter(short) - Counter(long)) and all(word in _ENDINGS for word in rest)
        return 0.92 if is_suffix else joined if "".join(a) == "".join(b) else min(joined, 0.85)
    if any(x != y and {x, y} <= COUNTRIES for x, y in zip(a, b, strict=True)):  # Iran is no Iraq
        return 0.0
    alike = _word if len(a) > 1 else _close  # Niger is no short form of Nigeria
    worst = min(alike(x, y) for x, y in zip(a, b, strict=True))
    return min(joined, worst) if worst < 0.8 else max(joined, worst)


_ENDINGS = frozenset(
    re.findall(r"\S+", "inc corp co ltd plc llc group company corporation limited holdings international the city")
)


def _word(a: str, b: str) -> float:
    """Compare words; a shortened one ("Intl", "Univ", "Mfg") is like the whole."""
    if a == b:
        return 1.0
    short, long = sorted((a, b), key=len)
    if 3 <= len(short) < len(long) and short[0] == long[0] and _within(short, long):
        return 0.92 if long.startswith(short) or len(short) <= 5 < len(long) else 0.85
    return _close(a, b)


def _within(short: str, long: str) -> bool:
    letters = iter(long)
    return all(letter in letters for letter in short)


@lru_cache(maxsize=200_000)
def _close(a: str, b: str) -> float:
    """Give 1 - edits / length with swaps counted once (optimal string alignment); short words must be equal."""
    if a == b:
        return 1.0
    longest = max(len(a), len(b))
    if min(len(a), len(b)) < 4 or abs(len(a) - len(b)) > 2:
        return 0.0
    before: list[int] = []
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        two, before, row = before, row, [i]
        for j, y in enumerate(b, 1):
            cost = min(before[j] + 1, row[-1] + 1, before[j - 1] + (x != y))
            if i > 1 and j > 1 and x == b[j - 2] and a[i - 2] == y:
                cost = min(cost, two[j - 2] + 1)
            row.append(cost)
    edits = row[-1]
    if a[0] != b[0] and edits:
        edits += 1  # typists seldom miss the first letter
    return 0.0 if edits > 2 else 1 - edits * (0.6 if edits == 1 else 1) / longest


def _blocks(keys: Iterable[Key]) -> dict[Any, list[Key]]:
    """Put names together that could be one: by words, first letters, initials, and shared trigrams of one word."""
    blocks: dict[Any, list[Key]] = defaultdict(list)
    for key in keys:
        name, kind = key
        form = _form(name, kind)
        marks: set[Any] = {("bare", form.bare), ("joined", form.bare.replace(" ", ""))}
        for word in form.words:
            if word not in _SMALL:
                marks |= {("word", word), ("start", word[:4])} if len(word) > 1 else set()
        letters = re.sub(r"\W", "", name)
        if 2 <= len(letters) <= 6 and letters.isupper():
            marks.add(("initials", letters.casefold()))
        if len(form.words) > 1:
            marks |= {("initials", "".join(form.capitals)), ("initials", "".join(w[0] for w in form.words))}
            whole = [w[0] for w in _WORD.findall(name.casefold()) if w not in _SMALL]
            marks.add(("initials", "".join(whole)))
        joined = form.bare.replace(" ", "")
        if len(joined) >= 5:  # a typo leaves one of the two halves
            marks |= {("front", joined[: len(joined) // 2]), ("back", joined[-(len(joined) // 2) :])}
        for mark in marks:
            blocks[kind, mark].append(key)
    return blocks


def _scored(keys: Sequence[Key]) -> list[tuple[Key, Key, float]]:
    pairs: set[tuple[Key, Key]] = set()
    for members in _blocks(keys).values():
        if 1 < len(members) <= _BLOCK:
            pairs |= set(combinations(members, 2))
    scored = [(a, b, likeness(a[0], b[0], a[1])) for a, b in sorted(pairs)]
    return [row for row in scored if row[2] >= 0.7]


def _ambiguous(scored: Sequence[tuple[Key, Key, float]]) -> set[Key]:
    """Give the short forms that stand for several names that are not like each other: "J. Smith", "ABC"."""
    like: dict[Key, list[Key]] = defaultdict(list)
    near = {frozenset((a, b)) for a, b, s in scored if s >= LIKE}
    for a, b, s in scored:
        if s >= LIKE and _form(*a).bare != _form(*b).bare:
            for one, other in ((a, b), (b, a)):
                if _is_short(one, other):
                    like[one].append(other)
    return {one for one, many in like.items() if any(frozenset(p) not in near for p in combinations(many, 2))}


def _is_short(one: Key, other: Key) -> bool:
    a, b = _form(*one), _form(*other)
    initials = any(len(word) == 1 for word in a.words)
    return _is_acronym(a, b) or (one[1] == "Person" and (len(a.words) < len(b.words) or initials))


class _Groups:
    """Join names into groups, unless a pair that must never be one would come together."""

    def __init__(self, keys: Iterable[Key], never: Iterable[frozenset[Key]]) -> None:
        self._group = {key: [key] for key in keys}
        self._never = set(never)

    def join(self, one: Key, other: Key, *, forced: bool = False) -> None:
        a, b = self._group[one], self._group[other]
        if a is b or (self._never and any(frozenset((x, y)) in self._never for x in a for y in b)):
            return
        if not forced and not _agree(a, b):
            return
        a += b
        for key in b:
            self._group[key] = a

    def all(self) -> list[list[Key]]:
        return list({id(group): group for group in self._group.values()}.values())


def _agree(a: Sequence[Key], b: Sequence[Key]) -> bool:
    """Say whether groups may be joined: no two full names in them may be quite unlike."""
    for one in a:
        for other in b:
            if likeness(one[0], other[0], one[1]) < 0.5 and _is_full(one) and _is_full(other):
                return False
    return True


def _is_full(key: Key) -> bool:
    form = _form(*key)
    return len(form.words) > 1 and all(len(word) > 1 for word in form.words)


def scores(gold: Mapping[Any, Any], found: Mapping[Any, Any]) -> dict[str, Any]:
    """Give pairwise and B³ (Bagga and Baldwin 1998) precision, recall and F1 of a grouping of the same things."""
    golden, mine = _members(gold), _members(found)
    right = sum(math.comb(n, 2) for n in Counter((gold[k], found[k]) for k in gold).values())
    said = sum(math.comb(len(group), 2) for group in mine.values())
    true = sum(math.comb(len(group), 2) for group in golden.values())
    from mmsdk_graph.scores import prf

    shares = [(len(mine[found[k]] & golden[gold[k]]), len(mine[found[k]]), len(golden[gold[k]])) for k in gold]
    precision = sum(n / size for n, size, _ in shares) / max(len(shares), 1)
    recall = sum(n / size for n, _, size in shares) / max(len(shares), 1)
    cubed = {"precision": precision, "recall": recall, "f1": 2 * precision * recall / max(precision + recall, 1e-12)}
    return {"pairwise": prf(right, said, true), "b_cubed": cubed}


def _members(grouping: Mapping[Any, Any]) -> dict[Any, set[Any]]:
    found: dict[Any, set[Any]] = defaultdict(set)
    for key, group in grouping.items():
        found[group].add(key)
    return found
