"""The public surface is what surface.txt says: no name, parameter, field or default changes by accident."""

from __future__ import annotations

import re

import rro_sdk
from tests.packaging.surface import STORED, surface


def test_the_public_surface_is_as_stored() -> None:
    stored = STORED.read_text(encoding="utf-8")
    assert surface() == stored, (
        "the public surface has changed: if that is meant, run `python -m tests.packaging.surface --write`"
        " and say in CHANGELOG.md what users will notice"
    )


def test_every_exported_name_is_there_and_stored() -> None:
    stored = STORED.read_text(encoding="utf-8")
    for name in rro_sdk.__all__:
        assert hasattr(rro_sdk, name)
        assert re.search(rf"^(class |def |async def )?{name}\b", stored, re.MULTILINE), name
