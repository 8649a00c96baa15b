"""Relations by patterns over dependency parses: which verb or noun joins which two names.

Passives, relative clauses, participles, appositions, conjunctions and titles are seen through by giving every verb and
noun its arguments first. What is negated, hypothetical or said by somebody is found too and labelled so. Patterns read
one sentence; what the small parser gets wrong, they get wrong.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from mmsdk.errors import InputError
from mmsdk_graph.statements import Standing

SAYING = frozenset(
    re.findall(
        r"\S+", "say claim report believe allege think argue suggest speculate rumor rumour tell write hope state"
    )
)
WISHING = frozenset(
    re.findall(
        r"\S+",
        "plan want hope intend consider try attempt seek expect offer propose agree aim wish fail refuse decline "
        "threaten decide negotiate discuss explore may might",
    )
)
DENYING = frozenset(re.findall(r"\S+", "deny fail refuse decline reject dispute"))
MODALS = frozenset(re.findall(r"\S+", "would could may might should can must will shall 'll 'd"))
HEDGES = frozenset(
    re.findall(r"\S+", "reportedly allegedly supposedly purportedly possibly perhaps maybe probably likely rumored")
)
NEGATORS = frozenset(re.findall(r"\S+", "not n't never no neither without hardly"))
_CONDITIONS = frozenset(re.findall(r"\S+", "if unless whether"))
_SMALL = frozenset(re.findall(r"\S+", "aux neg advmod det mark preconj prep"))
_GOVERNED = frozenset(re.findall(r"\S+", "ccomp xcomp acl prep pcomp dobj"))

Arguments = Mapping[str, list[Any]]


@dataclass(frozen=True)
class Rule:
    """Hold one pattern of a relation: ``head`` and ``tail`` are places, tried in their order."""

    relation: str
    kind: str
    words: frozenset[str]
    head: tuple[str, ...]
    tail: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Hold two tokens that a rule joins, and the verb or noun by which it does."""

    relation: str
    word: Any
    head: Any
    tail: Any
    standing: Standing
    confidence: float
    rule: str


def parse_rule(relation: str, text: str) -> Rule:
    """Read a pattern such as ``verb acquire,buy subject object``. Raises ``InputError``."""
    parts = text.split()
    if len(parts) != 4 or parts[0] not in ("verb", "noun"):
        raise InputError(
            f"the pattern {text!r} of {relation} must be: verb or noun, words, head, tail; "
            "for example 'verb acquire,buy subject object'"
        )
    words, head, tail = (part.split(",") for part in parts[1:])
    return Rule(relation, parts[0], frozenset(words), tuple(head), tuple(tail))


@cache
def index(rules: tuple[Rule, ...]) -> dict[tuple[str, str], list[Rule]]:
    """Give the rules by kind and word."""
    found: dict[tuple[str, str], list[Rule]] = {}
    for rule in rules:
        for word in rule.words:
            found.setdefault((rule.kind, word), []).append(rule)
    return found


def matches(sentence: Any, rules: tuple[Rule, ...]) -> Iterator[Found]:
    """Give what the rules find in a parsed sentence (a spaCy span), tokens not yet names."""
    by_word = index(rules)
    for token in sentence:
        if token.pos_ in ("VERB", "AUX"):
            found = by_word.get(("verb", _lemma(token)), ())
            yield from _apply(token, found, verb_arguments) if found else ()
        elif token.pos_ in ("NOUN", "PROPN", "ADJ"):
            found = by_word.get(("noun", _noun(token)), ())
            yield from _apply(token, found, noun_arguments) if found else ()


def _apply(token: Any, rules: Sequence[Rule], arguments: Any) -> Iterator[Found]:
    given: Arguments = arguments(token)
    standing = standing_of(token)
    for rule in rules:
        for head_place in rule.head:
            for tail_place in rule.tail:
                for head in given.get(head_place, ()):
                    for tail in given.get(tail_place, ()):
                        if head.i != tail.i:
                            sure = 0.9 if rule.kind == "verb" else 0.85
                            name = f"{rule.kind}:{token.lemma_.lower()}:{head_place}-{tail_place}"
                            yield Found(rule.relation, token, head, tail, standing, sure, name)


def _lemma(token: Any) -> str:
    word = str(token.lemma_).lower()
    particle = next((child.lower_ for child in token.children if child.dep_ == "prt"), "")
    return {"bear": "bear", "born": "bear"}.get(word, f"{word}_{particle}" if particle else word)


def _noun(token: Any) -> str:
    word = str(token.lemma_).lower()
    before = [
        child.lemma_.lower() for child in token.lefts if child.dep_ in ("compound", "amod") and child.i == token.i - 1
    ]
    if before and (f"{before[0]}_{word}" in _LONG or before[0] in _DEPUTIES):
        return f"{before[0]}_{word}"
    return word


_DEPUTIES = frozenset(["deputy", "lieutenant", "vice"])
_LONG = frozenset(re.findall(r"\S+", "prime_minister chief_executive managing_director parent_company"))


