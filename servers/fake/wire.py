"""Requests and replies in SGLang's shapes. Pure: no sockets, no state."""

from __future__ import annotations

import time
import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from servers.fake.counters import Counters
from servers.fake.engine import Engine
from servers.fake.jobs import Ask, Generated
from servers.fake.prompts import Prefix, Prompts
from servers.fake.settings import FakeSettings
from servers.fake.text import tokens_of


class BadRequestError(Exception):
    """The client's request cannot be served. `kind` is the error's type on the OpenAI routes."""

    def __init__(self, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.kind = kind


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object, or BadRequestError."""
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise BadRequestError("1 validation error: JSON decode error", "Bad Request") from None
    if not isinstance(found, dict):
        raise BadRequestError("1 validation error: Input should be an object", "Bad Request")
    return found


def parse_chat(body: Mapping[str, Any], context_length: int, prompts: Prompts) -> Ask:
    messages = body.get("messages")
    if not isinstance(messages, list) or not all(isinstance(m, dict) and "role" in m for m in messages):
        raise BadRequestError("1 validation error: messages: Field required", "Bad Request")
    if not messages:
        raise BadRequestError("Messages cannot be empty.")
    if body.get("stream"):
        raise BadRequestError("the fake server does not stream")
    limit = body.get("max_completion_tokens", body.get("max_tokens"))
    return _ask(
        messages,
        prompts.of_messages(messages),
        n=body.get("n"),
        seed=body.get("seed"),
        stop=body.get("stop"),
        max_tokens=limit,
        rid=body.get("rid"),
        context_length=context_length,
    )


def parse_generate(body: Mapping[str, Any], context_length: int, prompts: Prompts) -> Ask:
    text, ids = body.get("text"), body.get("input_ids")
    if text is None and ids is None:
        raise BadRequestError("Either text, input_ids or input_embeds should be provided.")
    prompt = text if text is not None else " ".join(map(str, ids if isinstance(ids, list) else []))
    if not isinstance(prompt, str):
        raise BadRequestError("the fake server takes one text at a time, not a batch")
    if body.get("stream"):
        raise BadRequestError("the fake server does not stream")
    params = body.get("sampling_params") or {}
    return _ask(
        [{"role": "user", "content": prompt}],
        prompts.of_text(prompt),
        n=params.get("n"),
        seed=params.get("sampling_seed"),
        stop=params.get("stop"),
        max_tokens=params.get("max_new_tokens", 128),
        rid=body.get("rid"),
        context_length=context_length,
    )


def _ask(
    messages: list[Any],
    prompt: Prefix,
    *,
    n: object,
    seed: object,
    stop: object,
    max_tokens: object,
    rid: object,
    context_length: int,
) -> Ask:
    count = 1 if n is None else n
    if not isinstance(count, int) or count < 1:
        raise BadRequestError("n must be an integer of 1 or more")
    if seed is not None and not isinstance(seed, int):
        raise BadRequestError("seed must be an integer")
    if max_tokens is not None:
        if not isinstance(max_tokens, int) or max_tokens < 0:
            raise BadRequestError(f"max_new_tokens must be at least 0, got {max_tokens}.")
        total = prompt.tokens + max_tokens
        if total > context_length:
            raise BadRequestError(
                "Requested token count exceeds the model's maximum context length of"
                f" {context_length} tokens. You requested a total of {total} tokens."
            )
    marks = [stop] if isinstance(stop, str) else list(stop) if isinstance(stop, list) else []
    name = rid if isinstance(rid, str) else uuid.uuid4().hex
    return Ask(messages, prompt, count, seed, marks, max_tokens, name)


def chat_reply(ask: Ask, generated: Generated, model: str) -> dict[str, Any]:
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": sample.text, "reasoning_content": None},
            "logprobs": None,
            "finish_reason": sample.reason,
            "matched_stop": sample.matched,
        }
        for index, sample in enumerate(generated.samples)
    ]
    return {
        "id": ask.rid,
        "object": "chat.completion",
        "created": int(time.time()),
        "model": model,
        "choices": choices,
        "usage": {
            "prompt_tokens": generated.prompt_tokens,
            "total_tokens": generated.prompt_tokens + generated.completion_tokens,
            "completion_tokens": generated.completion_tokens,
            "prompt_tokens_details": {"cached_tokens": generated.cached_tokens},
        },
        "metadata": {"weight_version": generated.spans[-1].version, "weight_versions": _spans(generated)},
    }


def generate_reply(ask: Ask, generated: Generated) -> dict[str, Any] | list[dict[str, Any]]:
    """One object, or a list where n > 1."""
    replies = [
        {
            "text": sample.text,
            # Not a vocabulary: ids that are as many as the tokens and the same for the same text.
            "output_ids": [sum(token.encode()) for token in tokens_of(sample.text)],
            "meta_info": {
                "id": ask.rid if ask.n == 1 else f"{ask.rid}-{index}",
                "finish_reason": _finish_reason(sample.reason, sample.tokens, sample.matched),
                "prompt_tokens": generated.prompt_tokens,
                "completion_tokens": sample.tokens,
                "cached_tokens": generated.cached_tokens,
                "weight_version": generated.spans[-1].version,
                "weight_versions": _spans(generated),
                "num_retractions": 0,
            },
        }
        for index, sample in enumerate(generated.samples)
    ]
    return replies if ask.n > 1 else replies[0]


def _finish_reason(reason: str, tokens: int, matched: str | None) -> dict[str, Any]:
    details: dict[str, Any] = {"length": tokens} if reason == "length" else {}
    if reason == "stop":
        details = {"matched": matched if matched is not None else 2}
    if reason == "abort":
        details = {"message": "Aborted"}
    return {"type": reason, **details}


def _spans(generated: Generated) -> list[dict[str, Any]]:
    return [{"version": s.version, "start": s.start, "end": s.end} for s in generated.spans]


def openai_error(message: str, kind: str, code: int) -> dict[str, Any]:
    return {"object": "error", "message": message, "type": kind, "param": None, "code": code}


def load_of(settings: FakeSettings, counters: Counters, engine: Engine) -> dict[str, Any]:
    """One entry of /v1/loads with the sections that SGLang fills for a plain server.

    `num_used_tokens` is what running sequences hold; where no room is set, the room told is that of
    `max_running_requests` sequences of the longest context.
    """
    room = settings.max_total_tokens or settings.max_running_requests * settings.context_length
    used = engine.cache.used
    uncached, waiting = engine.waiting_tokens
    meter = engine.read_meter()
    return {
        "timestamp": time.time(),
        "dp_rank": 0,
        "num_running_reqs": counters.running,
        "num_waiting_reqs": counters.waiting,
        "num_waiting_uncached_tokens": uncached,
        "num_used_tokens": used,
        "num_total_tokens": used + waiting,
        "num_active_tokens": used + waiting,
        "num_prealloc_ready_tokens": 0,
        "max_total_num_tokens": room,
        "max_running_requests": settings.max_running_requests,
        "token_usage": round(used / room, 4),
        "gen_throughput": round(meter.decode_tokens / meter.decode_s, 2) if meter.decode_s else 0.0,
        "cache_hit_rate": round(counters.cached_tokens / max(1, counters.prompt_tokens), 4),
        "utilization": 0.0,  # SGLang's own stays at 0 too
        "total_prefill_uncached_tokens": counters.prompt_tokens - counters.cached_tokens,
        "total_prefill_busy_us": round(meter.prefill_s * 1e6),
        "decode_moments": None,
        "queues": {
            "waiting": counters.waiting,
            "grammar": 0,
            "paused": 0,
            "retracted": 0,
            "prealloc_ready": 0,
        },
    }
