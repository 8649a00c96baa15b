"""Counts and durations for Prometheus. Labels are route templates, methods and statuses, never what a caller sent."""

from collections.abc import Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from mmsdk.server.admission import Lane

_KINDS = ("running", "waiting")
_METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """Hold what one server counts."""

    def __init__(self, lanes: Mapping[str, Lane]) -> None:
        self._registry = registry = CollectorRegistry()
        self.requests = Counter("mmsdk_requests", "Requests", ("route", "method", "status"), registry=registry)
        said = "Duration of requests that were let in"
        self.seconds = Histogram("mmsdk_request_seconds", said, ("route",), buckets=_SECONDS, registry=registry)
        self.refused = Counter("mmsdk_refused", "Refusals before the body was read", ("stage",), registry=registry)
        self.stopped = Counter("mmsdk_stopped", "Requests given up", ("reason",), registry=registry)
        sizes = (1, 2, 4, 8, 16, 32, 64, 128)
        self.batch = Histogram("mmsdk_batch_inputs", "Inputs of a batch", buckets=sizes, registry=registry)
        self.tokens = Counter("mmsdk_tokens", "Tokens of the LLM", ("kind",), registry=registry)
        gauges = {kind: Gauge(f"mmsdk_{kind}", f"Requests {kind}", ("lane",), registry=registry) for kind in _KINDS}
        for name, lane in lanes.items():
            for kind, gauge in gauges.items():
                gauge.labels(lane=name).set_function(partial(_count, lane, kind))

    def text(self) -> bytes:
        """Give everything in Prometheus's text format."""
        return generate_latest(self._registry)


def _count(lane: Lane, kind: str) -> float:
    return float(getattr(lane, kind))


def known(method: str) -> str:
    """Give the label of a method; methods that nobody uses share one."""
    return method if method in _METHODS else "other"
