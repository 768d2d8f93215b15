"""A run on S3: `python -m tests.cluster.s3_child FOLDER`, in a process whose path has s3fs and moto.

The server is moto's, on loopback, in this process. It prints what came of it, one word a line.
"""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from moto.server import ThreadedMotoServer

from rro_sdk.cluster.shared import SharedFolder
from tests.cluster.crew import single
from tests.cluster.test_driver import COUNT, Dying, World

URL = "s3://runs/first"


async def main(folder: Path, server: ThreadedMotoServer) -> None:
    expected = await single(folder / "single", COUNT)
    world = World(folder)
    world.shared = SharedFolder(URL, patience_s=60.0)
    await world.drive(Dying)
    assert world.export == expected, "the export is another"
    print("same")
    assert [world.shared.create("once", data) for data in (b"a", b"b")] == [True, False]
    print("exclusive")
    port = server.get_host_and_port()[1]
    server.stop()
    writing = asyncio.create_task(asyncio.to_thread(world.shared.put, "later", b"1"))
    done, _ = await asyncio.wait([writing], timeout=2.0)
    assert not done, "it did not wait"
    again = ThreadedMotoServer("127.0.0.1", port, verbose=False)
    again.start()
    await asyncio.wait_for(writing, 60)
    assert world.shared.get("later") == b"1"
    again.stop()
    print("waited")


if __name__ == "__main__":
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    os.environ.update(
        AWS_ENDPOINT_URL=f"http://{host}:{port}",
        AWS_ACCESS_KEY_ID="test",
        AWS_SECRET_ACCESS_KEY="test",
        AWS_DEFAULT_REGION="us-east-1",
    )
    import boto3

    boto3.client("s3").create_bucket(Bucket="runs")
    asyncio.run(main(Path(sys.argv[1]), server))
