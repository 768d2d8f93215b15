"""Identifiers as words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rro_sdk.synthesis.sql.wording import column_phrase, many, plural, singular, table_phrase, words


@pytest.mark.parametrize(
    ("identifier", "found"),
    [
        ("Song_release_year", "song release year"),
        ("FullName", "full name"),
        ("LName", "last name"),
        ("Num_of_Staff", "number of staff"),
        ("GNPOld", "gnpold"),
        ("Official_ratings_(millions)", "official ratings millions"),
        ("18_49_Rating_Share", "18 49 rating share"),
    ],
)
def test_words(identifier: str, found: str) -> None:
    assert " ".join(words(identifier)) == found


@pytest.mark.parametrize(
    ("one", "several"),
    [
        ("singer", "singers"),
        ("city", "cities"),
        ("address", "addresses"),
        ("match", "matches"),
        ("person", "people"),
        ("tv series", "tv series"),
        ("level of membership", "levels of membership"),
        ("directed by", "directed by"),
        ("killed", "killed"),
    ],
)
def test_plurals(one: str, several: str) -> None:
    assert many(one) == several


@pytest.mark.parametrize("word", ["singer", "city", "address", "match", "person", "day", "box"])
def test_a_plural_goes_back(word: str) -> None:
    assert singular(plural(word)) == word


@pytest.mark.parametrize(
    ("table", "phrase"),
    [
        ("car_makers", "car maker"),
        ("cars_data", "car"),
        ("ref_template_types", "template type"),
        ("list", "list"),
    ],
)
def test_tables(table: str, phrase: str) -> None:
    assert table_phrase(table) == phrase


@pytest.mark.parametrize(
    ("column", "table", "phrase"),
    [
        ("pet_age", "pets", "age"),
        ("Singer_ID", "singer", "id"),
        ("singer", "singer", "singer"),
        ("Is_male", "singer", "male flag"),
    ],
)
def test_columns_lose_the_name_of_their_table(column: str, table: str, phrase: str) -> None:
    assert column_phrase(column, table) == phrase


@given(st.text(min_size=1, max_size=30))
def test_any_identifier_has_words(name: str) -> None:
    assert table_phrase(name)
    assert column_phrase(name, "table")
    assert many(table_phrase(name)) or not name.strip()
