"""The data folder: larger reference data that a user may have beside the package."""

from __future__ import annotations

import os
from pathlib import Path

from rro_sdk.errors import ConfigError


def data_folder() -> Path | None:
    """The folder that `RRO_DATA` names, else `../shared/data` beside the current directory or the checkout.

    Returns:
        The folder, or None where there is none: every environment works without it.

    Raises:
        ConfigError: `RRO_DATA` names a folder that does not exist.
    """
    named = os.environ.get("RRO_DATA")
    if named:
        folder = Path(named)
        if not folder.is_dir():
            raise ConfigError(f"RRO_DATA names {folder}, which is not a folder: correct it or unset it")
        return folder
    checkout = Path(__file__).resolve().parents[2]
    for start in (Path.cwd(), checkout):
        folder = start.parent / "shared" / "data"
        if folder.is_dir():
            return folder
    return None
