"""What a graph may hold: entity types, relations with domain and range, and how they are said.

A schema is a pydantic model, read from YAML or imported from an OWL or RDFS file. What text or models bring that it
does not know goes to the review pile of the graph, not into it.
"""

import re
from collections.abc import Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from mmsdk.errors import InputError, MissingDependencyError

_NAME = re.compile(r"[^\W\d]\w*")


class EntityType(BaseModel):
    """Describe a type: the labels spaCy has for it, and from which likeness two names of it are one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    spacy: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    threshold: float = Field(0.9, ge=0.5, le=1.0)


class RelationType(BaseModel):
    """Describe a relation: which types it joins, its logic, its other names, and patterns that say it."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    domain: tuple[str, ...] = ()
    range: tuple[str, ...] = ()
    inverse: str | None = None
    symmetric: bool = False
    functional: bool = False
    aliases: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()


class KnownEntity(BaseModel):
    """Name an entity that is looked for in texts by its aliases, in any language."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    type: str
    aliases: tuple[str, ...] = ()


class Schema(BaseModel):
    """Hold types, relations and known entities by name.

    >>> schema = Schema(types={"Org": {}, "City": {}}, relations={"based_in": {"domain": ["Org"], "range": ["City"]}})
    >>> schema.allows("based_in", "Org", "City"), schema.allows("based_in", "City", "Org")
    (True, False)
    """

    model_config = ConfigDict(extra="forbid", frozen=True, ignored_types=(cached_property,))
    types: dict[str, EntityType]
    relations: dict[str, RelationType] = {}
    entities: dict[str, KnownEntity] = {}

    @model_validator(mode="after")
    def _checked(self) -> Self:
        for name in [*self.types, *self.relations]:
            if not _NAME.fullmatch(name):
                raise ValueError(f"{name!r} is no name; use letters, figures and _")
        for name, relation in self.relations.items():
            unknown = sorted({*relation.domain, *relation.range} - set(self.types))
            if unknown:
                raise ValueError(f"relation {name} joins unknown types {unknown}; known are {sorted(self.types)}")
            if relation.symmetric and set(relation.domain) != set(relation.range):
                raise ValueError(f"relation {name} is symmetric, so its domain and range must be the same")
        for name, entity in self.entities.items():
            if entity.type not in self.types:
                raise ValueError(f"entity {name!r} has the unknown type {entity.type!r}")
        return self

    @classmethod
    def load(cls, file: str | Path) -> "Schema":
        """Read YAML, or OWL and RDFS by its suffix (.ttl, .owl, .rdf, .xml, .jsonld). Raises ``InputError``."""
        path = Path(file)
        if path.suffix.lower() in (".ttl", ".owl", ".rdf", ".xml", ".jsonld", ".nt"):
            return _from_owl(path)
        try:
            import yaml
        except ModuleNotFoundError as error:
            raise MissingDependencyError("pyyaml", "graph") from error
        try:
            shape = yaml.safe_load(path.read_text("utf-8"))
            return cls.model_validate(shape)
        except OSError as error:
            raise InputError(f"cannot read the schema {path}: {error.strerror}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise InputError(f"{path} is no YAML: {error}") from error
        except ValidationError as error:
            told = "; ".join(f"{'.'.join(map(str, e['loc'])) or 'schema'}: {e['msg']}" for e in error.errors()[:5])
            raise InputError(f"{path} is no schema: {told}") from error

    @cached_property
    def _types(self) -> dict[str, str]:
        return {_folded(word): name for name, kind in self.types.items() for word in (name, *kind.aliases)}

    @cached_property
    def _relations(self) -> dict[str, tuple[str, bool]]:
        found = {_folded(r.inverse): (name, True) for name, r in self.relations.items() if r.inverse}
        for name, relation in self.relations.items():
            found |= {_folded(word): (name, False) for word in (name, *relation.aliases)}
        return found

    @cached_property
    def spacy(self) -> dict[str, str]:
        """Our types by spaCy's labels."""
        return {label: name for name, kind in self.types.items() for label in kind.spacy}

    def type_of(self, name: str) -> str | None:
        """Give the type that a name or alias stands for."""
        return self._types.get(_folded(name)) or self.spacy.get(name)

    def relation_of(self, name: str) -> tuple[str, bool] | None:
        """Give the relation that a name or alias stands for, and whether head and tail change places."""
        return self._relations.get(_folded(name))

    def allows(self, relation: str, head: str, tail: str) -> bool:
        """Say whether a relation may join two types; an empty domain or range takes every type."""
        known = self.relations.get(relation)
        if known is None:
            return False
        return (not known.domain or head in known.domain) and (not known.range or tail in known.range)


@cache
def default() -> Schema:
    """Give the schema that is used without another."""
    return Schema.load(Path(__file__).parent / "default.yaml")


def _folded(name: str) -> str:
    return re.sub(r"[\W_]+", " ", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)).strip().casefold()


def _from_owl(path: Path) -> Schema:
    """Read classes and object properties; labels become aliases."""
    try:
        import rdflib
        from rdflib.namespace import OWL, RDF, RDFS
    except ModuleNotFoundError as error:
        raise MissingDependencyError("rdflib", "graph") from error
    graph = rdflib.Graph()
    try:
        graph.parse(path)
    except OSError as error:
        raise InputError(f"cannot read the ontology {path}: {error.strerror}") from error
    except Exception as error:
        raise InputError(f"{path} is no RDF that can be read: {error}") from error

    def subjects(*kinds: Any) -> list[Any]:
        found = {s for kind in kinds for s in graph.subjects(RDF.type, kind) if isinstance(s, rdflib.URIRef)}
        return sorted(found)

    def labels(node: Any) -> list[str]:
        return sorted({str(label) for label in graph.objects(node, RDFS.label)} - {_local(node)})

    classes = subjects(OWL.Class, RDFS.Class)
    if not classes:
        raise InputError(f"{path} declares no owl:Class and no rdfs:Class; there is nothing to import")
    types = {_local(node): EntityType(aliases=tuple(labels(node))) for node in classes}
    below = {
        node: {_local(s) for s in graph.transitive_subjects(RDFS.subClassOf, node)} & set(types) for node in classes
    }
    relations = {}
    for node in subjects(OWL.ObjectProperty, RDF.Property):
        ends = [_ends(graph.objects(node, way), below) for way in (RDFS.domain, RDFS.range)]
        inverse = next((_local(other) for other in graph.objects(node, OWL.inverseOf)), None)
        kinds = set(graph.objects(node, RDF.type))
        symmetric = OWL.SymmetricProperty in kinds and set(ends[0]) == set(ends[1])
        relations[_local(node)] = RelationType(
            domain=ends[0],
            range=ends[1],
            inverse=inverse,
            symmetric=symmetric,
            functional=OWL.FunctionalProperty in kinds,
            aliases=tuple(labels(node)),
        )
    return Schema(types=types, relations=relations)


def _ends(nodes: Iterable[Any], below: dict[Any, set[str]]) -> tuple[str, ...]:
    return tuple(sorted({name for node in nodes for name in below.get(node, set())}))


def _local(node: Any) -> str:
    name = re.sub(r"\W", "_", re.split(r"[#/]", str(node).rstrip("#/"))[-1])
    return name if _NAME.fullmatch(name) else f"n_{name}"
