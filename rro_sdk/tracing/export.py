"""Where spans go, for programs that have no OpenTelemetry set up of their own."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from rro_sdk.errors import ConfigError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

OTLP = "otlp"


@contextmanager
def open_tracer(where: str) -> Iterator[Tracer]:
    """A tracer for the length of the block, at whose end every span has been handed over.

    Args:
        where: `otlp` for a collector, by OTLP over HTTP to where the OTEL_EXPORTER_OTLP_* variables say;
            else a file, to which spans are added as JSON, one a line.

    Raises:
        ConfigError: OpenTelemetry is not installed, or the file cannot be written.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter, SpanExporter
    except ImportError as error:
        raise ConfigError("spans: pip install 'rro-sdk[tracing]'") from error
    with ExitStack() as stack:
        exporter: SpanExporter
        if where == OTLP:
            exporter = OTLPSpanExporter()
        else:
            try:
                file = stack.enter_context(open(where, "a", encoding="utf-8"))  # noqa: PTH123
            except OSError as error:
                raise ConfigError(f"cannot write spans to {where}: {error.strerror}") from error
            exporter = ConsoleSpanExporter(out=file, formatter=lambda span: span.to_json(indent=None) + "\n")
        named = {} if "OTEL_SERVICE_NAME" in os.environ else {"service.name": "rro"}
        provider = TracerProvider(resource=Resource.create(named), shutdown_on_exit=False)
        stack.callback(provider.shutdown)
        provider.add_span_processor(BatchSpanProcessor(exporter))
        yield provider.get_tracer("rro_sdk")
