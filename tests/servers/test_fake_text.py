from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from servers.fake.auth import allowed
from servers.fake.text import cut, partial, seeded_reply, tokens_of

texts = st.text(alphabet="ab ,\nFé", max_size=60)


@given(texts)
def test_tokens_joined_give_the_text(text: str) -> None:
    assert "".join(tokens_of(text)) == text


@given(texts, st.lists(st.text("ab ,F", min_size=1, max_size=3), max_size=3), st.none() | st.integers(0, 30))
def test_cut(text: str, stop: list[str], limit: int | None) -> None:
    sample = cut(text, stop, limit)
    assert text.startswith(sample.text)
    assert limit is None or sample.tokens <= limit
    assert sample.reason in ("stop", "length")
    if sample.matched is not None:
        assert text[len(sample.text) :].startswith(sample.matched)
    if sample.reason == "stop":
        assert not any(mark in sample.text for mark in stop)
    if limit is None and not any(mark in text for mark in stop):
        assert sample.text == text


@given(texts, st.integers(0, 40))
def test_partial(text: str, done: int) -> None:
    sample = cut(text, [], None)
    got = partial(sample, done)
    assert text.startswith(got.text)
    assert got.tokens == min(done, sample.tokens)
    assert got.reason == "abort"


@given(st.none() | st.integers(), st.integers(0, 5))
def test_the_default_reply_depends_on_its_arguments_alone(seed: int | None, index: int) -> None:
    messages = [{"role": "user", "content": "x"}]
    assert seeded_reply(messages, seed, index) == seeded_reply(list(messages), seed, index)


def test_the_default_reply_differs_by_seed_and_index_and_messages() -> None:
    asked = [[{"role": "user", "content": text}] for text in ("x", "y")]
    found = {seeded_reply(m, seed, index) for m in asked for seed in (None, 1, 2) for index in (0, 1)}
    assert len(found) == 12


def test_who_may_call_what() -> None:
    both = {"api_key": "K", "admin_api_key": "A"}
    assert allowed("/health_generate", None, **both)
    assert allowed("/v1/models", "Bearer K", **both)
    assert allowed("/v1/models", "bearer K", **both)
    assert not allowed("/v1/models", "Bearer A", **both)
    assert not allowed("/v1/models", "K", **both)
    assert allowed("/flush_cache", "Bearer A", **both)
    assert not allowed("/flush_cache", "Bearer K", **both)
    assert allowed("/flush_cache", "Bearer K", api_key="K", admin_api_key=None)
    assert allowed("/generate", None, api_key=None, admin_api_key="A")
    assert not allowed("/flush_cache", None, api_key=None, admin_api_key="A")
    assert allowed("/flush_cache", None, api_key=None, admin_api_key=None)
