"""Wrong statements that someone who answers the question could write first. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from sqlglot import exp, parse_one

from rro_sdk.synthesis.sql.schema import Schema
from rro_sdk.synthesis.sql.wording import many, singular


@dataclass(frozen=True)
class Mistake:
    """A wrong statement. `lesson` is the thought of whoever saw its result; `blind`: made before looking."""

    statement: str
    lesson: str
    blind: bool = False


def mistakes(gold: str, schema: Schema, rng: Random) -> list[Mistake]:
    """Plausible wrong statements in random order; whether they are wrong must be seen by running them."""
    tree = parse_one(gold, read="mysql")
    found = [
        mistake
        for make in (_column, _table, _everything, _repeated, _backwards, _all_places)
        if (mistake := make(tree.copy(), schema)) is not None and mistake.statement != gold
    ]
    rng.shuffle(found)
    return found


def _column(tree: exp.Expr, schema: Schema) -> Mistake | None:
    """A column by the name that the question gives it, or with its table's name before it."""
    read = {table.name.lower() for table in tree.find_all(exp.Table)}
    entities = [entity for entity in schema.entities if entity.name.lower() in read]
    known = {field.name.lower() for entity in entities for field in entity.fields}
    for node in tree.find_all(exp.Column):
        for entity in entities:
            for field in entity.of("label", "category", "number"):
                words = field.phrase.replace(" ", "_")
                for guess in (words, f"{entity.phrase.replace(' ', '_')}_{words}"):
                    if node.name == field.name and guess.isidentifier() and guess.lower() not in known:
                        _rename(tree, field.name, guess)
                        lesson = f"There is no {guess}; the column is called {field.name}."
                        return Mistake(tree.sql(dialect="mysql"), lesson, blind=True)
    return None


def _rename(tree: exp.Expr, name: str, guess: str) -> None:
    for node in tree.find_all(exp.Column):
        if node.name == name:
            node.this.set("this", guess)


def _table(tree: exp.Expr, schema: Schema) -> Mistake | None:
    """A table in the singular where its name is a plural, or the other way round."""
    known = {entity.name.lower() for entity in schema.entities}
    for node in tree.find_all(exp.Table):
        one = singular(node.name)
        guess = one if one != node.name else many(node.name)
        if guess.lower() not in known and guess.isidentifier():
            right = node.name
            for each in tree.find_all(exp.Table):
                if each.name == right:
                    each.this.set("this", guess)
            return Mistake(tree.sql(dialect="mysql"), f"There is no {guess}; the table is called {right}.")
    return None


def _everything(tree: exp.Expr, _schema: Schema) -> Mistake | None:
    if not isinstance(tree, exp.Select) or not tree.args.get("where"):
        return None
    tree.set("where", None)
    return Mistake(tree.sql(dialect="mysql"), "That takes all rows; I must keep those that are asked for.")


def _repeated(tree: exp.Expr, _schema: Schema) -> Mistake | None:
    if not isinstance(tree, exp.Select) or not tree.args.get("distinct"):
        return None
    tree.set("distinct", None)
    return Mistake(tree.sql(dialect="mysql"), "Some rows come twice; each must come once.")


def _backwards(tree: exp.Expr, _schema: Schema) -> Mistake | None:
    ordered = next((node for node in tree.find_all(exp.Ordered) if node.parent_select is tree), None)
    if ordered is None:
        return None
    ordered.set("desc", not ordered.args.get("desc"))
    return Mistake(tree.sql(dialect="mysql"), "That is the wrong order; I turn it round.")


def _all_places(tree: exp.Expr, _schema: Schema) -> Mistake | None:
    if not isinstance(tree, exp.Select) or not tree.args.get("limit"):
        return None
    tree.set("limit", None)
    return Mistake(tree.sql(dialect="mysql"), "Those are too many rows; only the first are asked for.")
