"""`python -m tests.live.picture docs/img/live.svg`: the live view of a real run, on three fake servers.

The run explores three hundred trees (`rro_sdk.testing`); one of the servers goes down on the way. The picture
is taken when a third of the tasks is explored.
"""

from __future__ import annotations

import asyncio
import io
import re
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
from rich.console import CONSOLE_SVG_FORMAT, Console
from rich.text import Text

from rro_sdk.live.reader import RunReader
from rro_sdk.live.render import page
from rro_sdk.live.status import TELL_S
from rro_sdk.live.view import View
from rro_sdk.methods import RisingReward
from rro_sdk.sampler import Sampler
from rro_sdk.testing import TreeEnv, TreeSettings, tree_tasks
from rro_sdk.testing.tree import tree_reply
from servers.fake import FakeServer, FakeSettings, Fault, Latency

TREES = TreeSettings(depth=5, branching=4, task_spread=0.2)
LATENCY = Latency(per_token_s=0.02, per_running_s=0.0004, per_prompt_token_s=0.00005)
FONT = re.compile(r"@font-face \{\{.*?\}\}", re.DOTALL)
COLUMNS = 80


async def take(tasks: int, share: float) -> View:
    """The view of a run when such a share of its tasks is explored."""
    settings = FakeSettings(
        reply=tree_reply(TREES), latency=LATENCY, max_running_requests=24, weight_version="3f2a91c07d55"
    )
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(FakeServer(settings)) for _ in range(3)]
        run = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "run"
        sampler = await stack.enter_async_context(
            Sampler(
                TreeEnv(TREES),
                servers=[server.url for server in servers],
                method=RisingReward(),
                run_dir=run,
            )
        )
        async for _ in sampler.events(tree_tasks(tasks)):
            if sampler.stats.tasks_finished >= share * tasks:
                break
            if sampler.stats.tasks_finished == round(0.8 * share * tasks):
                servers[2].befall(Fault("dead", seconds=600))
        with RunReader(run, budget_s=1.0) as reader:
            view = reader.look()
            while view.phase != "sampling" or view.read < 1.0 or view.tasks.finished < share * tasks:
                await asyncio.sleep(TELL_S)
                view = reader.look()
            return reader.look_at_all()


def picture(view: View) -> str:
    """The view as an SVG that asks for nothing from elsewhere."""
    console = Console(file=io.StringIO(), record=True, width=COLUMNS, force_terminal=True)
    console.print(Text("\n").join(page(view, COLUMNS)), highlight=False)
    return console.export_svg(title="rro sample", code_format=FONT.sub("", CONSOLE_SVG_FORMAT))


def main() -> None:
    view = msgspec.structs.replace(asyncio.run(take(tasks=300, share=1 / 3)), run="runs/first")
    Path(sys.argv[1]).write_text(picture(view), encoding="utf-8")


if __name__ == "__main__":
    main()
