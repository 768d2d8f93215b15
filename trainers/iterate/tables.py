"""The tables of a loop's configuration: their keys, and what their values are by default. No file is read.

[sft], [dpo] and [method] are no tables of ours: they take the settings of what they name (`keys.py`).
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

import msgspec

from rro_sdk.errors import ConfigError
from rro_sdk.inference.address import normalise_all
from rro_sdk.inference.fleet import FleetSettings
from rro_sdk.policy import Sampling
from rro_sdk.spending import Reuse, Spending
from trainers.nodes import Nodes

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

    def __post_init__(self) -> None:
        if self.shared is not None and urlsplit(self.shared).password is not None:
            raise ConfigError(
                "shared holds a password, which would be kept in the loop's folder: leave it to the settings"
                " of that file system (a key file, a profile, the environment)"
            )

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
