"""What a node says before it samples, and what its driver makes of Ray's errors. No cluster is started."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pytest

from rro_sdk.cluster.crew import SamplerLost
from rro_sdk.cluster.driver import Driver
from rro_sdk.cluster.ray_crew import RayCrew, _Actor, _Failed
from rro_sdk.cluster.shared import SharedFolder
from rro_sdk.cluster.worker import Hello, Work, versions
from rro_sdk.errors import ConfigError
from tests.cluster.crew import METHOD, make_policy, work
from tests.toys import ToyEnv

pytestmark = pytest.mark.skipif(find_spec("ray") is None, reason="needs the [ray] extra")


def pickled(folder: Path, made: Work) -> bytes:
    import ray

    shared = SharedFolder(str(folder))
    generation, _ = Driver.enlist(shared)
    found: bytes = ray.cloudpickle.dumps((made, shared, Driver.name(generation)))
    return found


async def error_of(actor: _Actor) -> str:
    said = await actor.hello()
    assert isinstance(said, _Failed) and isinstance(said.error, ConfigError)
    return str(said.error)


async def test_a_node_with_other_versions_is_named_before_it_reads_what_it_might_not_know() -> None:
    error = await error_of(_Actor(b"of another version", {**versions(), "msgspec": "0.0.1"}))
    assert "has msgspec " in error and "the driver 0.0.1; install the same on every node" in error


async def test_a_node_that_lacks_what_is_sampled_is_named(tmp_path: Path) -> None:
    made = pickled(tmp_path, work()).replace(b"tests.toys", b"tests.none")
    error = await error_of(_Actor(made, versions()))
    assert "on node " in error and "No module named 'tests.none'" in error


async def test_what_a_node_refuses_has_the_nodes_name(tmp_path: Path) -> None:
    def broken() -> ToyEnv:
        raise ConfigError("there is no data here")

    made = Work(make_env=broken, method=METHOD, make_policy=make_policy)
    error = await error_of(_Actor(pickled(tmp_path, made), versions()))
    assert error.startswith("on node ") and error.endswith(": there is no data here")


async def test_a_node_that_is_as_it_should_be_says_hello(tmp_path: Path) -> None:
    actor = _Actor(pickled(tmp_path, work()), versions())
    said = await actor.hello()
    assert isinstance(said, Hello) and said.token is not None
    await actor.stop()


async def test_a_sampler_whose_memory_or_node_ends_is_lost_and_not_the_run(tmp_path: Path) -> None:
    from ray.exceptions import ActorDiedError, NodeDiedError, OutOfMemoryError, RayTaskError

    def raising(error: Exception) -> SimpleNamespace:
        async def remote() -> None:
            raise error

        return SimpleNamespace(hello=SimpleNamespace(remote=remote))

    crew = RayCrew(work(), SharedFolder(str(tmp_path)))
    crew._actors = [raising(kind("it is gone")) for kind in (OutOfMemoryError, NodeDiedError)]
    crew._actors.append(raising(ActorDiedError()))
    for member in range(3):
        with pytest.raises(SamplerLost):
            await crew.hello(member)
    crew._actors = [raising(RayTaskError("hello", "in the user's environment", ValueError("7")))]
    with pytest.raises(RayTaskError):
        await crew.hello(0)
