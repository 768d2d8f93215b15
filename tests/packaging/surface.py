"""The public surface as text: every exported name with its signature, fields and methods.

    python -m tests.packaging.surface --write

writes it to surface.txt. What changes there is a change for users: CHANGELOG.md has a line for it.
"""

from __future__ import annotations

import enum
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

import rro_sdk

STORED = Path(__file__).with_name("surface.txt")


def surface() -> str:
    """The same text under every Python that is supported."""
    blocks = ["\n".join(_described(name, getattr(rro_sdk, name))) for name in sorted(rro_sdk.__all__)]
    return "\n\n".join(blocks) + "\n"


def _described(name: str, found: Any) -> Iterator[str]:
    if inspect.isclass(found):
        bases = ", ".join(base.__name__ for base in found.__bases__ if base is not object)
        yield f"class {name}({bases})" if bases else f"class {name}"
        yield from (f"    {line}" for line in _members(found))
    elif callable(found):
        yield f"{_kind(found)} {name}{_signature(found)}"
    else:
        yield f"{name} = {found}"


def _members(found: type) -> Iterator[str]:
    if issubclass(found, msgspec.Struct):
        for field in msgspec.structs.fields(found):
            default = "" if field.required else " = ..."
            yield f"{field.name}: {_annotation(found, field.name)}{default}"
    elif issubclass(found, BaseException):
        pass
    elif "__init__" in vars(found) and not getattr(found, "_is_protocol", False):
        yield f"__init__{_signature(vars(found)['__init__'])}"
    if not issubclass(found, msgspec.Struct | BaseException):
        for base in reversed(found.__mro__):
            if base.__module__.startswith("rro_sdk"):
                for name, annotation in vars(base).get("__annotations__", {}).items():
                    if not name.startswith("_"):
                        yield f"{name}: {annotation}"
    own = {
        name: value
        for base in reversed(found.__mro__)
        if base.__module__.startswith("rro_sdk")
        for name, value in vars(base).items()
    }
    for name, value in sorted(own.items()):
        if name.startswith("_") or name in getattr(found, "__struct_fields__", ()):
            continue
        plain = value.__func__ if isinstance(value, classmethod | staticmethod) else value
        if isinstance(value, property):
            returned = inspect.signature(value.fget).return_annotation if value.fget else "?"
            yield f"{name} -> {returned}"
        elif inspect.isfunction(plain):
            yield f"{_kind(plain)} {name}{_signature(plain)}"


def _annotation(found: type, name: str) -> str:
    for base in found.__mro__:
        if name in vars(base).get("__annotations__", {}):
            return str(base.__annotations__[name])
    raise LookupError(f"{found.__name__}.{name} has no annotation")


def _kind(function: Any) -> str:
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        return "async def"
    return "def"


def _signature(function: Any) -> str:
    signature = inspect.signature(function)
    kept = [
        parameter.replace(default=_shown(parameter.default), annotation=_written(parameter.annotation))
        for name, parameter in signature.parameters.items()
        if name not in ("self", "cls")
    ]
    return str(signature.replace(parameters=kept, return_annotation=_written(signature.return_annotation)))


def _written(annotation: Any) -> Any:
    """An annotation as the source has it: without quotes."""
    return _Text(annotation) if isinstance(annotation, str) else annotation


class _Text(str):
    def __repr__(self) -> str:
        return str(self)


def _shown(default: Any) -> Any:
    """Defaults as they are written, where they are plain; how others print is no promise."""
    plain = default is inspect.Parameter.empty or default is None
    if plain or (isinstance(default, int | float | str) and not isinstance(default, enum.Enum)):
        return default
    return _Text("...")


if __name__ == "__main__":
    if sys.argv[1:] != ["--write"]:
        sys.exit("usage: python -m tests.packaging.surface --write")
    STORED.write_text(surface(), encoding="utf-8")
