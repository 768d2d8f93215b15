"""What an expert does, turn by turn: look, describe, query, perhaps correct, submit. Pure."""

from __future__ import annotations

from sqlglot import exp, parse_one

from rro_sdk.synthesis.experts import Turn
from rro_sdk.synthesis.sql.draft import Draft
from rro_sdk.synthesis.sql.mistakes import Mistake
from rro_sdk.synthesis.sql.schema import identifier

MOST_TURNS = 6
_PARTS = {"where": "keep the rows that are asked for", "group": "group them", "order": "sort them"}


def script(draft: Draft, mistake: Mistake | None, *, show_schema: bool) -> tuple[Turn, ...]:
    """The turns of an expert, 2 to 6.

    Args:
        draft: the question with its statement.
        mistake: a wrong statement to run first, left out where there is no turn for it.
        show_schema: the agent is shown the schema, so that nobody has to look.
    """
    tree = parse_one(draft.gold, read="mysql")
    query = Turn(plan(tree), draft.gold)
    submit = Turn("The result answers the question.", "submit")
    looks: list[Turn] = []
    if not show_schema:
        looks.append(Turn("I look at which tables there are.", "SHOW TABLES"))
        if any(True for _ in tree.find_all(exp.Column)):
            looks += [
                Turn(f"I look at the columns of {name}.", f"DESC {identifier(name)}") for name in draft.tables
            ]
    if mistake is None or len(looks) + 3 > MOST_TURNS:
        return (*looks, query, submit)
    wrong = Turn(query.thought, mistake.statement, mistake=True)
    right = Turn(mistake.lesson, draft.gold)
    if not mistake.blind or show_schema:
        return (*looks, wrong, right, submit)
    # Who has seen the columns does not guess their names: the guess comes first, and looking mends it.
    first, *rest = looks
    return (first, wrong, *rest, right, submit)


def plan(tree: exp.Expr) -> str:
    """What the statement does, in a few words."""
    tables = list(dict.fromkeys(table.name for table in tree.find_all(exp.Table)))
    steps = [f"join {' and '.join(tables)}" if tree.args.get("joins") else f"query {tables[0]}"]
    for part, words in _PARTS.items():
        if tree.args.get(part):
            steps.append(words)
    return f"I {', '.join(steps[:-1])} and {steps[-1]}." if len(steps) > 1 else f"I {steps[0]}."
