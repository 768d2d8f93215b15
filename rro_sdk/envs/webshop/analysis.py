"""Text to index terms, as Lucene's English analysis does it: words, possessives, case, stop words, stems.

Words are those of Unicode Standard Annex #29 with Lucene's additions: one token for each ideograph and each
emoji, runs of South-East Asian letters kept whole, and tokens cut after 255 characters.
"""

from __future__ import annotations

from functools import lru_cache

import regex

from rro_sdk.envs.webshop.porter import stem

_STOP_WORDS = """
a an and are as at be but by for if in into is it no not of on or such that the their then there
these they this to was will with
"""
STOP_WORDS = frozenset(_STOP_WORDS.split())

LONGEST_TOKEN = 255

CHUNK_CACHE = 200_000
"""Distinct words whose terms are remembered: a catalogue of a million products uses few more."""

LONGEST_KEPT = 60
"""Longer ones, such as an agent may make up, are worked out each time."""

_IGNORED = r"[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}]*"
_LETTER = rf"[\p{{WB=ALetter}}\p{{WB=Hebrew_Letter}}]{_IGNORED}"
_HEBREW = rf"\p{{WB=Hebrew_Letter}}{_IGNORED}(?:'{_IGNORED}|\"{_IGNORED}\p{{WB=Hebrew_Letter}}{_IGNORED})"
_DIGIT = rf"[\p{{WB=Numeric}}\uff10-\uff19]{_IGNORED}"
_KATAKANA = rf"\p{{WB=Katakana}}{_IGNORED}"
_MID_LETTER = rf"[\p{{WB=MidLetter}}\p{{WB=MidNumLet}}':]{_IGNORED}"
_MID_NUMBER = rf"[\p{{WB=MidNum}}\p{{WB=MidNumLet}}']{_IGNORED}"
_JOINER = rf"\p{{WB=ExtendNumLet}}{_IGNORED}"

_LETTERS = rf"{_LETTER}(?:(?:(?:{_JOINER})*|{_MID_LETTER}){_LETTER})*"
_DIGITS = rf"{_DIGIT}(?:(?:(?:{_JOINER})*|{_MID_NUMBER}){_DIGIT})*"
_RUN = rf"(?:{_KATAKANA}(?:(?:{_JOINER})*{_KATAKANA})*|(?:{_HEBREW}|{_DIGITS}|{_LETTERS})+)"
_WORD = rf"(?:{_JOINER})*{_RUN}(?:(?:{_JOINER})+{_RUN})*(?:{_JOINER})*"

# Extended_Pictographic as it was from Emoji 11 to 16; Unicode 17 took the characters out that are no emoji.
_PICTOGRAPH = (
    r"[\xa9\xae\u203c\u2049\u2122\u2139\u2194-\u2199\u21a9\u21aa\u231a\u231b\u2328\u2388\u23cf\u23e9-\u23f3"
    r"\u23f8-\u23fa\u24c2\u25aa\u25ab\u25b6\u25c0\u25fb-\u25fe\u2600-\u2605\u2607-\u2612\u2614-\u2685"
    r"\u2690-\u2705\u2708-\u2712\u2714\u2716\u271d\u2721\u2728\u2733\u2734\u2744\u2747\u274c\u274e"
    r"\u2753-\u2755\u2757\u2763-\u2767\u2795-\u2797\u27a1\u27b0\u27bf\u2934\u2935\u2b05-\u2b07\u2b1b\u2b1c"
    r"\u2b50\u2b55\u3030\u303d\u3297\u3299\U0001f000-\U0001f0ff\U0001f10d-\U0001f10f\U0001f12f"
    r"\U0001f16c-\U0001f171\U0001f17e\U0001f17f\U0001f18e\U0001f191-\U0001f19a\U0001f1ad-\U0001f1e5"
    r"\U0001f201-\U0001f20f\U0001f21a\U0001f22f\U0001f232-\U0001f23a\U0001f23c-\U0001f23f"
    r"\U0001f249-\U0001f3fa\U0001f400-\U0001f53d\U0001f546-\U0001f64f\U0001f680-\U0001f6ff"
    r"\U0001f774-\U0001f77f\U0001f7d5-\U0001f7ff\U0001f80c-\U0001f80f\U0001f848-\U0001f84f"
    r"\U0001f85a-\U0001f85f\U0001f888-\U0001f88f\U0001f8ae-\U0001f8ff\U0001f90c-\U0001f93a"
    r"\U0001f93c-\U0001f945\U0001f947-\U0001faff\U0001fc00-\U0001fffd]"
)
_EMOJI_IGNORED = r"(?:(?![\ufe0e\ufe0f])[\p{WB=Format}\p{WB=Extend}\p{WB=ZWJ}])*"
_MODIFIER = r"[\U0001f3fb-\U0001f3ff]"
_EMOJI_ONE = (
    rf"(?:(?:\p{{Emoji_Modifier_Base}}{_EMOJI_IGNORED})?{_MODIFIER}{_EMOJI_IGNORED}"
    rf"|{_PICTOGRAPH}{_EMOJI_IGNORED}\ufe0f?)"
)
_EMOJI = (
    rf"\u200d*{_EMOJI_ONE}(?:[\U000e0020-\U000e007e]+\U000e007f|(?:\u200d*(?<=\u200d){_EMOJI_ONE})*)"
    rf"|[#*]{_EMOJI_IGNORED}\ufe0f?\u20e3{_EMOJI_IGNORED}"
    rf"|\p{{Regional_Indicator}}{_IGNORED}\p{{Regional_Indicator}}{_IGNORED}"
)
_TOKEN = regex.compile(
    rf"{_EMOJI}|{_WORD}|(?:\p{{LB=SA}}{_IGNORED})+|\p{{Script=Han}}{_IGNORED}|\p{{Script=Hiragana}}{_IGNORED}"
)


def terms(text: str) -> list[str]:
    """The index terms of a text, in order, each as often as it occurs."""
    found: list[str] = []
    # Nothing joins across white space, so what a word gives does not depend on its neighbours.
    for chunk in text.split():
        found += chunk_terms(chunk) if len(chunk) <= LONGEST_KEPT else _filtered(chunk)
    return found


@lru_cache(CHUNK_CACHE)
def chunk_terms(chunk: str) -> tuple[str, ...]:
    """The terms of a text without white space."""
    return tuple(_filtered(chunk))


def _filtered(chunk: str) -> list[str]:
    kept = []
    for match in _TOKEN.finditer(chunk):
        whole = match.group()
        for start in range(0, len(whole), LONGEST_TOKEN):
            word = whole[start : start + LONGEST_TOKEN]
            if len(word) >= 2 and word[-2] in "'\u2019\uff07" and word[-1] in "sS":
                word = word[:-2]
            word = word.lower()
            if word not in STOP_WORDS:
                kept.append(stem(word))
    return kept
