"""The run page as one file that opens without a server or a network.

It holds the summary, the whole table of tasks, and the trajectories of up to so many tasks, spread evenly
over the run, with every reply of their rollouts. All of it is gzip in base64, unpacked by the browser when it
is looked at: no text of a model or an environment is part of the markup.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from rro_sdk.atomic import write_lines
from rro_sdk.errors import ConfigError
from rro_sdk.page.bundle import bundle
from rro_sdk.page.index import MOST_ROWS, TaskQuery
from rro_sdk.page.source import Runs

ENTRY = "main.js"
STYLE = "page.css"

_STYLE_TAG = '<link rel="stylesheet" href="/static/page.css">'
_SCRIPT_TAG = '<script type="module" src="/static/main.js"></script>'


class Written(msgspec.Struct, frozen=True):
    """What a file holds.

    Attributes:
        path: of the file.
        tasks: in the table.
        trajectories: tasks that can be opened.
        bytes: its size.
    """

    path: str
    tasks: int
    trajectories: int
    bytes: int


def assets() -> dict[str, str]:
    """The page's own files by name."""
    folder = files("rro_sdk.page").joinpath("static")
    return {
        each.name: each.read_text(encoding="utf-8")
        for each in folder.iterdir()
        if each.name.endswith((".js", ".css", ".html", ".svg"))
    }


def write_page(runs: Runs, path: Path, *, most: int) -> Written:
    """Write the file, whole or not at all.

    Args:
        runs: what it shows.
        path: of the file; replaced where there is one.
        most: tasks whose trajectories it holds at most.

    Raises:
        ConfigError: `most` is negative, the file's name is no page's, or it cannot be written.
        JournalError: a journal is damaged.
    """
    if most < 0:
        raise ConfigError(f"a page holds 0 trajectories or more, not {most}")
    if path.suffix.lower() not in (".html", ".htm"):  # a run's own files are replaced by nothing
        raise ConfigError(f"a page is written to a file that ends in .html, not to {path}")
    own = assets()
    views = runs.runs()
    runs.read()
    rows = list(_rows(runs))
    kept = [rows[at * len(rows) // most] for at in range(most)] if len(rows) > most else rows
    ids = [next(row["id"] for row in line if row is not None) for line in kept]
    about = {
        "runs": views,
        "figures": [runs.figures(number) for number in range(len(runs))],
        "rows": rows,
        "kept": ids,
    }
    script = bundle({name: text for name, text in own.items() if name.endswith(".js")}, ENTRY)
    policy = (
        f"default-src 'none'; script-src '{_hash(script)}'; style-src '{_hash(own[STYLE])}'; img-src data:;"
        " base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )
    head, body = own["index.html"].split(_STYLE_TAG)
    head = head.replace(
        '<meta charset="utf-8">',
        '<meta charset="utf-8">\n<meta http-equiv="Content-Security-Policy"'
        f' content="{html.escape(policy)}">',
    )
    between, rest = body.split(_SCRIPT_TAG)
    main, end = rest.split("</body>")
    lines = [
        f"{head}<style>{own[STYLE]}</style>{between}{main}".encode(),
        _block("about", about),
        *(_block(f"task-{at}", _task(runs, task_id)) for at, task_id in enumerate(ids)),
        f"<script>{script}</script>\n</body>{end}".encode(),
    ]
    try:
        write_lines(path, lines)
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror}") from error
    return Written(str(path), len(rows), len(ids), path.stat().st_size)


def _rows(runs: Runs) -> Iterator[list[dict[str, Any] | None]]:
    offset = 0
    while True:
        page = runs.tasks(TaskQuery(offset=offset, limit=MOST_ROWS))
        yield from msgspec.to_builtins(page.rows)
        offset += MOST_ROWS
        if offset >= page.total:
            return


def _task(runs: Runs, task_id: str) -> dict[str, Any]:
    replies = [runs.replies(number, task_id) for number in range(len(runs))]
    return {"view": runs.task(task_id), "replies": replies}


def _block(name: str, content: Any) -> bytes:
    packed = base64.b64encode(gzip.compress(msgspec.json.encode(content), mtime=0))
    return b'<script type="application/gzip" id="%b">%b</script>' % (name.encode(), packed)


def _hash(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"
