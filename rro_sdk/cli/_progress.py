"""Shows a sampler on stderr while it works: a view on a terminal, lines elsewhere, nothing when quiet."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console

from rro_sdk.live.beside import ViewBeside
from rro_sdk.sampler import Sampler


@contextmanager
def shown(sampler: Sampler, *, quiet: bool = False) -> Iterator[None]:
    """Show what the sampler does for the length of the block; a sampler that keeps nothing shows nothing."""
    if quiet or sampler.run_dir is None:
        yield
        return
    with ViewBeside(sampler.run_dir, Console(stderr=True)):
        yield
