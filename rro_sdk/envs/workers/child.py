"""The program of a worker process: builds a world and plays its games, one call after the other.

The world runs in a second thread, so that this one sees at once when the application is gone, and ends
the process with all that it has started.
"""

from __future__ import annotations

import os
import signal
from concurrent.futures import Future, ThreadPoolExecutor
from importlib import import_module
from typing import Any, BinaryIO, TypeVar

import msgspec

from rro_sdk.envs.workers.wire import HEADER, Begin, Reply, Request, packed
from rro_sdk.errors import DataError, EnvironmentFault
from rro_sdk.types import Observation

T = TypeVar("T")


class _Games:
    """The world and its games by session."""

    def __init__(self, begin: Begin) -> None:
        module, _, attribute = begin.target.partition(":")
        self._world: Any = getattr(import_module(module), attribute)(**begin.settings)
        self._games: dict[int, Any] = {}

    def answer(self, request: Request) -> Reply:
        if request.operation == "close":
            game = self._games.pop(request.session, None)
            if game is not None:
                game.close()
            return Reply()
        if request.operation == "open":
            game = self._games[request.session] = self._world.start(request.task)
            return Reply(opening=_plain(game.opening), limit_outcome=game.limit_outcome())
        game = self._games[request.session]
        seen: Observation = game.step(request.command.decode("utf-8", "surrogatepass"))
        seen = msgspec.structs.replace(seen, text=_plain(seen.text))
        return Reply(observation=seen, limit_outcome=0.0 if seen.done else game.limit_outcome())


def main() -> None:
    requests = os.fdopen(os.dup(0), "rb")
    replies = os.fdopen(os.dup(1), "wb")
    # What a world prints must not get between the replies.
    os.dup2(2, 1)
    threads = ThreadPoolExecutor(1)
    begin = _read(requests, Begin)
    games: _Games | None = None
    if begin is not None:
        made = threads.submit(_Games, begin)
        failure = _failure(made)
        if failure is None:
            games = made.result()
        _send(replies, failure or Reply())
    while games is not None and (request := _read(requests, Request)) is not None:
        answered = threads.submit(games.answer, request)
        answered.add_done_callback(lambda done: _send(replies, _failure(done) or done.result()))
    os.killpg(0, signal.SIGKILL)


def _failure(done: Future[Any]) -> Reply | None:
    """What a call raised, once it is done; the text of a stranger's exception may hold an agent's words."""
    error = done.exception()
    if error is None:
        return None
    if isinstance(error, DataError | EnvironmentFault):
        return Reply(error=str(error), data=isinstance(error, DataError))
    return Reply(error=f"the world raised {type(error).__name__}")


def _read(stream: BinaryIO, kind: type[T]) -> T | None:
    """The next message; None when the application is gone."""
    header = stream.read(HEADER)
    if len(header) < HEADER:
        return None
    return msgspec.msgpack.decode(stream.read(int.from_bytes(header, "big")), type=kind)


def _send(stream: BinaryIO, reply: Reply) -> None:
    stream.write(packed(reply))
    stream.flush()


def _plain(text: str) -> str:
    return text.encode("utf-8", "replace").decode("utf-8")


if __name__ == "__main__":
    main()
