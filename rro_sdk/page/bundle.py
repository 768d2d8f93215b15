"""Our own JavaScript modules as one script, for a page that must not load anything.

Not a bundler: it knows the two forms that `static/` uses, and refuses any other.

    import { a, b } from "./other.js";
    export function a() ...        (or async function, class, const)
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_IMPORT = re.compile(r'^import \{([\w\s,]+)\} from "\./([\w-]+\.js)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export (?=(?:async function|function|class|const) (\w+))", re.MULTILINE)
_OTHER = re.compile(r"^(?:import|export)\b.*$", re.MULTILINE)


def bundle(modules: Mapping[str, str], entry: str) -> str:
    """One script that does what loading `entry` as a module does.

    Args:
        modules: source by file name.
        entry: which of them is loaded.

    Raises:
        ValueError: an import of what is not there, one that goes in a circle, or another form of either.
    """
    done: dict[str, str] = {}

    def add(name: str, above: tuple[str, ...]) -> None:
        if name in above:
            raise ValueError(f"modules import each other: {' -> '.join((*above, name))}")
        if name not in modules:
            raise ValueError(f"{above[-1] if above else 'the page'} imports {name}, which is not there")
        for _, other in _IMPORT.findall(modules[name]):
            if other not in done:
                add(other, (*above, name))
        done[name] = _wrapped(name, modules[name])

    add(entry, ())
    return '"use strict";\nconst modules = {};\n' + "".join(done.values())


def _wrapped(name: str, source: str) -> str:
    """A module as a function that leaves its exports in `modules`."""
    names = _EXPORT.findall(source)
    body = _EXPORT.sub("", _IMPORT.sub(r'const {\1} = modules["\2"];' + "\n", source))
    if other := _OTHER.search(body):
        raise ValueError(f"{name} has a form that cannot be bundled: {other.group()}")
    return f'modules["{name}"] = (() => {{\n{body}\nreturn {{ {", ".join(names)} }};\n}})();\n'
