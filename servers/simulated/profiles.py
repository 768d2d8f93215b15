"""How fast a simulated server is, and where the figures come from."""

from __future__ import annotations

from dataclasses import dataclass

from servers.fake.settings import Latency


@dataclass(frozen=True)
class Profile:
    """One kind of server.

    Attributes:
        latency: how long things take.
        slots: sequences at once (`--max-running-requests`).
        max_total_tokens: room for tokens; None where it never binds.
        source: where the figures come from.
    """

    latency: Latency
    slots: int
    max_total_tokens: int | None
    source: str


def _h100_gemma2_2b() -> Profile:
    parameters = 2.61e9
    kv_bytes = 2 * 26 * 4 * 256 * 2  # keys and values, layers, KV heads, head size, bytes
    context = 1000
    bytes_per_s = 0.6 * 3.35e12
    flops = 0.4 * 989e12
    return Profile(
        Latency(
            per_token_s=2 * parameters / bytes_per_s + 1e-3,
            per_running_s=context * kv_bytes / bytes_per_s,
            per_prompt_token_s=2 * parameters / flops,
            per_request_s=0.0,
            link_s=1e-3,
        ),
        slots=256,
        max_total_tokens=560_000,
        source=(
            "computed, not measured: Gemma-2-2B (2.61e9 parameters, 26 layers, 4 KV heads of 256, bf16) on "
            "an H100 SXM of its data sheet (3.35 TB/s, 989 TFLOP/s, 80 GB), at 60 % of bandwidth and 40 % of "
            "arithmetic, with 1,000 tokens of context a sequence, 1 ms of host work a step, 1 ms of network, "
            "60 GB for the KV cache"
        ),
    )


def _cpu_llama_4x192() -> Profile:
    # Seconds a step at a batch of 1, 8, 32 and 64 are 1/220, 8/732, 32/1116 and 64/1249; the line through
    # the first and the last lies within 12 % of the others.
    first, last = 1 / 220, 64 / 1249
    per_running_s = (last - first) / 63
    return Profile(
        Latency(
            per_token_s=first - per_running_s,
            per_running_s=per_running_s,
            # Measured for SmolLM2-135M (0.33 s for 512 tokens), whose decode step is 10.5 times as long.
            per_prompt_token_s=0.33 / 512 / 10.5,
        ),
        slots=64,
        max_total_tokens=None,
        source=(
            "real SGLang 0.5.23 on one CPU thread with a 4-layer, 192-wide Llama in float32: 220, 732, 1116 "
            "and 1249 tokens/s at 1, 8, 32 and 64 sequences; its prefill is scaled from SmolLM2-135M's "
            "(520 tokens in 0.60 s, 0.27 s when cached)"
        ),
    )


PROFILES = {"h100-gemma2-2b": _h100_gemma2_2b(), "cpu-llama-4x192": _cpu_llama_4x192()}
