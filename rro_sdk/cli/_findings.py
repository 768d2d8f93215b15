"""What `rro doctor` makes of what it sees: pure judgements, each a line with what to do."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "warn", "fail"]

GIB = 1024**3

LEAST_FREE = 1 * GIB
"""A run's journal of some thousand tasks; below, a run would end for lack of room."""

GOOD_FREE = 10 * GIB
"""A few checkpoints of a small model beside it."""

FEW_FILES = 1024
"""Each request in flight is a connection, and so a file."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of the report.

    Attributes:
        name: what was looked at.
        status: fail is what something will break on; warn what it may.
        said: what was seen.
        todo: what to do about it; "" where nothing is to be done.
    """

    name: str
    status: Status
    said: str
    todo: str = ""


def of_python(version: str, required: str, tested: Sequence[str]) -> Finding:
    """An interpreter against what the distribution asks for and was tested with.

    Args:
        version: such as 3.12.1.
        required: the distribution's Requires-Python, such as >=3.11.
        tested: minor versions, such as 3.11 and 3.12.
    """
    from packaging.specifiers import SpecifierSet

    if version not in SpecifierSet(required, prereleases=True):
        return Finding("python", "fail", f"{version}; rro-sdk needs {required}", f"install Python {required}")
    minor = ".".join(version.split(".")[:2])
    if tested and minor not in tested:
        todo = f"use {tested[-1]} where something is odd"
        return Finding("python", "warn", f"{version}, tested with {', '.join(tested)}", todo)
    return Finding("python", "ok", version)


def of_packages(
    requirements: Iterable[str], extras: Iterable[str], installed: Mapping[str, str]
) -> list[Finding]:
    """Installed packages against what the distribution and its extras ask for.

    Args:
        requirements: as in the distribution's metadata.
        extras: those to report; one that is not here is no fault.
        installed: version by canonical name.
    """
    from packaging.requirements import Requirement
    from packaging.utils import canonicalize_name

    asked = [Requirement(each) for each in requirements]

    def wrong(extra: str) -> tuple[list[str], list[str]]:
        """Names that lack, and packages whose version is another, of one extra beyond the base."""
        lack, other = [], []
        for each in asked:
            marker = each.marker
            base = marker is None or marker.evaluate({"extra": ""})
            if base if extra else not base:  # an extra is judged by what it adds
                continue
            if marker is not None and not marker.evaluate({"extra": extra}):
                continue
            version = installed.get(canonicalize_name(each.name))
            if version is None:
                lack.append(each.name)
            elif not each.specifier.contains(version, prereleases=True):
                other.append(f"{each.name} {version}, not {each.specifier}")
        return lack, other

    lack, other = wrong("")
    if lack or other:
        said = "; ".join([*(f"{name} is missing" for name in lack), *other])
        found = [Finding("packages", "fail", said, "pip install --upgrade rro-sdk")]
    else:
        found = [Finding("packages", "ok", "what rro-sdk needs is here")]
    here: list[str] = []
    absent: list[str] = []
    for extra in extras:
        lack, other = wrong(extra)
        if other:
            todo = f"pip install --upgrade 'rro-sdk[{extra}]'"
            found.append(Finding(f"extra {extra}", "warn", "; ".join(other), todo))
        (absent if lack else here).append(f"{extra} (lacks {', '.join(lack)})" if lack else extra)
    said = f"here: {', '.join(here) or 'none'}; not here: {', '.join(absent) or 'none'}"
    found.append(
        Finding("extras", "ok", said, "pip install 'rro-sdk[NAME]' for one you need" if absent else "")
    )
    return found


def of_disk(place: str, free: int, writable: bool) -> Finding:
    """Room where runs are written, in bytes."""
    said = f"{free / GIB:.1f} GiB free in {place}"
    if not writable:
        return Finding("disk", "fail", f"{place} cannot be written", "work in a folder that is yours")
    if free < LEAST_FREE:
        return Finding("disk", "fail", said, f"make room: a run needs {LEAST_FREE // GIB} GiB")
    if free < GOOD_FREE:
        return Finding("disk", "warn", said, "make room before training: each checkpoint is a whole model")
    return Finding("disk", "ok", said)


def of_files(limit: int) -> Finding:
    """Files that a process may have open."""
    if limit < FEW_FILES:
        todo = f"ulimit -n {4 * FEW_FILES}; each request in flight is a connection"
        return Finding("open files", "warn", f"{limit} at most", todo)
    return Finding("open files", "ok", f"{limit} at most")


def of_device(cores: int, memory: int | None, gpus: Sequence[str] | None, torch: str | None) -> list[Finding]:
    """What there is to compute with.

    Args:
        cores: that this process may use.
        memory: in bytes, where known.
        gpus: as nvidia-smi names them; None where it is there and fails.
        torch: its version, where it is installed.
    """
    held = "" if memory is None else f", {memory / GIB:.1f} GiB of memory"
    found = [Finding("cpu", "ok", f"{cores} cores{held}")]
    if gpus is None:
        todo = "run nvidia-smi: the driver may be another than its library, or the GPU may be gone"
        found.append(Finding("gpu", "warn", "nvidia-smi fails, so no GPU can be counted on", todo))
    elif not gpus:
        said = "no NVIDIA GPU; servers and trainers that are started here use the CPU"
        found.append(Finding("gpu", "ok", said))
    elif torch is not None and "+cpu" in torch:
        todo = "install a torch with CUDA to train on the GPU"
        found.append(Finding("gpu", "warn", f"{'; '.join(gpus)}; but torch {torch} has no CUDA", todo))
    else:
        found.append(Finding("gpu", "ok", "; ".join(gpus)))
    return found


def of_data(states: Mapping[str, str]) -> Finding:
    """Data sets by name, with their state of `rro_sdk.data.store.Held`."""
    of = {state: [name for name, found in states.items() if found == state] for state in set(states.values())}
    absent = of.get("missing", [])
    said = f"here: {', '.join(of.get('there', [])) or 'none'}"
    if other := of.get("other"):
        said = f"{', '.join(other)}: a file of another size than it should have; {said}"
        return Finding("data", "warn", said, "rro data check names it")
    if half := of.get("partial"):
        said = f"{', '.join(half)}: there in part; {said}"
        return Finding("data", "warn", said, f"rro data get {' '.join(half)}, where you want all of it")
    if absent:
        todo = f"rro data get {' '.join(absent)}, where you want more than what comes with the package"
        return Finding("data", "ok", f"{said}; not here: {', '.join(absent)}", todo)
    return Finding("data", "ok", said)


def of_served(served: Mapping[str, tuple[str, str]]) -> list[Finding]:
    """Whether servers serve one thing: model and weight version by URL. Nothing to say of fewer than two."""
    if len(set(served.values())) < 2:
        return []
    said = "; ".join(
        f"{url}: {model} version {version or 'unknown'}" for url, (model, version) in served.items()
    )
    return [Finding("servers", "fail", f"they differ: {said}", "rro reload brings them to one checkpoint")]
