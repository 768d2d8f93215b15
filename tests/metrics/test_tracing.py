"""A run as spans: their tree, what came of them, and that they hold nothing that was said."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from rro_sdk.errors import ConfigError, RROError
from rro_sdk.methods import MCTS
from rro_sdk.methods.base import Method
from rro_sdk.methods.tree import TreeMethod
from rro_sdk.sampler import Sampler
from rro_sdk.spending import Spending
from rro_sdk.testing import TreeEnv, TreePolicy, tree_tasks
from rro_sdk.tracing import open_tracer
from rro_sdk.types import Event, StepRecord
from tests.toys import ScriptedPolicy, ToyEnv

Tree = Counter[tuple[str, str | None]]


async def traced(
    method: Method | TreeMethod | None = None, spending: Spending | None = None
) -> tuple[Sampler, list[Event], Sequence[ReadableSpan]]:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    env = TreeEnv()
    tracer = provider.get_tracer("test")
    async with Sampler(env, policy=TreePolicy(), method=method, spending=spending, tracer=tracer) as sampler:
        events = [event async for event in sampler.events(tree_tasks(2))]
    return sampler, events, exporter.get_finished_spans()


def tree_of(spans: Sequence[ReadableSpan]) -> Tree:
    names = {span.context.span_id: span.name for span in spans if span.context is not None}
    return Counter((span.name, names[span.parent.span_id] if span.parent else None) for span in spans)


async def test_every_draw_has_its_span_below_what_it_is_for() -> None:
    sampler, events, spans = await traced()
    steps = [event for event in events if isinstance(event, StepRecord)]
    tree = tree_of(spans)
    assert tree["rro.task", None] == 2
    assert tree["rro.step", "rro.task"] == len(steps)
    assert tree["rro.candidate", "rro.step"] == sum(len(step.candidates) for step in steps)
    assert tree["rro.rollout", "rro.step"] == 2 * 5  # r_0 of either task
    assert tree["rro.rollout", "rro.step"] + tree["rro.rollout", "rro.candidate"] == sampler.stats.rollouts
    completions = tree["rro.completion", "rro.candidate"] + tree["rro.completion", "rro.rollout"]
    assert completions == sampler.stats.turns
    assert sum(tree.values()) == len(spans)


async def test_spans_say_what_came_of_them() -> None:
    _, events, spans = await traced()
    steps = {(e.task_id, e.step): e for e in events if isinstance(e, StepRecord)}
    for span in spans:
        said = dict(span.attributes or {})
        if span.name == "rro.step":
            record = steps[str(said["rro.task"]), int(str(said["rro.step"]))]
            assert said["rro.outcome"] == record.outcome and said["rro.pair"] == (record.pair is not None)
            assert said["rro.baseline"] == record.baseline.reward
        if span.name == "rro.candidate":
            record = steps[str(said["rro.task"]), int(str(said["rro.step"]))]
            assert said["rro.reward"] == record.candidates[int(str(said["rro.candidate"]))].reward
        if span.name == "rro.completion":
            assert said["gen_ai.usage.output_tokens"] and said["rro.weight_versions"] == ("tree",)


async def test_no_span_holds_what_was_said() -> None:
    _, events, spans = await traced()
    text = "".join(span.to_json() for span in spans)
    record = next(event for event in events if isinstance(event, StepRecord))
    for said in [message.content for message in record.prefix] + [record.candidates[0].action.text]:
        for line in filter(None, said.splitlines()):
            assert line not in text
    assert "Made " not in text and "move " not in text


async def test_tracing_changes_nothing_that_is_recorded() -> None:
    _, events, _ = await traced()
    async with Sampler(TreeEnv(), policy=TreePolicy()) as sampler:
        plain = [event async for event in sampler.events(tree_tasks(2))]
    by_task = [sorted(found, key=lambda event: event.task_id) for found in (events, plain)]
    assert by_task[0] == by_task[1]


@pytest.mark.parametrize(
    ("method", "spending"),
    [
        (MCTS(simulations=4), None),
        (None, Spending(reuse="economy")),
        (None, Spending(early_decision=True, reuse="unbiased")),
    ],
)
async def test_searches_and_savings_end_every_span(
    method: TreeMethod | None, spending: Spending | None
) -> None:
    _, _, spans = await traced(method, spending)
    tree = tree_of(spans)
    assert all(span.end_time is not None for span in spans)
    assert tree["rro.task", None] == 2
    assert {above for name, above in tree if name == "rro.candidate"} == {
        "rro.task" if method is not None else "rro.step"
    }


async def test_a_task_that_fails_is_marked_with_the_class_of_its_error_alone() -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    policy = ScriptedPolicy(default=lambda seed: "Action: break")
    with pytest.raises(RROError):
        async with Sampler(
            ToyEnv(),
            policy=policy,
            tracer=provider.get_tracer("test"),
        ) as sampler:
            async for _ in sampler.events(tree_tasks(1)):
                pass
    (task,) = [span for span in exporter.get_finished_spans() if span.name == "rro.task"]
    assert task.status.status_code is StatusCode.ERROR and task.status.description is None
    assert (task.attributes or {})["error.type"] == "EnvironmentFault" and not task.events


def test_spans_go_to_a_file(tmp_path: Path) -> None:
    file = tmp_path / "spans.jsonl"
    with open_tracer(str(file)) as tracer:
        with tracer.start_as_current_span("one"), tracer.start_as_current_span("two"):
            pass
    spans = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [span["name"] for span in spans] == ["two", "one"]
    assert spans[0]["resource"]["attributes"]["service.name"] == "rro"


def test_a_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write spans"), open_tracer(str(tmp_path)):
        raise AssertionError("nothing may be opened")


def test_spans_go_to_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    got: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            got.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            return

    server = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_COMPRESSION", "none")
        with open_tracer("otlp") as tracer:
            tracer.start_span("one").end()
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    ((path, body),) = got
    (found,) = ExportTraceServiceRequest.FromString(body).resource_spans
    assert path == "/v1/traces" and [span.name for span in found.scope_spans[0].spans] == ["one"]
