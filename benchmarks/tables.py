"""`python -m benchmarks.tables`: write the tables of docs/results.md from the stored results.

The prose of that page is written by hand, its figures are not: a table stands between
`<!-- table: NAME -->` and `<!-- end -->`, and comes from benchmarks/results/NAME.json. With `--check` nothing
is written, and a table that is not what its file says ends with exit code 1.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Any

import msgspec

from benchmarks._harness import RESULTS, ROOT
from rro_sdk.atomic import write_lines
from trainers.table1.analysis import Difference, Row
from trainers.table1.results import SFT, Thirds
from trainers.table1.show import drawn_cells, is_clear, notes, paper, title, with_interval

PAGE = ROOT / "docs" / "results.md"

_BLOCK = re.compile(r"(<!-- table: (?P<name>[\w-]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str] | None = None) -> int:
    """The exit code: 1 where a table was out of date under `--check`."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.tables", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    before = PAGE.read_text()
    after = written(before, RESULTS)
    if check and after != before:
        print(f"tables: {PAGE.relative_to(ROOT)} is out of date: run python -m benchmarks.tables")
        return 1
    if after != before:
        write_lines(PAGE, [after.rstrip("\n").encode()])
    print(f"tables: {len(_BLOCK.findall(after))} on {PAGE.relative_to(ROOT)} say what was stored")
    return 0


def written(page: str, results: Path) -> str:
    """The page with every table as its stored result has it.

    Args:
        page: Markdown with `<!-- table: NAME -->` ... `<!-- end -->`.
        results: folder of NAME.json.

    Raises:
        OSError: a result that a table names cannot be read.
    """

    def table(found: re.Match[str]) -> str:
        stored = msgspec.json.decode((results / f"{found['name']}.json").read_bytes())
        lines = _experiment(stored) if "rows" in stored else _benchmark(stored)
        return found[1] + "\n" + "\n".join(lines) + "\n\n" + found[3]

    return _BLOCK.sub(table, page)


def _benchmark(stored: dict[str, Any]) -> list[str]:
    lines = ["| metric | value | spread | bar | |", "|---|---|---|---|---|"]
    for each in stored["metrics"]:
        spread = " .. ".join(_number(value) for value in each["spread"]) if each.get("spread") else ""
        met = {True: "met", False: "**missed**", None: ""}[each.get("ok")]
        value = f"{_number(each['value'])} {each['unit']}".rstrip()
        lines.append(f"| {each['metric']} | {value} | {spread} | {each.get('bar') or ''} | {met} |")
    missed = [
        f"- {each['metric']}: {each['note']}"
        for each in stored["metrics"]
        if each.get("ok") is False and each.get("note")
    ]
    return lines + (["", *missed] if missed else [])


def _experiment(stored: dict[str, Any]) -> list[str]:
    env = stored["settings"]["env"]
    rows = msgspec.convert(stored["rows"], list[Row])
    lines = [
        "| policy | reward [95 %] | over SFT, paired [95 %] | samples | null | rollouts | tokens | tasks"
        " | pairs | seconds | CPU s | paper: reward (samples) |",
        "|---|---|---|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        costs = (row.rollouts, row.generated, row.tasks, row.pairs, row.sampling_s + row.training_s)
        cells = [
            title(row.key),
            with_interval(row.reward, row.interval),
            "" if row.key == SFT else with_interval(row.over_sft, row.over_sft_interval, "+"),
            "" if row.samples is None else f"{row.samples:.2f}",
            "" if row.null is None else f"{row.null:.2f}",
            *(f"{cost:,.0f}" if row.tasks else "" for cost in costs),
            "" if row.cpu_s is None else f"{row.cpu_s:,.0f}",
            paper(row.key, env),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    if said := notes(rows, stored["seeds"]):
        lines += ["", *(f"- {each}" for each in said)]
    if drawing := [row for row in rows if row.drawn is not None]:
        lines += [
            "",
            "| drawing at the temperature of the exploration | reward [95 %] | over SFT, paired [95 %] |",
            "|---|---|---|",
        ]
        lines += [f"| {' | '.join((title(row.key), *drawn_cells(row)))} |" for row in drawing]
    differences = msgspec.convert(stored["differences"], list[Difference])
    if differences:
        lines += ["", "| difference, paired by seed and task | [95 %] | |", "|---|---|---|"]
    for each in differences:
        value = with_interval(each.difference, each.interval, "+")
        told = "" if is_clear(each.interval) else "not told apart"
        lines.append(f"| {title(each.more)} over {title(each.less)} | {value} | {told} |")
    thirds = msgspec.convert(stored["thirds"], dict[str, Thirds])
    if thirds:
        lines += [
            "",
            "| rising share by thirds (Table 2) | first | middle | last | strictly: first | middle | last |",
            "|---|---|---|---|---|---|---|",
        ]
    for key, found in thirds.items():
        shares = ["" if share is None else f"{share:.3f}" for share in (*found.rising, *found.strictly)]
        lines.append(f"| {title(key)} | {' | '.join(shares)} |")
    return lines


def _number(value: float | None) -> str:
    if value is None:
        return "not measured"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


if __name__ == "__main__":
    sys.exit(main())
