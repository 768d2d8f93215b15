"""The configuration of a loop: TOML in, one typed object out, and errors that name the key (`keys.py`).

The tables [sft], [dpo] and [method] take the settings of `SFTSettings`, `DPOSettings` and the method's own
class, so that a new setting there is a new key here; the others are in `tables.py`.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from rro_sdk._secrets import without_secrets
from rro_sdk.errors import ConfigError
from rro_sdk.methods.base import Method
from rro_sdk.methods.named import make_method
from rro_sdk.methods.tree import TreeMethod
from trainers.iterate.keys import named, trainer_settings, within
from trainers.iterate.plan import Patience, Plan
from trainers.iterate.tables import (
    ClusterTable,
    Count,
    EnvironmentTable,
    EvaluateTable,
    SampleTable,
    ServersTable,
    StopTable,
)
from trainers.launching import command
from trainers.settings import DPOSettings, SFTSettings

_BLOCK_TASKS = 128
"""Tasks that a sampler of a cluster gets at once, at most, unless the configuration says otherwise."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A loop.

    Attributes:
        model: checkpoint folder to start from.
        out: the loop's folder.
        iterations: K, at most.
        seed: of everything that is drawn, and of the trainers unless their tables say otherwise.
        keep: `all` checkpoints, or the `best` and the newest.
        sft: settings of the SFT and its `data` file; without this table there is none.
        dpo: settings of each DPO, and `reference`: `previous`, the policy that made the pairs, or `sft`, that
            of iteration 0.
        cluster: Ray, where something is done there.
        method: `name` (`rro_sdk.methods.named`), `rising` by default, and the method's settings.
    """

    model: str
    out: str
    environment: EnvironmentTable
    iterations: Count = 3
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)] = 0
    keep: Literal["all", "best"] = "all"
    servers: ServersTable = ServersTable()
    cluster: ClusterTable = ClusterTable()
    method: dict[str, Any] = {}
    sample: SampleTable = SampleTable()
    sft: dict[str, Any] | None = None
    dpo: dict[str, Any] = {}
    evaluate: EvaluateTable = EvaluateTable()
    stop: StopTable | None = None

    @property
    def plan(self) -> Plan:
        stop = Patience(self.stop.patience, self.stop.min_delta) if self.stop is not None else None
        return Plan(self.iterations, self.sft is not None, stop)

    @property
    def reference(self) -> str:
        return str(self.dpo.get("reference", "previous"))

    @property
    def on_ray(self) -> bool:
        """Whether anything is done on a cluster."""
        return "ray" in (self.sample.engine, self.servers.engine) or self.cluster.nodes is not None

    @property
    def shared(self) -> str:
        """What samplers of a cluster record in."""
        return self.cluster.shared or str(Path(self.out) / "shards")

    @property
    def block_tasks(self) -> int:
        """Tasks of a block. None goes across the batches of an iteration, since a batch may be the last."""
        if self.cluster.block_tasks is not None:
            return self.cluster.block_tasks
        fitting = range(min(_BLOCK_TASKS, self.sample.tasks), 0, -1)
        return next(size for size in fitting if self.sample.tasks % size == 0)

    def make_method(self) -> Method | TreeMethod:
        """The method of [method].

        Raises:
            ConfigError: there is no such method, or it has no such setting.
        """
        given = {"name": "rising", **self.method}
        name = str(given.pop("name"))
        try:
            return make_method(name, given)
        except (TypeError, ConfigError) as error:
            raise ConfigError(f"[method]: {error}") from None

    def sft_settings(self, model: Path, out: Path) -> SFTSettings:
        """Raises ConfigError, as `dpo_settings`."""
        table = dict(self.sft or {})
        data = table.pop("data", None)
        if not isinstance(data, str):
            raise ConfigError("key sft.data is missing: name the file with the expert turns")
        return trainer_settings(SFTSettings, "sft", table, self.seed, data=Path(data), model=model, out=out)

    def dpo_settings(self, data: Path, model: Path, out: Path, reference: Path | None) -> DPOSettings:
        """Raises ConfigError: the table holds a key that is no setting, or a value that cannot be."""
        table = {name: value for name, value in self.dpo.items() if name != "reference"}
        given = {"data": data, "model": model, "out": out, "reference": reference}
        return trainer_settings(DPOSettings, "dpo", table, self.seed, **given)

    def check(self) -> None:
        """Raise ConfigError for whatever can be seen to be wrong before another file is read."""
        if self.reference not in ("previous", "sft"):
            raise ConfigError(f"key dpo.reference must be previous or sft, not {self.reference!r}")
        somewhere, nodes = Path("checkpoint"), self.cluster.nodes
        self._check_cluster()
        if self.sft is not None:
            sft = self.sft_settings(somewhere, somewhere)
            within("sft", lambda: command(sft, nodes))
        dpo = self.dpo_settings(somewhere, somewhere, somewhere, None)
        within("dpo", lambda: command(dpo, nodes))
        within("servers", self.servers.fleet)
        self.make_method()
        within("sample", lambda: (self.sample.sampling, self.sample.spending))
        within("stop", lambda: self.plan)

    def _check_cluster(self) -> None:
        if self.cluster != ClusterTable() and not self.on_ray:
            raise ConfigError(
                "[cluster] is given and nothing is done there: give it train_nodes, or [sample] or [servers]"
                ' engine = "ray"'
            )
        if self.sample.tasks % self.block_tasks:
            raise ConfigError(
                f"key cluster.block_tasks is {self.block_tasks} and does not divide the {self.sample.tasks}"
                " tasks of [sample]: a block must not go across two batches"
            )


def read_config(path: Path) -> Config:
    """Read and check a configuration file. Relative paths in it are the caller's, as on a command line.

    Raises:
        ConfigError: it cannot be read, or a key of it cannot be right; names the key.
    """
    try:
        tree = tomllib.loads(path.read_bytes().decode())
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}") from error
    try:
        return parse_config(tree)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def parse_config(tree: Mapping[str, Any]) -> Config:
    """The configuration of a tree of plain data, checked, with absolute paths.

    Raises:
        ConfigError: a key is unknown, missing or of the wrong kind, or a value cannot be right.
    """
    try:
        config = msgspec.convert(tree, Config)
    except msgspec.ValidationError as error:
        raise ConfigError(named(str(error))) from error
    config = _absolute(config)
    config.check()
    return config


def compared(config: Config) -> dict[str, Any]:
    """What must be the same when a loop goes on.

    Left out is where things are: folders and files (their contents are compared), servers, devices and nodes,
    though not how many processes train together, since each takes a batch. So is whether rows that do not fit
    are dropped, so that a loop that one of them ended can go on.
    """
    found: dict[str, Any] = msgspec.to_builtins(without_credentials(config))
    for name in ("model", "out", "servers", "cluster"):
        del found[name]
    nodes = config.cluster.nodes
    found["training processes"] = None if nodes is None else nodes.count * max(nodes.gpus, 1)
    for name in ("train", "held_out"):
        del found["environment"][name]
    for table, name in (
        ("sft", "data"),
        ("sft", "allow_drop"),
        ("dpo", "allow_drop"),
        ("method", "experts"),
    ):
        (found[table] or {}).pop(name, None)
    return found


def without_credentials(config: Config) -> Config:
    """The configuration as it may be kept on disk: no secret among the environment's options."""
    options: dict[str, Any] = without_secrets(config.environment.options)
    return msgspec.structs.replace(
        config, environment=msgspec.structs.replace(config.environment, options=options)
    )


def _absolute(config: Config) -> Config:
    environment = msgspec.structs.replace(
        config.environment,
        train=str(Path(config.environment.train).absolute()),
        held_out=str(Path(config.environment.held_out).absolute()),
    )

    def with_files(table: dict[str, Any], *names: str) -> dict[str, Any]:
        found = {name: file for name in names if isinstance(file := table.get(name), str)}
        return {**table, **{name: str(Path(file).absolute()) for name, file in found.items()}}

    def trainer(table: dict[str, Any], *names: str) -> dict[str, Any]:
        is_file = str(table.get("launch")).endswith((".yaml", ".yml"))  # else the name of a shipped one
        return with_files(table, "tensorboard", "sampled_with", *names, *(["launch"] if is_file else []))

    return msgspec.structs.replace(
        config,
        model=str(Path(config.model).absolute()),
        out=str(Path(config.out).absolute()),
        environment=environment,
        sft=None if config.sft is None else trainer(config.sft, "data"),
        dpo=trainer(config.dpo),
        method=with_files(config.method, "experts"),
    )
