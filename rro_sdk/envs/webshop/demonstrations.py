"""Worked examples for few-shot prompts, in a small invented shop."""

from __future__ import annotations

from dataclasses import dataclass

from rro_sdk.prompts import react
from rro_sdk.types import Message, Observation

_SEP = " [SEP] "
_BUTTONS = ("Description", "Features", "Reviews", "Buy Now")


@dataclass(frozen=True, slots=True)
class Example:
    """A worked example: what is wanted, then thoughts, commands and what they showed; the last one buys."""

    instruction: str
    turns: tuple[tuple[str, str, str], ...]
    last: tuple[str, str]


def turn(thought: str, command: str) -> str:
    """A reply in the form that `prompts.react` reads."""
    return f"Thought: {thought}\nAction: {command}"


def _results(instruction: str, *found: tuple[str, str, str]) -> str:
    head = ("Instruction:", instruction, "Back to Search", f"Page 1 (Total results: {len(found)})", "Next >")
    return _SEP.join((*head, *(text for product in found for text in product)))


def _item(instruction: str, title: str, price: str, **options: tuple[str, ...]) -> str:
    said = [text for name, values in options.items() for text in (name, *values)]
    head = ("Instruction:", instruction, "Back to Search", "< Prev")
    return _SEP.join((*head, *said, title, f"Price: {price}", "Rating: N.A.", *_BUTTONS))


_MUG = "I need a dishwasher safe enamel camping mug in green, and price lower than 20.00 dollars"
_MUG_TITLE = "Fjellkopp Enamel Camping Mug 12 oz for Hikers"
_MUG_PAGE = _item(_MUG, _MUG_TITLE, "$14.5", color=("blue", "green", "cream"))
_LAMP = (
    "Find me a dimmable clip on reading lamp with size: 2 pack, and color: black,"
    " and price lower than 40.00 dollars"
)
_LAMP_TITLE = "Lysbu Clip On Reading Lamp, LED Book Light"
_LAMP_PAGE = _item(_LAMP, _LAMP_TITLE, "$24.0", size=("1 pack", "2 pack"), color=("white", "black"))

EXAMPLES = (
    Example(
        _MUG,
        (
            (
                "I search for the product with what matters most.",
                "search[dishwasher safe enamel camping mug green]",
                _results(
                    _MUG,
                    ("B0CUP00001", "Glass Tea Cup with Bamboo Lid", "$11.0"),
                    ("B0CUP00002", _MUG_TITLE, "$14.5"),
                    ("B0CUP00003", "Enamel Stock Pot 8 Quart", "$39.9"),
                ),
            ),
            (
                "B0CUP00002 is an enamel camping mug under 20 dollars, so I open it.",
                "click[b0cup00002]",
                _MUG_PAGE,
            ),
            (
                "I check in the features that it is dishwasher safe.",
                "click[features]",
                _SEP.join(
                    (
                        *("Instruction:", _MUG, "Back to Search", "< Prev"),
                        *("Two coats of enamel on steel", "Dishwasher safe and light to carry"),
                    )
                ),
            ),
            ("It is dishwasher safe. I go back to choose the color.", "click[< prev]", _MUG_PAGE),
            ("The instruction asks for green.", "click[green]", _MUG_PAGE),
        ),
        ("Product, color and price fit, so I buy it.", "click[buy now]"),
    ),
    Example(
        _LAMP,
        (
            (
                "I search for the kind of lamp that is wanted.",
                "search[dimmable clip on reading lamp]",
                _results(
                    _LAMP,
                    ("B0LMP00007", "Dimmable Floor Lamp with Remote", "$58.0"),
                    ("B0LMP00004", _LAMP_TITLE, "$24.0"),
                ),
            ),
            (
                "The floor lamp is the wrong kind and too expensive; B0LMP00004 fits.",
                "click[b0lmp00004]",
                _LAMP_PAGE,
            ),
            ("The instruction asks for two.", "click[2 pack]", _LAMP_PAGE),
            ("And for black.", "click[black]", _LAMP_PAGE),
        ),
        ("Both options are chosen and the price is right, so I buy it.", "click[buy now]"),
    ),
)


def messages(count: int) -> tuple[Message, ...]:
    """The first `count` examples as user and assistant messages, in the form of real episodes."""
    said: list[Message] = []
    for example in EXAMPLES[:count]:
        said.append(Message("user", _SEP.join(("WebShop", "Instruction:", example.instruction, "Search"))))
        for thought, command, result in example.turns:
            said.append(Message("assistant", turn(thought, command)))
            said.append(react.observation_message(Observation(result)))
        said.append(Message("assistant", turn(*example.last)))
    return tuple(said)
