"""Tasks that are made: every statement runs, nothing is asked twice, nothing leaks between splits."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Rows
from rro_sdk.envs.intercode_sql.runner import Runner
from rro_sdk.errors import ConfigError, DataError
from rro_sdk.synthesis.sql import Synthesis, SynthesisSettings, audit, sqlite_library, synthesize
from rro_sdk.synthesis.sql.draft import condition
from rro_sdk.synthesis.sql.mistakes import mistakes
from rro_sdk.synthesis.sql.profile import read_schema
from rro_sdk.synthesis.sql.schema import Entity, Schema, identifier, make_entity
from rro_sdk.synthesis.sql.templates import TEMPLATES


@pytest.fixture(scope="module")
def shelf(library: Library) -> Schema:
    database = library.catalog.database("shelf")
    assert database is not None
    with Runner(library) as runner:
        return read_schema(runner, database)


def test_every_gold_runs_and_finds_something(library: Library, made: Synthesis) -> None:
    with Runner(library) as runner:
        for each in made.tasks:
            result = runner.run(each.db, each.gold)
            assert isinstance(result, Rows), each.gold
            assert result.rows
            assert any(value not in (None, 0) for row in result.rows for value in row), each.gold


def test_nothing_is_asked_twice_and_nothing_leaks(made: Synthesis) -> None:
    found = audit(made.tasks)
    assert (found.tasks, found.duplicates, found.shared_questions) == (180, 0, 0)
    assert set(found.splits) == {"train", "validation", "test"}
    assert len({each.id for each in made.tasks}) == 180
    assert {each.split_by for each in made.tasks} == {"question"}
    assert len(found.hardness) == 4
    assert len(found.templates) > 25


def test_the_audit_sees_what_is_wrong(made: Synthesis) -> None:
    import msgspec

    first, other = made.tasks[0], next(each for each in made.tasks if each.split != made.tasks[0].split)
    twin = msgspec.structs.replace(other, db=first.db, query=f"  {first.query.upper()}", gold=first.gold)
    found = audit([first, twin])
    assert (found.duplicates, found.shared_questions, found.shared_databases) == (1, 2, 1)


def test_the_same_seed_gives_the_same_tasks(library: Library, made: Synthesis) -> None:
    again = synthesize(library, SynthesisSettings(n=180, seed=3, mistakes=0.5))
    assert again == made
    other = synthesize(library, SynthesisSettings(n=60, seed=4))
    assert {each.query for each in other.tasks} != {each.query for each in made.tasks[:60]}


def test_a_split_by_database_shares_none(library: Library) -> None:
    with pytest.raises(ConfigError, match="part is empty"):
        synthesize(library, SynthesisSettings(n=40, split="database"))


def test_a_split_by_database_of_spider(spider_library: Library) -> None:
    made = synthesize(spider_library, SynthesisSettings(n=95, split="database"))
    found = audit(made.tasks)
    assert (found.duplicates, found.shared_databases) == (0, 0)
    assert {each.split_by for each in made.tasks} == {"database"}
    assert len(found.databases) == 19  # wta_1 has no rows
    assert len(found.splits) == 3


def test_a_database_that_runs_out_is_said(library: Library) -> None:
    with pytest.raises(ConfigError, match=r"give \d+ different questions, not 100000"):
        synthesize(library, SynthesisSettings(n=100_000, databases=("coins",)))


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"n": 0}, "n must be"),
        ({"seed": -1}, "seed must be"),
        ({"mistakes": 1.5}, "mistakes must be"),
        ({"fractions": (0.5, 0.5)}, "fractions must be 3"),
        ({"fractions": (0.5, 0.4, 0.2)}, "add up to 1"),
        ({"databases": ("shelf", "attic")}, "'attic'; known: boats, coins, shelf"),
    ],
)
def test_settings_that_cannot_be_right(library: Library, fields: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        synthesize(library, SynthesisSettings(**{"n": 20, **fields}))  # type: ignore[arg-type]


def test_a_folder_without_databases(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no \*\.sqlite"):
        sqlite_library(tmp_path)
    (tmp_path / "broken.sqlite").write_text("this is no database, however long it may go on")
    with pytest.raises(DataError, match=r"broken\.sqlite"):
        sqlite_library(tmp_path)


def test_a_schema_has_kinds_and_links(shelf: Schema) -> None:
    kinds = {(field.table, field.name): field.kind for entity in shelf.entities for field in entity.fields}
    assert kinds["reader", "reader_ID"] == "key"
    assert kinds["loan", "book_id"] == "key"
    assert kinds["reader", "Full_Name"] == "label"
    assert kinds["reader", "town"] == "category"
    assert kinds["book", "price"] == "number"
    assert [entity.name for entity in shelf.entities] == ["book", "loan", "reader"]  # `unread` has no rows
    assert {(link.child.name, link.column, link.parent.name) for link in shelf.links} == {
        ("loan", "reader_ID", "reader"),
        ("loan", "book_id", "book"),
    }


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_template_asks_something(shelf: Schema, name: str) -> None:
    drafts = [TEMPLATES[name][0](shelf, Random(seed)) for seed in range(60)]
    made = [draft for draft in drafts if draft is not None]
    assert made
    for draft in made:
        assert draft.question[0].isupper()
        assert draft.question[-1] in "?."
        assert draft.gold.startswith("SELECT ")
        assert set(draft.tables) <= {entity.name for entity in shelf.entities}


numbers = st.lists(st.integers(-50, 5000), min_size=2, max_size=30).filter(lambda found: len(set(found)) > 1)


@given(numbers, st.integers(0, 10_000))
@settings(deadline=None)
def test_a_condition_quotes_a_number_of_the_column_or_one_inside_its_range(
    values: list[int], seed: int
) -> None:
    table = make_entity("t", [("size", False, tuple(values))], len(values))
    found = condition(table.of("number"), Random(seed))
    assert found is not None
    column, _, number = found.sql.split()
    assert column == "size"
    assert min(values) <= float(number) <= max(values)
    assert found.words.endswith(f" {number}")


def test_names_that_mysql_would_not_read_are_quoted() -> None:
    assert identifier("Name") == "Name"
    assert identifier("show") == "`show`"
    assert identifier("Official_ratings_(millions)") == "`Official_ratings_(millions)`"
    assert identifier("18_49_Rating_Share") == "`18_49_Rating_Share`"


def test_values_that_cannot_be_quoted_are_not_asked_for() -> None:
    table: Entity = make_entity(
        "t", [("word", False, ("it's", "two  blanks", " before", "good", "x" * 41))], 5
    )
    assert table.fields[0].quotable == ("good",)
    assert condition(table.quoted, Random(0)) is None


def test_mistakes_differ_from_the_statement(made: Synthesis, shelf: Schema) -> None:
    kinds: Counter[str] = Counter()
    by_template: defaultdict[str, int] = defaultdict(int)
    for each in made.tasks:
        if each.db != "shelf":
            continue
        for mistake in mistakes(each.gold, shelf, Random(0)):
            assert mistake.statement != each.gold
            kinds[mistake.lesson.split()[0]] += 1
            by_template[each.template] += 1
    assert set(kinds) == {"There", "That", "Some", "Those"}
