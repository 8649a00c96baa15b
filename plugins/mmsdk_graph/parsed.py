"""Statements from a parsed sentence: what patterns find among tokens becomes what is said among names.

Pronouns and "the company" are resolved only where the sentence before leaves one choice. It reads English.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

from mmsdk_graph import patterns
from mmsdk_graph.countries import COUNTRIES
from mmsdk_graph.patterns import Rule
from mmsdk_graph.schema import Schema
from mmsdk_graph.statements import Name, Statement

COREFERENCE = 0.8
"""What a resolved pronoun leaves of the confidence."""
_PRONOUNS = {"he": "Person", "she": "Person", "him": "Person", "it": "Organization"}
_NOMINALS = frozenset(
    [
        "company",
        "firm",
        "bank",
        "group",
        "startup",
        "manufacturer",
        "airline",
        "retailer",
        "organization",
        "organisation",
    ]
)
_JOINING = frozenset(["and", "or", "&", "etc", "etc."])
_DATED = {"in", "on", "since", "from", "until"}
_LIFE = re.compile(
    r"^[^()]{0,60}\((?:[^();]*;\s*)?(?:born\s+)?(?P<born>[^()–—;]*?\d{4})"
    r"(?:[^()–—]*?\s*[–—-]\s*(?P<died>[^()]*?\d{4}))?[^()]*\)"
)


class Parsed:
    """Turn what patterns find among tokens into statements among names."""

    def __init__(
        self, doc: Any, names: Sequence[Name], before: Sequence[Name], *, schema: Schema, rules: tuple[Rule, ...]
    ) -> None:
        self.doc, self.names, self.before = doc, names, before
        self.schema, self.rules = schema, rules
        self.dates = [name for name in names if name.value and name.type == schema.spacy.get("DATE")]
        self.by_token: dict[int, Name] = {}
        for name in names:
            span = doc.char_span(name.start, name.stop, alignment_mode="expand")
            for token in span or ():
                self.by_token[token.i] = name

    def statements(self) -> Iterator[Statement]:
        """Give pattern statements, then open ones for what no pattern covers."""
        said: set[tuple[int, int]] = set()
        for span in self.doc.sents:
            for found in patterns.matches(span, self.rules):
                statement = self._statement(found.relation, found, "pattern")
                if statement:
                    said.add((statement.head.start, statement.tail.start))
                    yield statement
            yield from self._placed(span)
        yield from self._lives()
        for span in self.doc.sents:
            for found in _open(span):
                statement = self._statement(found.relation, found, "open")
                if statement and (statement.head.start, statement.tail.start) not in said:
                    yield statement

    def left(self) -> tuple[Name, ...]:
        """Give the names that a pronoun of the next sentence may mean, the subject first; none without a subject."""
        for token in self.doc:
            if token.dep_ in ("nsubj", "nsubjpass") and token.head.dep_ == "ROOT":
                subject = self.by_token.get(token.i)
                return (subject, *(name for name in self.names if name is not subject)) if subject else ()
        return ()

    def _statement(self, relation: str, found: patterns.Found, layer: Any) -> Statement | None:
        head, first = self._name(found.head)
        tail, second = self._name(found.tail)
        if head is None or tail is None or head.text == tail.text:
            return None
        if self.by_token.get(found.word.i) in (head, tail):  # "the County Governor": a title that was taken for a name
            return None
        if layer == "pattern" and not self.schema.allows(relation, head.type, tail.type):
            return None
        sure = found.confidence * first * second * min(head.confidence, tail.confidence) ** 0.5
        dated = found.standing == "asserted" and not found.rule.startswith("noun")
        when = self._when(found, tail) if dated else ""
        confidence = round(sure if layer == "pattern" else 0.6 * sure, 4)
        return Statement(head, relation, tail, layer, found.rule, confidence, found.standing, valid_from=when)

    def _name(self, token: Any) -> tuple[Name | None, float]:
        """Give the name a token belongs to, what it refers to when it is a pronoun, and how sure that is."""
        if token.i in self.by_token:
            return self.by_token[token.i], 1.0
        word = token.lower_
        kind = _PRONOUNS.get(word)
        if kind is None and word in _NOMINALS and any(c.lower_ in ("the", "this") for c in token.children):
            kind = "Organization"
        if kind is not None:
            choices = {name.text: name for name in self.before if name.type == kind}
            earlier = [n for n in self.names if n.type == kind and n.stop <= token.idx]
            if len(choices) == 1 and not earlier and self.before[0].text in choices:
                return self.before[0], COREFERENCE
            return None, 0.0
        for child in token.children:  # "the city of Bern", "the company Acme", "the airline's parent, Acme"
            if child.dep_ == "appos" and child.i in self.by_token:
                return self.by_token[child.i], 0.95
            if (
                child.dep_ == "prep"
                and child.lower_ == "of"
                and word in ("city", "town", "state", "village", "university")
            ):
                for thing in child.children:
                    if thing.i in self.by_token:
                        return self.by_token[thing.i], 0.95
        return None, 0.0

    def _when(self, found: patterns.Found, tail: Name) -> str:
        """Give the date that hangs on the verb by a preposition."""
        for token in (found.head.head, found.tail.head, found.tail.head.head):
            for child in token.children:
                for thing in child.children if child.lower_ in _DATED else ():
                    name = self.by_token.get(thing.i)
                    if name in self.dates and name is not tail and name:
                        return name.value
        return ""

    def _placed(self, span: Any) -> Iterator[Statement]:
        """Read "Ulm, Germany": two places with a comma between them, and nothing enumerated."""
        schema, relation = self.schema, "located_in"
        for run in self._runs(span):
            for one, other in pairwise(run):
                head, tail = self.by_token.get(one.end - 1), self.by_token.get(other.end - 1)
                if other.label_ != "GPE" or _is_part_of_more(other) or _is_country(one):
                    continue
                if head and tail and head.text != tail.text and schema.allows(relation, head.type, tail.type):
                    yield Statement(head, relation, tail, "pattern", "comma", 0.8)

    def _runs(self, span: Any) -> Iterator[list[Any]]:
        """Give two or three places with a comma between each, unless they are an enumeration."""
        places = [ent for ent in span.ents if ent.label_ in ("GPE", "LOC", "FAC")]
        runs: list[list[Any]] = []
        for ent in places:
            if runs and self.doc[runs[-1][-1].end : ent.start].text == ",":
                runs[-1].append(ent)
            else:
                runs.append([ent])
        for run in runs:
            before, after = self.doc[max(run[0].start - 1, 0)], self.doc[run[-1].end : run[-1].end + 3]
            listed = before.lower_ in (",", "and", "between", "or") or _goes_on(run, after)
            if 2 <= len(run) <= 3 and not listed:
                yield run

    def _lives(self) -> Iterator[Statement]:
        """Read "Ada Lovelace (10 December 1815 – 27 November 1852)"."""
        text, schema = self.doc.text, self.schema
        for name in self.names[:2]:
            if name.type != schema.spacy.get("PERSON"):
                continue
            found = _LIFE.match(text[name.stop :]) if name.start < 12 else None
            if found and self._is_told(name.stop, name.stop + text[name.stop :].index("(")):
                continue
            for group, relation in (("born", "born_on"), ("died", "died_on")) if found else ():
                start, stop = found.span(group) if found else (0, 0)
                dates = [d for d in self.dates if start <= d.start - name.stop < stop]
                single = group == "born" and found and not found["died"] and "born" not in found.group().lower()
                if dates and schema.allows(relation, name.type, dates[0].type) and not single:
                    yield Statement(name, relation, dates[-1], "pattern", "parenthesis", 0.85)

    def _is_told(self, start: int, stop: int) -> bool:
        """Say whether a verb stands between two places of the text."""
        return any(start <= token.idx < stop and token.pos_ in ("VERB", "AUX") for token in self.doc)


def _is_part_of_more(place: Any) -> bool:
    """Say whether a place begins what follows: "In Kenya, Bern has friends", "In Kenya, Bern - Smith won"."""
    root = place.root
    before = root.dep_ in ("compound", "nmod", "poss") and root.head.i >= place.end
    return root.dep_ in ("nsubj", "nsubjpass") or (before and not _is_country(place))


def _goes_on(run: Sequence[Any], after: Any) -> bool:
    """Say whether the words behind places go on with an enumeration: "and", "etc.", or a name after a comma."""
    words = [token for token in after if token.text != ","]
    if words and words[0].lower_ in _JOINING:
        return True
    if not words or after[0].text != "," or _is_country(run[-1]):
        return False
    first = words[1] if words[0].lower_ == "the" and len(words) > 1 else words[0]
    return bool(first.pos_ == "PROPN" and first.is_title)


def _is_country(place: Any) -> bool:
    return place.text.casefold().removeprefix("the ") in COUNTRIES


def _open(span: Any) -> Iterator[patterns.Found]:
    """Give verbs that join a subject with an object or with what a preposition brings."""
    for token in span:
        if token.pos_ != "VERB":
            continue
        given = patterns.verb_arguments(token)
        standing = patterns.standing_of(token)
        for place, tails in given.items():
            if place in ("subject", "when", "by"):
                continue
            verb = token.lemma_.lower()
            relation = verb if place == "object" else f"{verb}_{place}"
            for head in given.get("subject", ()):
                for tail in tails:
                    if head.i != tail.i and re.fullmatch(r"[a-z_-]+", relation):
                        yield patterns.Found(
                            relation.replace("-", "_"), token, head, tail, standing, 0.7, f"open:{verb}"
                        )
