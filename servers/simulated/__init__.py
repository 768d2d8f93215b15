"""Fleets of fake servers in virtual time: how a client does against 256 servers, on a machine without one.

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(main())          # asyncio.sleep(3600) inside takes no time

The servers are those of `servers.fake`, asked without sockets. What carries a client's requests to them
is the client's own affair; benchmarks/_simulated.py does it for the SDK's `Transport`.
"""

from servers.simulated.clock import VirtualLoop
from servers.simulated.fleet import SimulatedFleet, Totals
from servers.simulated.profiles import PROFILES, Profile

__all__ = ["PROFILES", "Profile", "SimulatedFleet", "Totals", "VirtualLoop"]
