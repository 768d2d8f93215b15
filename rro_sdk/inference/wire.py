"""The OpenAI-compatible chat wire format, as far as we read and write it (SGLang's additions included).

Replies are decoded into these structs and nothing else: fields that we do not use are skipped, and a
missing or mistyped one is an error that names its path.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from rro_sdk.types import Message, Usage


class ChatRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """One POST /v1/chat/completions. `rid` is SGLang's request id, by which it can be aborted."""

    messages: tuple[Message, ...]
    model: str
    temperature: float
    top_p: float = 1.0
    max_tokens: int | None = None
    n: int = 1
    seed: int | None = None
    stop: tuple[str, ...] = ()
    rid: str | None = None


class Sample(msgspec.Struct, frozen=True):
    """One of the n texts of a completion. `finish_reason`: stop, length or abort."""

    text: str
    finish_reason: str


class Completion(msgspec.Struct, frozen=True):
    """What came back: n samples, the tokens that they cost together, by which weights, from where.

    `weight_versions` is empty where the server does not say.
    """

    samples: tuple[Sample, ...]
    usage: Usage
    weight_versions: tuple[str, ...]
    server: str


class _ReplyMessage(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _ReplyMessage
    index: int = 0
    finish_reason: str | None = None


_Count = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class _PromptDetails(msgspec.Struct):
    cached_tokens: _Count | None = 0


class _ReplyUsage(msgspec.Struct):
    prompt_tokens: _Count
    completion_tokens: _Count
    prompt_tokens_details: _PromptDetails | None = None


class _Span(msgspec.Struct):
    """A stretch of tokens made by one weight version (SGLang's `retract` mode mixes them)."""

    version: str


class _Metadata(msgspec.Struct):
    weight_version: str | None = None
    weight_versions: list[_Span] | None = None


class _ChatReply(msgspec.Struct):
    choices: list[_Choice]
    usage: _ReplyUsage
    metadata: _Metadata | None = None


class _AnyReply(msgspec.Struct):
    usage: _ReplyUsage


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(_ChatReply)
_usage_decoder = msgspec.json.Decoder(_AnyReply)


def encode_request(request: ChatRequest) -> bytes:
    return _encoder.encode(request)


def decode_reply(body: bytes, *, n: int, server: str) -> Completion:
    """Read a reply to a request for `n` samples.

    Raises:
        msgspec.DecodeError: not JSON, or not of the contract's shape; the message names the field.
    """
    try:
        reply = _decoder.decode(body)
    except UnicodeDecodeError:  # msgspec passes these two on as they are
        raise msgspec.DecodeError("JSON is malformed: it is not UTF-8") from None
    except RecursionError:
        raise msgspec.DecodeError("JSON is malformed: it is nested too deep") from None
    if len(reply.choices) != n:
        raise msgspec.ValidationError(f"Expected {n} choices, got {len(reply.choices)} - at `$.choices`")
    choices = sorted(reply.choices, key=lambda choice: choice.index)
    return Completion(
        samples=tuple(
            Sample(text=choice.message.content or "", finish_reason=choice.finish_reason or "stop")
            for choice in choices
        ),
        usage=_usage(reply.usage),
        weight_versions=_versions(reply.metadata),
        server=server,
    )


def usage_of(body: bytes) -> Usage | None:
    """The tokens that a reply names, whatever else is wrong with it; None where it names none."""
    try:
        reply = _usage_decoder.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return _usage(reply.usage)


def _usage(found: _ReplyUsage) -> Usage:
    details = found.prompt_tokens_details
    return Usage(
        prompt_tokens=found.prompt_tokens,
        cached_tokens=(details.cached_tokens or 0) if details else 0,
        completion_tokens=found.completion_tokens,
    )


def _versions(metadata: _Metadata | None) -> tuple[str, ...]:
    if metadata is None:
        return ()
    found: dict[str, None] = {}  # a dict keeps the order in which the versions were used
    for span in metadata.weight_versions or ():
        found[span.version] = None
    if not found and metadata.weight_version is not None:
        found[metadata.weight_version] = None
    return tuple(found)
