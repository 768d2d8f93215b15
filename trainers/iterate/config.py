"""The configuration of a loop: TOML in, one typed object out, and errors that name the key.

The tables [sft], [dpo] and [method] take the settings of `SFTSettings`, `DPOSettings` and the method's own
class, so that a new setting there is a new key here.
"""

from __future__ import annotations

import re
import tomllib
import typing
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit, urlunsplit

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.fleet import FleetSettings
from rro_sdk.methods.base import Method
from rro_sdk.methods.named import make_method
from rro_sdk.methods.tree import TreeMethod
from rro_sdk.policy import Sampling
from rro_sdk.spending import Reuse, Spending
from trainers.iterate.plan import Patience, Plan
from trainers.launching import command
from trainers.nodes import Nodes
from trainers.settings import DPOSettings, SFTSettings, TrainSettings

S = TypeVar("S", bound=TrainSettings)

_OURS = ("data", "model", "out", "reference", "resume")
"""Settings of a trainer that the loop gives itself."""

_BLOCK_TASKS = 128
"""Tasks that a sampler of a cluster gets at once, at most, unless the configuration says otherwise."""

_OF_ANY_SERVER = ("urls", "concurrency", "request_timeout_s")
"""Keys of [servers] that say something about servers that are there already."""

Engine = Literal["process", "ray"]
Count = Annotated[int, msgspec.Meta(ge=1)]
Seconds = Annotated[float, msgspec.Meta(gt=0)]


class EnvironmentTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[environment]: where the tasks are played.

    Attributes:
        name: of the suite, or your own as package.module:attribute.
        train: tasks file to explore.
        held_out: tasks file to evaluate on; it shares no task with `train`.
        options: settings of the environment.
    """

    train: str
    held_out: str
    name: str = "intercode-sql"
    options: dict[str, Any] = {}


class ServersTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[servers]: given by `urls`, or started by the loop.

    Attributes:
        urls: servers that are there already, on devices of their own.
        start: how many SGLang servers to start; one, where there are no `urls`.
        engine: where they are started: on this machine, or on nodes of a Ray cluster.
        gpus: of each server on Ray; by default `tp`, and 0 on CPUs.
        device: of started servers.
        share_device: stop the started servers while a trainer runs, and start them with the new checkpoint.
        dtype, max_total_tokens, max_running_requests, tp, extra_args, startup_timeout_s: of started servers;
            see `servers.sglang.ServerSettings`.
        concurrency: requests in flight per server; by default its own queue decides.
        request_timeout_s: deadline of one completion.
    """

    urls: tuple[str, ...] = ()
    start: Count | None = None
    engine: Engine = "process"
    gpus: Annotated[int, msgspec.Meta(ge=0)] | None = None
    device: Literal["auto", "cpu", "cuda"] = "auto"
    share_device: bool = False
    dtype: Literal["auto", "float32", "float16", "bfloat16"] = "auto"
    max_total_tokens: Count | None = None
    max_running_requests: Count | None = None
    tp: Count = 1
    extra_args: tuple[str, ...] = ()
    startup_timeout_s: Seconds = 300.0
    concurrency: Count | None = None
    request_timeout_s: Seconds = 300.0

    def __post_init__(self) -> None:
        if self.gpus is not None and self.engine != "ray":
            raise ConfigError('gpus says what each server takes of a cluster: give engine = "ray" too')
        if not self.urls:
            return
        normalise_all(self.urls)
        for field in msgspec.structs.fields(self):
            if field.name not in _OF_ANY_SERVER and getattr(self, field.name) != field.default:
                raise ConfigError(
                    f"{field.name} is for servers that the loop starts: leave out either it or urls"
                )

    @property
    def gpus_of_each(self) -> int:
        """What each server on Ray takes."""
        if self.gpus is not None:
            return self.gpus
        return 0 if self.device == "cpu" else self.tp

    def fleet(self, user: str | None = None, admin: str | None = None) -> FleetSettings:
        """How they are asked, with these bearer tokens.

        Raises:
            ConfigError: a value cannot be right.
        """
        return FleetSettings(
            concurrency=self.concurrency,
            request_timeout_s=self.request_timeout_s,
            api_key=user,
            admin_api_key=admin,
        )


class SampleTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[sample]: how much is explored in an iteration, and how.

    Attributes:
        engine: `process` samples in this process, `ray` on the cluster of [cluster].
        tasks: explored in an iteration; each takes other ones until all had their turn.
        min_pairs: while there are fewer, so many tasks more are explored, up to all of them.
        temperature, top_p, max_tokens, stop: how actions are drawn (`Sampling`).
        early_decision, reuse, speculate: how rollouts are saved (`Spending`).
        max_failed_tasks: end the stage when more tasks than this had to be set aside; by default only when
            all were.
    """

    engine: Engine = "process"
    tasks: Count = 64
    min_pairs: Count = 1
    temperature: float = 1.0
    top_p: float = 1.0
    max_tokens: int = 256
    stop: tuple[str, ...] = ()
    early_decision: bool = False
    reuse: Reuse = "off"
    speculate: bool = False
    max_failed_tasks: Annotated[int, msgspec.Meta(ge=0)] | None = None

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.temperature, self.top_p, self.max_tokens, self.stop)

    @property
    def spending(self) -> Spending:
        return Spending(self.early_decision, self.reuse, self.speculate)


class EvaluateTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[evaluate]: greedily, the same held-out tasks each time.

    Attributes:
        tasks: how many of them; by default all.
        max_tokens, stop: as for [sample], whose own are the default.
    """

    tasks: Count | None = None
    max_tokens: Count | None = None
    stop: tuple[str, ...] | None = None


class ClusterTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[cluster]: Ray, for what is not done on this machine alone; see docs/scale.md.

    Attributes:
        address: of the cluster, `host:port` or `auto`; without it Ray is started here while the loop runs.
        shared: folder or URL that all nodes see, for what samplers record; OUT/shards by default.
        samplers: how many; by default one for each CPU that servers leave.
        block_tasks: tasks that a sampler gets at once; divides those of [sample].
        train_nodes: nodes that a trainer runs on; by default it runs on this machine.
        train_gpus, train_cpus: of each of those nodes; a process for each GPU.
    """

    address: str | None = None
    shared: str | None = None
    samplers: Count | None = None
    block_tasks: Count | None = None
    train_nodes: Count | None = None
    train_gpus: Annotated[int, msgspec.Meta(ge=0)] = 0
    train_cpus: Count = 1

    @property
    def nodes(self) -> Nodes | None:
        """What a training takes of the cluster; None where it takes nothing."""
        if self.train_nodes is None:
            return None
        return Nodes(count=self.train_nodes, gpus=self.train_gpus, cpus=self.train_cpus, address=self.address)


class StopTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[stop]: see `Patience`. Without this table all iterations are run."""

    patience: int = 2
    min_delta: float = 0.0


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
        return _settings(SFTSettings, "sft", table, self.seed, data=Path(data), model=model, out=out)

    def dpo_settings(self, data: Path, model: Path, out: Path, reference: Path | None) -> DPOSettings:
        """Raises ConfigError: the table holds a key that is no setting, or a value that cannot be."""
        table = {name: value for name, value in self.dpo.items() if name != "reference"}
        given = {"data": data, "model": model, "out": out, "reference": reference}
        return _settings(DPOSettings, "dpo", table, self.seed, **given)

    def check(self) -> None:
        """Raise ConfigError for whatever can be seen to be wrong before another file is read."""
        if self.reference not in ("previous", "sft"):
            raise ConfigError(f"key dpo.reference must be previous or sft, not {self.reference!r}")
        somewhere, nodes = Path("checkpoint"), self.cluster.nodes
        self._check_cluster()
        if self.sft is not None:
            sft = self.sft_settings(somewhere, somewhere)
            _within("sft", lambda: command(sft, nodes))
        dpo = self.dpo_settings(somewhere, somewhere, somewhere, None)
        _within("dpo", lambda: command(dpo, nodes))
        _within("servers", self.servers.fleet)
        self.make_method()
        _within("sample", lambda: (self.sample.sampling, self.sample.spending))
        _within("stop", lambda: self.plan)

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
        raise ConfigError(_named(str(error))) from error
    config = _absolute(config)
    config.check()
    return config


