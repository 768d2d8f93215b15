"""Stems that Porter's paper, its later rules and Lucene give."""

from __future__ import annotations

import pytest

from rro_sdk.envs.webshop.porter import stem


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *[("caresses", "caress"), ("ponies", "poni"), ("ties", "ti"), ("caress", "caress"), ("cats", "cat")],
        *[("feed", "feed"), ("agreed", "agre"), ("plastered", "plaster"), ("bled", "bled"), ("sing", "sing")],
        *[("conflated", "conflat"), ("troubled", "troubl"), ("sized", "size"), ("hopping", "hop")],
        *[
            ("tanned", "tan"),
            ("falling", "fall"),
            ("hissing", "hiss"),
            ("fizzed", "fizz"),
            ("filing", "file"),
        ],
        *[("happy", "happi"), ("sky", "sky"), ("relational", "relat"), ("conditional", "condit")],
        *[("rational", "ration"), ("valenci", "valenc"), ("digitizer", "digit"), ("radically", "radic")],
        *[("differently", "differ"), ("vietnamization", "vietnam"), ("operator", "oper")],
        *[("hopefulness", "hope"), ("sensitiviti", "sensit"), ("triplicate", "triplic")],
        *[("formative", "form"), ("electrical", "electr"), ("goodness", "good"), ("revival", "reviv")],
        *[("adjustable", "adjust"), ("replacement", "replac"), ("adoption", "adopt"), ("element", "element")],
        *[
            ("probate", "probat"),
            ("rate", "rate"),
            ("cease", "ceas"),
            ("controll", "control"),
            ("roll", "roll"),
        ],
        *[("size:large", "size:larg"), ("3x", "3x"), ("is", "is"), ("y", "y"), ("saying", "sai")],
    ],
)
def test_stem(word: str, expected: str) -> None:
    assert stem(word) == expected


@pytest.mark.parametrize(("word", "expected"), [("possibly", "possibl"), ("apology", "apolog")])
def test_the_two_later_rules(word: str, expected: str) -> None:
    assert stem(word) == expected
