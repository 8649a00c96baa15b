"""What each route needs: a scope, a lane, how large a body may be, how long it may take.

Every route is registered here; one that is not cannot be reached. Knows nothing of what routes do.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from fastapi import APIRouter

from mmsdk.server.problems import PROBLEMS

Scope = Literal["open", "read", "write", "admin"]
_SHORT, _KNOWN = 200, 1000
"""Characters of a path that is remembered with its rule, and how many are."""
Lane = Literal["light", "encode", "search", "answer", "add", "page"]


@dataclass(frozen=True)
class Rule:
    """Say what a route needs.

    ``template`` is its path; ``under`` rules hold for everything below it. ``whole`` asks for a key that is
    not bound to collections. ``look`` says what kind of page it gives, for its Content-Security-Policy.
    """

    methods: frozenset[str]
    template: str
    scope: Scope = "read"
    lane: Lane = "light"
    uploads: bool = False
    whole: bool = False
    under: bool = False
    look: Literal["data", "view", "page", "ui"] = "data"

    @property
    def pattern(self) -> re.Pattern[str]:
        """Match paths, with the collection as a group."""
        escaped = re.sub(r"\\{(\w+)(?::path)?\\}", _group, re.escape(self.template))
        return re.compile(escaped + (r"(?:/.*)?" if self.under else ""), re.DOTALL)


def _group(match: re.Match[str]) -> str:
    return f"(?P<{match[1]}>{'.+' if ':path' in match[0] else '[^/]+'})"


class Rules:
    """Hold the rules of all routes and find that of a request."""

    def __init__(self) -> None:
        self.all: list[Rule] = []
        self.blocked: list[re.Pattern[str]] = []
        """Paths below a mount that nobody reaches."""
        self._patterns: list[tuple[re.Pattern[str], Rule]] = []
        self._known: dict[tuple[str, str], tuple[Rule | None, str | None]] = {}

    def add(self, rule: Rule) -> Rule:
        """Add a rule; the first that fits counts."""
        self.all.append(rule)
        self._patterns.append((rule.pattern, rule))
        self._known.clear()
        return rule

    def find(self, method: str, path: str) -> tuple[Rule | None, str | None]:
        """Give the rule for a request, or None, and the collection that its path names; short paths are remembered."""
        found = self._known.get((method, path))
        if found is None:
            found = self._sought("GET" if method == "HEAD" else method, path)
            if len(path) <= _SHORT:
                if len(self._known) >= _KNOWN:
                    self._known.clear()
                self._known[method, path] = found
        return found

    def _sought(self, method: str, path: str) -> tuple[Rule | None, str | None]:
        if any(pattern.match(path) for pattern in self.blocked):
            return None, None
        for pattern, rule in self._patterns:
            match = pattern.fullmatch(path)
            if match is not None and method in rule.methods:
                return rule, match.groupdict().get("collection")
        return None, None

    def methods(self, path: str) -> str:
        """Name the methods that a path has, joined by commas."""
        found = [rule.methods for pattern, rule in self._patterns if pattern.fullmatch(path)]
        return ", ".join(sorted(set().union(*found)))

    def route(
        self, router: APIRouter, method: str, path: str, **options: Any
    ) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate an endpoint: make a route and its rule. Options of a rule go there, the others to FastAPI."""
        of_rule = {name: options.pop(name) for name in list(options) if name in Rule.__dataclass_fields__}
        self.add(Rule(frozenset({method}), path, **of_rule))
        options["responses"] = {**PROBLEMS, **options.get("responses", {})}
        return router.api_route(path, methods=[method], **options)

    def mounts(self) -> Iterable[Rule]:
        """Give the rules of what is mounted."""
        return [rule for rule in self.all if rule.under]
