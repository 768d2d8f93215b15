"""Requests and replies in SGLang's shapes. Pure: no sockets, no state."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping
from typing import Any

from servers.fake.generation import Ask, Generated
from servers.fake.text import prompt_of, tokens_of


class BadRequestError(Exception):
    """The client's request cannot be served. `kind` is the error's type on the OpenAI routes."""

    def __init__(self, message: str, kind: str = "BadRequestError") -> None:
        super().__init__(message)
        self.kind = kind


def parse_object(body: bytes) -> dict[str, Any]:
    """A JSON object, or BadRequestError."""
    try:
        found = json.loads(body)
    except ValueError:
        raise BadRequestError("1 validation error: JSON decode error", "Bad Request") from None
    if not isinstance(found, dict):
        raise BadRequestError("1 validation error: Input should be an object", "Bad Request")
    return found


def parse_chat(body: Mapping[str, Any], context_length: int) -> Ask:
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
        prompt_of(messages),
        n=body.get("n"),
        seed=body.get("seed"),
        stop=body.get("stop"),
        max_tokens=limit,
        rid=body.get("rid"),
        context_length=context_length,
    )


def parse_generate(body: Mapping[str, Any], context_length: int) -> Ask:
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
        prompt,
        n=params.get("n"),
        seed=params.get("sampling_seed"),
        stop=params.get("stop"),
        max_tokens=params.get("max_new_tokens", 128),
        rid=body.get("rid"),
        context_length=context_length,
    )


def _ask(
    messages: list[Any],
    prompt: str,
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
        total = len(tokens_of(prompt)) + max_tokens
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
