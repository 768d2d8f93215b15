"""Plans as a picture: what settings yield against how often it is right. Needs the extra `report`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rro_sdk.errors import ConfigError
from rro_sdk.methods import RisingReward
from rro_sdk.planner.search import Option, rule_text

SUFFIXES = (".png", ".svg")

_MARKS = {"skip": "o", "second": "s", "prefix_action": "^", "fixed": "X"}


def plot_file(path: Path) -> Path:
    """The path, if a picture can be written there: checked before anything is simulated.

    Raises:
        ConfigError: it is no PNG or SVG, its folder is missing, or matplotlib is.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise ConfigError(f"a plot is a .png or .svg file, which {path} is not")
    if not path.parent.is_dir():
        raise ConfigError(f"the folder of the plot {path} does not exist; make it first")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise ConfigError(
            "a plot needs matplotlib, which is not installed: pip install 'rro-sdk[report]'"
        ) from None
    return path


def draw_options(options: Sequence[Option], path: Path, *, title: str = "") -> None:
    """Draw pairs per 1,000 rollouts against pair precision, one mark a setting, and write the file.

    Args:
        options: settings with their plans; those without pairs are left out.
        path: a .png or .svg file, written whole or not at all.
        title: above the picture.

    Raises:
        ConfigError: as `plot_file`, or the file cannot be written.
    """
    plot_file(path)
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.5, 5.0), layout="constrained")
    axes = figure.add_subplot()
    sizes = sorted({option.method.rollouts for option in options})
    caps = {option.method.max_candidates for option in options}
    seen: set[str] = set()
    for option in options:
        if option.plan.pair_precision is None:
            continue
        method = option.method
        kind = str(method.on_first_rise) if isinstance(method, RisingReward) else "fixed"
        label = rule_text(method.rule) if isinstance(method, RisingReward) else method.name
        label += f", cap {method.max_candidates}" * (len(caps) > 1)
        axes.plot(
            option.plan.pairs_per_1000_rollouts,
            option.plan.pair_precision,
            _MARKS[kind],
            color=f"C{sizes.index(method.rollouts)}",
            markersize=7,
            label=f"m = {method.rollouts}, {kind}" if f"{method.rollouts} {kind}" not in seen else None,
        )
        seen.add(f"{method.rollouts} {kind}")
        axes.annotate(
            label,
            (option.plan.pairs_per_1000_rollouts, option.plan.pair_precision),
            xytext=(5, 3),
            textcoords="offset points",
            fontsize=7,
        )
    axes.set_xlabel("pairs per 1,000 rollouts")
    axes.set_ylabel("pair precision (share of pairs that are right)")
    axes.set_title(title)
    axes.grid(alpha=0.3)
    if seen:
        axes.legend(fontsize=8)
    draft = path.with_name(f".{path.name}.part")
    try:
        figure.savefig(draft, format=path.suffix.lower().removeprefix("."), dpi=150)
        draft.replace(path)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise ConfigError(f"cannot write the plot {path}: {error.strerror}; choose another file") from error
