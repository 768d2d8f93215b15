"""An endpoint that a Prometheus server reads, in a thread of its own."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from rro_sdk.errors import ConfigError
from rro_sdk.metrics.values import COUNTERS

if TYPE_CHECKING:
    from prometheus_client.metrics_core import Metric

PORT = 9464
"""The port that OpenTelemetry's Prometheus exporter takes by default too."""

_FOREIGN = re.compile(r"[^a-zA-Z0-9_]")


class Prometheus:
    """Serves the latest numbers at http://HOST:PORT/metrics, as `rro_NAME` or `rro_GROUP{kind="KIND"}`.

    Numbers that only rise are counters (`rro_pairs_total`), all others gauges.

    Args:
        port: 0 takes a free one.
        host: loopback by default; the endpoint asks nobody who they are.

    Attributes:
        port: the one that it listens on.

    Raises:
        ConfigError: prometheus-client is not installed, or the port is taken.
    """

    def __init__(self, port: int = PORT, *, host: str = "127.0.0.1") -> None:
        try:
            from prometheus_client import CollectorRegistry, start_http_server
            from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily
        except ImportError as error:
            raise ConfigError("a Prometheus endpoint: pip install 'rro-sdk[prometheus]'") from error
        self._counter, self._gauge = CounterMetricFamily, GaugeMetricFamily
        self._values: Mapping[str, float] = {}
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        try:
            self._server, self._thread = start_http_server(port, addr=host, registry=registry)
        except OSError as error:
            raise ConfigError(
                f"the Prometheus endpoint cannot listen on {host}:{port} ({error.strerror})"
            ) from error
        self.port = int(self._server.server_port)
        self._open = True

    def log(self, values: Mapping[str, float], step: int) -> None:
        self._values = {**self._values, **values}  # one assignment: a reader sees the old or the new

    def collect(self) -> Iterator[Metric]:
        """What the endpoint answers; called by prometheus-client for every scrape."""
        families: dict[str, list[tuple[str, float]]] = {}
        for name, value in self._values.items():
            group, _, kind = name.partition("/")
            families.setdefault(group, []).append((kind, value))
        for group, found in families.items():
            labelled = any(kind for kind, _ in found)
            make = self._counter if group in COUNTERS else self._gauge
            metric = make(
                "rro_" + _FOREIGN.sub("_", group), f"RRO: {group}", labels=["kind"] if labelled else []
            )
            for kind, value in found:
                metric.add_metric([kind] if labelled else [], value)
            yield metric

    def close(self) -> None:
        if self._open:
            self._open = False
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()
