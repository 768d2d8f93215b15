"""The induction circuit that a tiny policy may be born with, and product numbers as single tokens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from rro_sdk.errors import ConfigError
from trainers.rows import parse_rows
from trainers.tiny import TinySettings
from trainers.tiny_copying import ROPE_THETA, set_at_birth
from trainers.tiny_model import HEAD, make
from trainers.tiny_text import conversations, make_tokenizer

from .conftest import message, write_rows

WORDS = 1000
PAGE = "Observation: [SEP] B0GSFU9C98 [SEP] Red Mug [SEP] B0GJ5IAFK5 [SEP] Blue Mug"


def untrained(width: int, layers: int = 2) -> Any:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=WORDS,
            hidden_size=width,
            intermediate_size=width,
            num_hidden_layers=layers,
            num_attention_heads=width // HEAD,
            num_key_value_heads=width // HEAD,
            tie_word_embeddings=True,
            rope_parameters={"rope_type": "default", "rope_theta": ROPE_THETA},
        )
    )


def copied(model: Any, gap: int) -> float:
    """How often the next word is the one that followed before; by chance one time in a thousand."""
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(WORDS // 2, WORDS, (8, 32 + gap), generator=draw)
    ids[:, -16:] = ids[:, :16] = torch.randint(0, WORDS // 2, (8, 16), generator=draw)
    with torch.no_grad():
        said = model(input_ids=ids).logits[:, -16:-1].argmax(-1)
    return float((said == ids[:, -15:]).float().mean())


@pytest.mark.parametrize("width", [96, 160, 256])
@pytest.mark.parametrize("gap", [0, 50, 500])
def test_it_is_born_able_to_repeat_what_it_never_saw(width: int, gap: int) -> None:
    model = untrained(width)
    assert copied(model, gap) < 0.02
    set_at_birth(model, HEAD)
    assert copied(model, gap) > 0.1


@pytest.mark.parametrize("width", [96, 160, 256])
def test_it_is_born_with_a_look_at_what_is_of_a_kind(width: int) -> None:
    """The last word looks at the ten words of the kind, of three hundred."""
    model, kind = untrained(width, layers=3), range(WORDS - 200, WORDS)
    model.set_attn_implementation("eager")
    draw = torch.Generator().manual_seed(1)
    ids = torch.randint(0, WORDS - 200, (8, 300), generator=draw)
    ids[:, 20:220:20] = torch.randint(kind.start, kind.stop, (8, 10), generator=draw)

    def looked() -> float:
        """Of the third layer's heads but the last, which is left to chance."""
        with torch.no_grad():
            heads = model(input_ids=ids, output_attentions=True).attentions[2][:, :-1, -1]
        return float(heads[..., 20:220:20].sum(dim=-1).mean())

    assert looked() == pytest.approx(10 / 300, abs=0.01)
    set_at_birth(model, HEAD, kind)
    assert looked() > 3 * 10 / 300
    assert copied(model, 50) > 0.05  # of chance there is a thousandth


def test_the_weights_are_of_the_seed() -> None:
    first, again = untrained(96), untrained(96)
    for model in (first, again):
        torch.manual_seed(7)
        set_at_birth(model, HEAD, range(10))
    for one, other in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(one, other)
        assert torch.isfinite(one).all()


def shopping() -> list[dict[str, Any]]:
    said = [
        message("user", "WebShop [SEP] Instruction: [SEP] a red mug [SEP] Search"),
        message("assistant", "Thought: I search.\nAction: search[red mug]"),
        message("user", PAGE),
        message("assistant", "Thought: I open it.\nAction: click[B0GSFU9C98]"),
    ]
    return [{"prompt": said[:place], "completion": [said[place]]} for place in (1, 3)]


def test_a_product_number_is_one_token() -> None:
    rows = "".join(json.dumps(row) + "\n" for row in shopping())
    tokenizer = make_tokenizer(conversations(parse_rows(rows.encode(), "rows", "sft")), 300)
    assert len(tokenizer) == 302
    for text in (PAGE, "click[B0GSFU9C98]", "B0GSFU9C98B0GJ5IAFK5", "b0gsfu9c98", "B0GSFU9C9"):
        ids = tokenizer.encode(text, add_special_tokens=False)
        assert tokenizer.decode(ids) == text
        assert tokenizer.decode(ids, skip_special_tokens=True) == text
        assert tokenizer.convert_ids_to_tokens(ids).count("B0GSFU9C98") == text.count("B0GSFU9C98")


def test_it_is_trained_and_served_like_any_other(tmp_path: Path) -> None:
    from trainers.loading import load_model

    data = write_rows(tmp_path / "sft.jsonl", shopping())
    chosen = TinySettings(
        data=data, out=tmp_path / "out", parameters=0.1, vocabulary=300, epochs=1, threads=1, copying=True
    )
    made = make(chosen, lambda _: None)
    assert made.steps == 1
    assert load_model(tmp_path / "out").config.rope_parameters["rope_theta"] == ROPE_THETA
    manifest = json.loads((tmp_path / "out" / "rro_checkpoint.json").read_text())
    assert manifest["settings"]["copying"] is True


def test_a_model_of_one_head_is_refused(tmp_path: Path) -> None:
    data = write_rows(tmp_path / "sft.jsonl", shopping())
    chosen = TinySettings(data=data, out=tmp_path / "out", parameters=0.05, vocabulary=300, copying=True)
    with pytest.raises(ConfigError, match=r"copying wants two heads, and 0\.05 million parameters have one"):
        make(chosen, lambda _: None)
    with pytest.raises(ConfigError, match="copying is 'yes': it must be true or false"):
        TinySettings(data=data, out=tmp_path / "out", copying="yes")  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["sft.jsonl"]
