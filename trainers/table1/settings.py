"""What the experiment is told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from rro_sdk._secrets import without_secrets
from rro_sdk.errors import ConfigError
from rro_sdk.policy import Sampling
from trainers.iterate.keys import named
from trainers.iterate.tables import ServersTable
from trainers.settings import DPOSettings, SFTSettings
from trainers.table1.arms import ARMS
from trainers.tiny import TinySettings

Variant = Literal["tasks", "tokens"]
"""What every method gets alike: the same tasks, or the generated tokens that RRO used on them."""

S = TypeVar("S", TinySettings, SFTSettings, DPOSettings)

ANCHOR = "rro"
"""The method whose tokens are the budget of the variant `tokens`."""


@dataclass(frozen=True, kw_only=True)
class Table1Settings:
    """One experiment.

    Attributes:
        out: its folder; an experiment that is there goes on.
        tasks: folder of `rro data synth`: train.jsonl with experts, test.jsonl, sft.jsonl.
        env: name of the environment, as for `rro sample`.
        env_options: its settings.
        model: `tiny`, trained from scratch for each seed, or a checkpoint folder to start SFT from.
        seeds: how many; seed 0 to seeds - 1 of SFT, exploration and DPO.
        arms: methods, beside few-shot and SFT.
        variants: see `Variant`.
        explore_on: part of the tasks that is explored: `train`, as the paper does, or `validation`, which SFT
            has not seen. A tiny model knows its training tasks by heart, and a step that is always right
            yields no pair.
        explore: how many of them every method explores in the variant `tasks`.
        held_out: test tasks that every policy is evaluated on, greedily.
        drawn: how often every held-out task is also played at `temperature`, by the policies from SFT on; the
            policy that is explored and trained is the drawing one.
        thirds: held-out tasks explored under the rule by the policies before and after RRO (Table 2); 0
            leaves that out.
        rollouts: m of all methods that estimate process rewards.
        max_candidates: cap of the rising rule, and the fixed size.
        temperature: of the exploration; ETO explores at its own.
        max_tokens: of one reply.
        sft: settings of the SFT (`TinySettings` or `SFTSettings`).
        dpo_steps: optimizer steps of every DPO.
        dpo: other settings of every DPO (`DPOSettings`).
        max_length: tokens of a row that is trained on; longer ones are left out, and counted in the table.
        servers: URLs of servers that are there already and serve such a model; none starts one for each seed.
        parallel: seeds at once, each with a server of its own; 1 with given servers.
        device: of started servers.
        share_device: stop the started server while a trainer runs, where both need one device.
        server_args: further flags of started servers.
        max_running_requests: that a started server decodes at once.
        max_total_tokens: KV cache of a started server; worlds of long pages want more than its default.
        concurrency: requests in flight per server; by default its own queue decides.
    """

    out: Path
    tasks: Path
    env: str = "intercode-sql"
    env_options: dict[str, Any] = field(default_factory=dict)
    model: str = "tiny"
    seeds: int = 5
    arms: tuple[str, ...] = ("eto", "ipr", "fixed", "rro")
    variants: tuple[Variant, ...] = ("tasks", "tokens")
    explore_on: Literal["train", "validation"] = "train"
    explore: int = 48
    held_out: int = 100
    drawn: int = 0
    thirds: int = 0
    rollouts: int = 5
    max_candidates: int = 5
    temperature: float = 1.0
    max_tokens: int = 128
    sft: dict[str, Any] = field(default_factory=dict)
    dpo_steps: int = 60
    dpo: dict[str, Any] = field(default_factory=dict)
    max_length: int = 2048
    servers: tuple[str, ...] = ()
    parallel: int = 1
    device: Literal["auto", "cpu", "cuda"] = "auto"
    share_device: bool = False
    server_args: tuple[str, ...] = ()
    max_running_requests: int | None = None
    max_total_tokens: int | None = None
    concurrency: int | None = None

    def __post_init__(self) -> None:
        for name in ("seeds", "explore", "held_out", "rollouts", "max_candidates", "dpo_steps", "parallel"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")
        for name in ("thirds", "drawn"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name} must be at least 0, not {getattr(self, name)}")
        if unknown := [arm for arm in self.arms if arm not in ARMS]:
            raise ConfigError(f"no method is called {unknown[0]!r} here; use {', '.join(ARMS)}")
        if not self.arms or len(set(self.arms)) < len(self.arms):
            raise ConfigError(f"arms must name methods, each once, not {self.arms}")
        if not self.variants or set(self.variants) - {"tasks", "tokens"}:
            raise ConfigError(f"variants must be tasks, tokens or both, not {self.variants}")
        if "tokens" in self.variants and ANCHOR not in self.arms:
            raise ConfigError(f"the variant tokens gives every method the tokens of {ANCHOR}; add that arm")
        if self.servers and self.parallel > 1:
            raise ConfigError("parallel seeds need a server each; leave out either --parallel or --servers")
        if self.explore_on not in ("train", "validation"):
            raise ConfigError(f"explore_on must be train or validation, not {self.explore_on!r}")
        for name in self.files:
            if not (self.tasks / name).is_file():
                raise ConfigError(f"{self.tasks / name} is missing; make the folder with `rro data synth`")
        self.sampling(self.temperature)
        somewhere = Path("checkpoint")
        if self.model == "tiny":
            self.tiny(somewhere, 0)
        else:
            self.sft_settings(somewhere, somewhere, 0)
        self.dpo_settings(somewhere, somewhere, somewhere, 0, "sigmoid")
        self.servers_table.fleet()

    @property
    def servers_table(self) -> ServersTable:
        """The servers of one seed. Raises ConfigError."""
        given = {
            "urls": self.servers,
            "start": None if self.servers else 1,
            "device": self.device,
            "share_device": self.share_device,
            "extra_args": self.server_args,
            "max_running_requests": self.max_running_requests,
            "max_total_tokens": self.max_total_tokens,
            "concurrency": self.concurrency,
        }
        try:
            return msgspec.convert(given, ServersTable)
        except msgspec.ValidationError as error:
            raise ConfigError(named(str(error))) from None

    def tiny(self, out: Path, seed: int, *, born: bool = False) -> TinySettings:
        """How the tiny model is trained, or made as it is `born`: of the same shape, untrained."""
        given = {"data": self.tasks / "sft.jsonl", "out": out, "seed": seed}
        own = {"max_length": self.max_length, **self.sft}
        return _made(TinySettings, "sft", {**own, "epochs": 0} if born else own, given)

    def sft_settings(self, model: Path, out: Path, seed: int) -> SFTSettings:
        """How a given model is trained on the experts' turns."""
        given: dict[str, Any] = {"data": self.tasks / "sft.jsonl", "model": model, "out": out, "seed": seed}
        given["resume"] = "save_every" in self.sft  # an experiment that is called again goes on
        return _made(SFTSettings, "sft", {"max_length": self.max_length, **self.sft}, given)

    def dpo_settings(self, data: Path, model: Path, out: Path, seed: int, loss: str) -> DPOSettings:
        """How every method's pairs are trained on."""
        given = {"data": data, "model": model, "out": out, "seed": seed, "loss": loss}
        given |= {"steps": self.dpo_steps, "allow_drop": True, "resume": "save_every" in self.dpo}
        return _made(DPOSettings, "dpo", {"max_length": self.max_length, **self.dpo}, given)

    @property
    def files(self) -> tuple[str, str, str]:
        """Names of the files of `tasks` that are read: explored, evaluated on, and learned from by SFT."""
        return f"{self.explore_on}.jsonl", "test.jsonl", "sft.jsonl"

    @property
    def experts(self) -> Path:
        """File of the expert trajectories: experts.jsonl, or the explored tasks' own."""
        apart = self.tasks / "experts.jsonl"
        return apart if apart.is_file() else self.tasks / self.files[0]

    def sampling(self, temperature: float) -> Sampling:
        """How actions are drawn at a temperature."""
        return Sampling(temperature=temperature, max_tokens=self.max_tokens)

    def plain(self) -> dict[str, Any]:
        """The settings as data, without what does not touch the result and what is secret."""
        free = {"out", "tasks", "seeds", "servers", "parallel"}
        free |= {
            "device",
            "share_device",
            "server_args",
            "max_running_requests",
            "max_total_tokens",
            "concurrency",
        }
        found = {name: value for name, value in asdict(self).items() if name not in free}
        return {**found, "env_options": without_secrets(self.env_options)}


def _made(kind: type[S], option: str, own: dict[str, Any], given: dict[str, Any]) -> S:
    """A trainer's settings from the experiment's; errors name the option."""
    known = [each.name for each in fields(kind) if each.name not in given]
    if unknown := [name for name in own if name not in known]:
        raise ConfigError(
            f"--{option} {unknown[0]} is none of its settings here; it takes {', '.join(known)}"
        )
    try:
        return kind(**own, **given)
    except (ConfigError, TypeError) as error:
        raise ConfigError(f"--{option}: {error}") from None