def verb_arguments(verb: Any) -> Arguments:
    """Give who acts (``subject``), who is acted on (``object``) and what each preposition brings."""
    found: dict[str, list[Any]] = {}
    passive = any(child.dep_ in ("nsubjpass", "auxpass") for child in verb.children) or _is_participle(verb)
    for child in verb.children:
        if child.dep_ == "nsubj":
            _subject(found, "object" if passive and _is_participle(verb) else "subject", child)
        elif child.dep_ == "nsubjpass":
            _subject(found, "object", child)
        elif child.dep_ in ("dobj", "obj", "oprd") and not passive:
            _add(found, "object", child)
        elif child.dep_ == "npadvmod":
            _add(found, "when", child)
    _prepositions(verb, found, passive)
    _inherited(verb, found, passive)
    return found


def _is_participle(verb: Any) -> bool:
    has_object = any(child.dep_ in ("dobj", "obj") for child in verb.children)
    helped = any(child.dep_ == "aux" for child in verb.children)
    return (
        verb.tag_ == "VBN"
        and not helped
        and not has_object
        and verb.dep_ in ("acl", "advcl", "amod", "ROOT", "conj", "appos")
    )


def _subject(found: dict[str, list[Any]], place: str, token: Any) -> None:
    """Add a subject; for a relative pronoun the noun that its clause describes, and that alone."""
    if token.tag_ in ("WP", "WDT") and token.head.dep_ == "relcl":
        _add(found, place, _antecedent(token.head, token), joined=False)
    elif token.tag_ in ("WP", "WDT") and token.head.head.dep_ == "relcl":
        _add(found, place, _antecedent(token.head.head, token), joined=False)
    else:
        _add(found, place, token)


def _antecedent(clause: Any, pronoun: Any) -> Any:
    """Give the noun that a relative clause describes: of several joined by "and", the nearest before it."""
    return max(
        (n for n in (clause.head, *clause.head.conjuncts) if n.i < pronoun.i), key=lambda n: n.i, default=clause.head
    )


def _prepositions(token: Any, found: dict[str, list[Any]], passive: bool = False) -> None:
    for child in token.children:
        if child.dep_ in ("prep", "agent", "dative"):
            place = "subject" if child.dep_ == "agent" or (passive and child.lower_ == "by") else child.lower_
            for thing in child.children:
                if thing.dep_ in ("pobj", "pcomp"):
                    _add(found, place, thing)
                    if child.dep_ == "agent":
                        _add(found, "by", thing)
                elif thing.dep_ == "prep":  # "in Bern on Monday" is sometimes parsed in a row
                    _prepositions_of(thing, found)
            if child.lower_ in ("in", "at", "on"):
                for thing in list(child.children):
                    _prepositions(thing, found) if thing.dep_ == "pobj" and thing.ent_type_ in ("DATE", "GPE") else None


def _prepositions_of(preposition: Any, found: dict[str, list[Any]]) -> None:
    for thing in preposition.children:
        if thing.dep_ == "pobj":
            _add(found, preposition.lower_, thing)


def _inherited(verb: Any, found: dict[str, list[Any]], passive: bool) -> None:
    """Give a verb the subject of the one it is joined to, or the noun it describes."""
    if verb.dep_ in ("acl", "relcl") and verb.head.pos_ in ("NOUN", "PROPN"):
        asked = any(child.tag_ in ("WP", "WDT") for child in verb.children)
        if verb.dep_ == "acl" or not asked:
            if verb.tag_ in ("VBN", "VBD") and passive:
                _add(found, "object", verb.head, joined=False)
            elif verb.tag_ == "VBG":
                _add(found, "subject", verb.head, joined=False)
    if ("subject" in found and not passive) or ("object" in found and passive):
        return
    if verb.dep_ in ("conj", "xcomp", "advcl") and verb.head.pos_ in ("VERB", "AUX"):
        above = verb_arguments(verb.head)
        mine = "object" if passive else "subject"
        is_passive = any(child.dep_ == "nsubjpass" for child in verb.head.children)
        for thing in above.get("object" if is_passive or _is_participle(verb.head) else "subject", ()):
            _add(found, mine, thing, joined=False)


def noun_arguments(noun: Any) -> Arguments:
    """Give who bears a noun, whose it is, the names before it and what its prepositions bring."""
    found: dict[str, list[Any]] = {}
    _apposed(noun, found)
    for child in noun.children:
        if child.dep_ == "poss":
            _add(found, "poss", child)
        elif child.dep_ in ("compound", "nmod", "amod") and child.ent_type_ in ("ORG", "GPE", "PRODUCT"):
            _add(found, "before", child)
        elif child.dep_ in ("acl", "amod") and child.lower_ in ("based", "headquartered"):
            _based(child, found)
    _predicated(noun, found)
    _named(noun, found)
    _titled(noun, found)
    if noun.dep_ == "conj" and noun.head.pos_ in ("NOUN", "PROPN"):
        for thing in noun_arguments(noun.head).get("bearer", ()):
            _add(found, "bearer", thing, joined=False)
    _prepositions(noun, found)
    if noun.dep_ != "conj" and "of" not in found and "at" not in found:
        for other in noun.conjuncts:  # "founder and CEO of Acme"
            if other.i > noun.i and other.pos_ == "NOUN":
                _prepositions(other, found)
    return found