def compared(config: Config) -> dict[str, Any]:
    """What must be the same when a loop goes on.

    Left out is where things are: folders and files (their contents are compared), servers, devices and nodes.
    """
    found: dict[str, Any] = msgspec.to_builtins(without_credentials(config))
    for name in ("model", "out", "servers", "cluster"):
        del found[name]
    for name in ("train", "held_out"):
        del found["environment"][name]
    for table, name in (("sft", "data"), ("method", "experts")):
        (found[table] or {}).pop(name, None)
    return found


def without_credentials(config: Config) -> Config:
    """The configuration as it may be kept on disk: no user or password in a URL among the options."""
    options = {name: _bare(value) for name, value in config.environment.options.items()}
    return msgspec.structs.replace(
        config, environment=msgspec.structs.replace(config.environment, options=options)
    )


def _bare(value: Any) -> Any:
    if not isinstance(value, str) or "://" not in value:
        return value
    parts = urlsplit(value)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _absolute(config: Config) -> Config:
    environment = msgspec.structs.replace(
        config.environment,
        train=str(Path(config.environment.train).absolute()),
        held_out=str(Path(config.environment.held_out).absolute()),
    )

    def within(table: dict[str, Any], name: str) -> dict[str, Any]:
        file = table.get(name)
        return {**table, name: str(Path(file).absolute())} if isinstance(file, str) else table

    return msgspec.structs.replace(
        config,
        model=str(Path(config.model).absolute()),
        out=str(Path(config.out).absolute()),
        environment=environment,
        sft=None if config.sft is None else within(config.sft, "data"),
        method=within(config.method, "experts"),
    )


def _settings(kind: type[S], where: str, table: dict[str, Any], seed: int, **given: Any) -> S:
    """The trainer's settings from a table; a value of the wrong kind is an error that names its key."""
    kinds = typing.get_type_hints(kind)
    known = [field.name for field in fields(kind) if field.name not in _OURS]
    values: dict[str, Any] = {}
    for name, value in table.items():
        if name not in known:
            raise ConfigError(f"key {where}.{name} is unknown; [{where}] takes {', '.join(known)}")
        try:
            values[name] = msgspec.convert(value, kinds[name], dec_hook=_path)
        except msgspec.ValidationError as error:
            raise ConfigError(f"key {where}.{name}: {_lower(str(error))}") from error
    found: list[S] = []
    # A training that saves its state goes on from there; the others begin again.
    _within(where, lambda: found.append(kind(**{"seed": seed, **values, **given, "resume": True})))
    return found[0]


def _within(table: str, make: Any) -> None:
    """Name the table in the error of whoever refuses one of its values."""
    try:
        make()
    except ConfigError as error:
        raise ConfigError(f"[{table}]: {error}") from None


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str):
        return Path(value)
    raise msgspec.ValidationError(f"Expected `{kind.__name__}`, got `{type(value).__name__}`")


_AT = re.compile(r"^(?P<what>.*?)(?: - at `(?P<place>[^`]*)`)?$", re.DOTALL)
_FIELD = re.compile(r"^Object (?P<what>contains unknown|missing required) field `(?P<name>[^`]*)`$")


def _named(said: str) -> str:
    """msgspec's message with the key as it stands in the file."""
    found = _AT.match(said)
    assert found is not None  # everything matches
    key = (found["place"] or "$").removeprefix("$").removeprefix(".").removeprefix("key in ")
    field = _FIELD.match(found["what"])
    if field is None:
        return f"key {key}: {_lower(found['what'])}" if key else _lower(found["what"])
    name = f"{key}.{field['name']}" if key else field["name"]
    return f"key {name} is {'unknown' if 'unknown' in field['what'] else 'missing'}"


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
