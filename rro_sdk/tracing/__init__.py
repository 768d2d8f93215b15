"""A run as OpenTelemetry spans; `Sampler(tracer=...)` takes any tracer, `open_tracer` makes one."""

from rro_sdk.tracing.export import open_tracer
from rro_sdk.tracing.spans import Tracing

__all__ = ["Tracing", "open_tracer"]