def _apposed(noun: Any, found: dict[str, list[Any]]) -> None:
    """Read "Jane Smith, the CEO" and "the CEO, Jane Smith"."""
    if noun.dep_ == "appos":
        named = [name for name in (noun.head, *noun.head.conjuncts) if name.i < noun.i]
        _add(found, "bearer", max(named, key=lambda name: name.i, default=noun.head), joined=False)
    for child in noun.children:
        if child.dep_ == "appos" and child.ent_type_:
            _add(found, "bearer", child, joined=False)


def _predicated(noun: Any, found: dict[str, list[Any]]) -> None:
    """Read "Jane Smith is the CEO", "who became CEO" and "served as CEO"."""
    verb = noun.head
    if noun.dep_ == "attr" and verb.lemma_ in ("be", "become", "remain"):
        for child in verb.children:
            if child.dep_ == "nsubj":
                _subject(found, "bearer", child)
        if verb.dep_ == "conj" and "bearer" not in found:
            for thing in verb_arguments(verb.head).get("subject", ()):
                _add(found, "bearer", thing, joined=False)
    if noun.dep_ == "pobj" and verb.lower_ == "as" and verb.head.lemma_ in ("serve", "work", "act"):
        for thing in verb_arguments(verb.head).get("subject", ()):
            _add(found, "bearer", thing, joined=False)


def _named(noun: Any, found: dict[str, list[Any]]) -> None:
    """Read "Apple's chief executive is Tim Cook"."""
    if noun.dep_ == "nsubj" and noun.head.lemma_ == "be":
        for child in noun.head.children:
            if child.dep_ == "attr" and child.ent_type_ and child.i > noun.i:
                _add(found, "bearer", child)


def _titled(noun: Any, found: dict[str, list[Any]]) -> None:
    """Read "Apple CEO Tim Cook", where all hang on the name."""
    if noun.dep_ not in ("compound", "nmod") or noun.head.ent_type_ != "PERSON" or noun.i > noun.head.i:
        return
    _add(found, "bearer", noun.head)
    for child in noun.head.children:
        if child.dep_ in ("compound", "nmod", "poss") and child.ent_type_ in ("ORG", "GPE") and child.i < noun.i:
            _add(found, "before", child)


def _based(participle: Any, found: dict[str, list[Any]]) -> None:
    """Read "a bank based in Bern" and "a Bern-based bank"."""
    _prepositions_as(participle, found, "based_in")
    for name in participle.children:
        if name.dep_ == "npadvmod":
            _add(found, "based_in", name)


def _prepositions_as(token: Any, found: dict[str, list[Any]], place: str) -> None:
    brought: dict[str, list[Any]] = {}
    _prepositions(token, brought)
    for where in ("in", "at"):
        for thing in brought.get(where, ()):
            _add(found, place, thing, joined=False)


def _add(found: dict[str, list[Any]], place: str, token: Any, *, joined: bool = True) -> None:
    """Add a token, and what "and" joins to it."""
    here = found.setdefault(place, [])
    for each in (token, *(token.conjuncts if joined else ())):
        if each not in here and (each is token or each.i > token.i):
            here.append(each)


def standing_of(token: Any) -> Standing:
    """Say how a verb or noun stands in its sentence: asserted, or not and why.

    The verbs above it are read too: what is planned, denied or said is so for the clause that hangs on it.
    """
    if re.search(r"\?[\"'”’)]*\s*$", token.sent.text):
        return "hypothetical"
    below = ""
    for each in (token, *token.ancestors):
        if each is token or each.pos_ in ("VERB", "AUX"):
            marked = _marked(each) or (_governed(each) if below in _GOVERNED else None)
            if marked:
                return marked
        below = each.dep_
        if below in ("relcl", "parataxis", "appos"):
            break
    return _said(token)


def _marked(token: Any) -> Standing | None:
    """Read the small words of a verb or noun."""
    words = {child.lower_ for child in token.children if child.dep_ in _SMALL}
    if words & NEGATORS:
        return "negated"
    if words & (_CONDITIONS | MODALS | HEDGES):
        return "hypothetical"
    return "attributed" if any(child.lower_ == "according" for child in token.children) else None


def _governed(verb: Any) -> Standing | None:
    """Say what a verb makes of the clause below it."""
    word = verb.lemma_.lower()
    if word in DENYING:
        return "negated"
    if word in WISHING:
        return "hypothetical"
    return "attributed" if word in SAYING else None


def _said(token: Any) -> Standing:
    """Find "..., the paper said" beside the sentence, and quotation marks round the token."""
    root = token.sent.root
    for child in root.children:
        if child.dep_ in ("parataxis", "ccomp") and root is not token and root.lemma_.lower() in SAYING:
            return "attributed"
    before = sum(other.text in ('"', "“", "”", "``", "''") for other in token.sent if other.i < token.i)
    after = any(other.text in ('"', "”", "''") for other in token.sent if other.i > token.i)
    return "attributed" if before % 2 == 1 and after else "asserted"
