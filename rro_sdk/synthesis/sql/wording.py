"""Identifiers as English words. Pure."""

from __future__ import annotations

import re

_ABBREVIATIONS = {
    "num": "number",
    "yn": "flag",
    "fname": "first name",
    "lname": "last name",
    "avg": "average",
}
_FILLERS = frozenset({"ref", "data", "list", "info", "table", "tbl"})
"""Words of a table's name that say that it is a table."""

_PREPOSITIONS = frozenset({"of", "in", "for", "from", "by", "on", "per", "to"})
_PLURALS = {"person": "people", "child": "children", "man": "men", "woman": "women", "staff": "staff"}
_SINGULARS = {plural: singular for singular, plural in _PLURALS.items()} | {"series": "series"}


def words(identifier: str) -> list[str]:
    """`Song_release_year` -> song, release, year; `FullName` -> full, name."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", identifier)
    found = re.findall(r"[A-Za-z]+|\d+", spaced.lower() if not spaced.isupper() else identifier.lower())
    return " ".join(_ABBREVIATIONS.get(word, word) for word in found).split()


def singular(word: str) -> str:
    if word in _SINGULARS:
        return _SINGULARS[word]
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if word.endswith(("sses", "shes", "ches", "xes")):
        return word[:-2]
    if len(word) > 2 and word.endswith("s") and not word.endswith(("ss", "us", "is")):
        return word[:-1]
    return word


def plural(word: str) -> str:
    one = singular(word)
    if one in _PLURALS:
        return _PLURALS[one]
    if one == "series":
        return one
    if one.endswith("y") and one[-2:-1] not in "aeiou":
        return one[:-1] + "ies"
    return one + ("es" if one.endswith(("s", "sh", "ch", "x")) else "s")


def table_phrase(name: str) -> str:
    """A row of the table in words, singular: `car_makers` -> car maker."""
    found = words(name)
    kept = [word for word in found if word not in _FILLERS] or found
    if not kept:  # no letter or digit in it
        return name
    return " ".join([*kept[:-1], singular(kept[-1])])


def many(phrase: str) -> str:
    """A phrase in the plural: `song name` -> song names, `level of membership` -> levels of membership."""
    found = phrase.split()
    if not found or found[-1] in _PREPOSITIONS or found[-1] == "made" or found[-1].endswith("ed"):
        return phrase  # "directed by", "killed": no noun at its end
    if found[-1].isdigit():
        return phrase
    place = next((i - 1 for i, word in enumerate(found) if i and word in _PREPOSITIONS), len(found) - 1)
    return " ".join([*found[:place], plural(found[place]), *found[place + 1 :]])


def one(phrase: str) -> str:
    """With its article: an evaluation."""
    return f"{'an' if phrase.startswith(tuple('aeio')) else 'a'} {phrase}"


def column_phrase(name: str, table: str) -> str:
    """A column in words, without the name of its table where something is left: `pet_age` of pets -> age."""
    found, own = words(name), table_phrase(table).split() if table else []
    if own and len(found) > len(own) and [singular(word) for word in found[: len(own)]] == own:
        found = found[len(own) :]
    if len(found) > 1 and found[0] in ("is", "if", "has"):
        found = [*found[1:], "flag"]
    return " ".join(found) or name


def plain(text: str) -> str:
    """A text by which equal questions, or statements, are known: without case and spacing."""
    return " ".join(text.lower().split())
