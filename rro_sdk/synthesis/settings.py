"""What all syntheses are told, and how they divide what they made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from rro_sdk.envs.splitting import deal
from rro_sdk.errors import ConfigError
from rro_sdk.synthesis.folder import SPLITS


@dataclass(frozen=True, kw_only=True)
class MakingSettings:
    """How much is made, and of what kind.

    Attributes:
        n: tasks in all.
        seed: of everything that is drawn; the same seed and source give the same tasks.
        fractions: shares of train, validation and test.
        mistakes: share of the experts that first do something wrong.
        careless: share of the demonstrations that leave out a part of what is asked (`demonstrations.py`).
    """

    n: int = 1000
    seed: int = 0
    fractions: tuple[float, float, float] = (0.8, 0.1, 0.1)
    mistakes: float = 0.2
    careless: float = 0.0

    def __post_init__(self) -> None:
        if self.n < 1:
            raise ConfigError(f"n must be at least 1, not {self.n}")
        if self.seed < 0:
            raise ConfigError(f"seed must be at least 0, not {self.seed}")
        for name in ("mistakes", "careless"):
            if not 0.0 <= getattr(self, name) <= 1.0:
                raise ConfigError(f"{name} must be in [0, 1], not {getattr(self, name)}")
        if len(self.fractions) != len(SPLITS):
            raise ConfigError(f"fractions must be {len(SPLITS)}, one a split, not {len(self.fractions)}")
        deal([], fractions=self.fractions)


def splits_of(keys: Sequence[str], settings: MakingSettings) -> list[str]:
    """The split of each task; tasks with one key share theirs.

    Raises:
        ConfigError: a split gets nothing.
    """
    parts = deal(keys, fractions=settings.fractions, seed=settings.seed)
    for place, name in enumerate(SPLITS):
        if place not in parts:
            raise ConfigError(
                f"the {name} part is empty: ask for more tasks, over more of what they are split by, "
                "or give other fractions or another seed"
            )
    return [SPLITS[part] for part in parts]
