"""Which samplers are there: all alike, all at the shared folder; those that are lost are made anew."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

from rro_sdk.cluster.crew import Crew, SamplerLost
from rro_sdk.cluster.worker import Hello
from rro_sdk.errors import ConfigError, RROError
from rro_sdk.fingerprint import difference
from rro_sdk.journal import RunHeader

MOST_STARTS = 3
"""A sampler that dies so often before it does anything would do so again."""

NO_SAMPLER_S = 600.0
"""How long a run waits for its samplers when it begins, and goes on without any while nodes come back."""

STARTED_S = 0.5
"""Before a sampler that died while it started is made anew."""

AGAIN_S = 5.0
"""Before a sampler is made anew on a node that did not see the shared folder: it may be mounted soon."""

STOP_S = 60.0
"""How long samplers have to stop; those that do not are killed, which costs nothing but what is in flight."""


class Roster:
    """The samplers of a crew, by whether they can work.

    Args:
        crew: the samplers.
        shared: URL of the folder that all must see, for messages.
    """

    def __init__(self, crew: Crew, shared: str) -> None:
        self._crew, self._shared = crew, shared
        self._ready = [False] * crew.size
        self._token = ""
        self._first: Hello | None = None

    def ready(self, member: int) -> bool:
        """Whether it can be given work."""
        return self._ready[member]

    async def muster(self, token: str) -> RunHeader:
        """Wait for every sampler, and see that all can do the same work.

        Args:
            token: what they must have read in the shared folder.

        Returns:
            What a run of these samplers is made with.

        Raises:
            ConfigError: some did not come up, do not see the folder, or differ.
        """
        self._token = token
        try:
            async with asyncio.timeout(NO_SAMPLER_S):
                hellos = await asyncio.gather(*map(self._first_hello, range(self._crew.size)))
        except TimeoutError:
            absent = self._ready.count(False)
            raise ConfigError(
                f"{absent} of {self._crew.size} samplers did not come up within {NO_SAMPLER_S:g} s: others"
                " hold the cluster's CPUs, or nodes hang; ask for fewer samplers, or free some"
            ) from None
        self._first = hellos[0]
        self._refuse(hellos, ("data", "model", "environment"))
        return self._first.header

    async def renew(self, member: int) -> None:
        """Make a sampler anew and wait for it, as long as it takes while there are others.

        Raises:
            ConfigError: it differs from the others, or there are none and it does not come up.
        """
        await self._crew.replace(member)
        until = time.monotonic() + NO_SAMPLER_S
        why = ""
        while not self._ready[member]:
            try:
                async with asyncio.timeout(NO_SAMPLER_S):
                    hello = await self._crew.hello(member)
            except SamplerLost as lost:
                why = str(lost) or why
                await asyncio.sleep(STARTED_S)
                await self._crew.replace(member)
            except TimeoutError:
                pass  # its node has not come back
            else:
                if hello.token == self._token:
                    self._refuse([hello], ("data", "environment"))  # weights may have been reloaded since
                    self._ready[member] = True
                    return
                why = self._blind(hello)
                await asyncio.sleep(AGAIN_S)
                await self._crew.replace(member)
            if any(self._ready):
                until = time.monotonic() + NO_SAMPLER_S
            elif time.monotonic() > until:
                raise ConfigError(
                    f"no sampler came up within {NO_SAMPLER_S:g} s{f' ({why})' if why else ''};"
                    " see what became of the cluster"
                )

    def miss(self, member: int) -> bool:
        """Note that a sampler is gone.

        Returns:
            Whether that is news: its keeper and each of its blocks are told of it.
        """
        there, self._ready[member] = self._ready[member], False
        return there

    async def stand_down(self) -> None:
        """Stop every sampler; what does not stop in time is killed when its crew closes."""

        async def stop(member: int) -> None:
            if not self._ready[member]:
                return  # it is gone, or has no place yet, and would not answer
            try:
                async with asyncio.timeout(STOP_S):
                    await self._crew.stop(member)
            except (SamplerLost, TimeoutError, RROError):
                pass

        await asyncio.gather(*(stop(member) for member in range(self._crew.size)))

    async def _first_hello(self, member: int) -> Hello:
        why = ""
        for _ in range(MOST_STARTS):
            try:
                hello = await self._crew.hello(member)
            except SamplerLost as lost:
                why = str(lost) or why
                await self._crew.replace(member)
            else:
                self._ready[member] = True
                return hello
        raise ConfigError(
            f"a sampler died {MOST_STARTS} times while it started{f' ({why})' if why else ''};"
            " see the cluster's logs"
        )

    def _refuse(self, hellos: list[Hello], names: Sequence[str]) -> None:
        """Raise where a sampler sees no shared folder, or is not like the run's first one in these."""
        first = self._first
        assert first is not None
        for hello in hellos:
            if hello.token != self._token:
                raise ConfigError(self._blind(hello))
            for name in names:
                one, other = getattr(first.header, name), getattr(hello.header, name)
                if (found := difference(one, other, name)) is not None:
                    raise ConfigError(
                        f"nodes {first.node} and {hello.node} differ: {found}; give all of them the same"
                    )

    def _blind(self, hello: Hello) -> str:
        return (
            f"node {hello.node} does not see the shared folder {self._shared}, or may not write there"
            f"{f' ({hello.trouble})' if hello.trouble else ''}: mount it at the same path on every node"
        )
