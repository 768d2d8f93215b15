"""InterCode-SQL (arXiv 2306.14898): questions about 20 databases, answered in SQL."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Literal, TypeVar

import msgspec

from rro_sdk.envs.base import Environment, Episode
from rro_sdk.envs.intercode_sql import commands, demonstrations
from rro_sdk.envs.intercode_sql.backends import StatementRunner, address, open_runner
from rro_sdk.envs.intercode_sql.catalog import Database
from rro_sdk.envs.intercode_sql.library import Library
from rro_sdk.envs.intercode_sql.metadata import Failure, Rows
from rro_sdk.envs.intercode_sql.mysql_errors import INTERRUPTED, PREFIX
from rro_sdk.envs.intercode_sql.own_databases import library_of
from rro_sdk.envs.intercode_sql.protocol import PRESETS, Preset
from rro_sdk.envs.intercode_sql.reward import clip, score
from rro_sdk.envs.intercode_sql.runner import DEFAULT_LIMITS, Runner
from rro_sdk.envs.intercode_sql.sandbox import Limits
from rro_sdk.errors import ConfigError, DataError, EnvironmentFault
from rro_sdk.fingerprint import digest_of
from rro_sdk.types import Observation, Task

T = TypeVar("T")
ANSWER_CACHE_CHARACTERS = 16_000_000
"""Printed results kept, so that a statement that rollouts repeat is run once."""

QUICK = Limits(seconds=0.02, steps=50_000, rows=300, result_bytes=30_000)
"""What is tried on the event loop: nearly all statements take less than handing them to a thread does.
The others are begun again in a thread, under their own limits."""


TURN_S = 0.002
"""Others get a turn so often while statements are run on the event loop: a turn costs a tenth of one."""


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """How the environment behaves.

    Attributes:
        preset: "react" is the protocol of the literature: observations cut at 350 characters, a help text
            after a command that is no SQL, and an episode that is cut off at `max_steps` scores 0. "plain"
            is InterCode's own: whole observations, the server answers whatever is written, and a cut-off
            episode scores its last result.
        show_schema: the opening lists the tables and columns of the task's database.
        demonstrations: worked examples before the task, 0 to 4.
        max_steps: turns of an episode.
        statement_timeout_s: wall time of one statement.
        max_rows: rows of one result; a larger one is an error that the agent sees.
        max_result_bytes: characters of one printed result; the same.
        backend: "sqlite" in this process, or "mariadb", a server.
        databases: a folder of your own databases, each NAME.sqlite there, in place of InterCode's; for the
            backend "sqlite".
        url: of the MariaDB server, mysql://user:password@host:port; by default the one that `rro env up
            mariadb` started.
        threads: statements that run at once. More than two gain little, since reading a statement is Python.
    """

    preset: Preset = "react"
    show_schema: bool = False
    demonstrations: int = 0
    max_steps: int = 10
    statement_timeout_s: float = DEFAULT_LIMITS.seconds
    max_rows: int = DEFAULT_LIMITS.rows
    max_result_bytes: int = DEFAULT_LIMITS.result_bytes
    backend: Literal["sqlite", "mariadb"] = "sqlite"
    databases: str | None = None
    url: str | None = None
    threads: int = 2

    def __post_init__(self) -> None:
        if self.preset not in PRESETS:
            raise ConfigError(f"preset must be 'plain' or 'react', not {self.preset!r}")
        if self.backend not in ("sqlite", "mariadb"):
            raise ConfigError(f"backend must be 'sqlite' or 'mariadb', not {self.backend!r}")
        if self.databases is not None and self.backend != "sqlite":
            raise ConfigError("databases are SQLite files: they go with the backend 'sqlite'")
        if not 0 <= self.demonstrations <= len(demonstrations.EXAMPLES):
            raise ConfigError(
                f"demonstrations must be 0 to {len(demonstrations.EXAMPLES)}, not {self.demonstrations}"
            )
        if self.statement_timeout_s <= 0:
            raise ConfigError(f"statement_timeout_s must be above 0, not {self.statement_timeout_s}")
        for name in ("max_steps", "max_rows", "max_result_bytes", "threads"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} must be at least 1, not {getattr(self, name)}")


class Answer(msgspec.Struct, frozen=True):
    """What a statement gave: the observation, and the rows that submitting it would be scored by.

    `rows` is None where there are none: an error, `USE`, no statement yet. `size` is that of all of it
    printed.
    """

    text: str
    rows: tuple[tuple[object, ...], ...] | None = None
    size: int = 0


NO_ANSWER = Answer("")
"""The state of an episode before its first statement."""


class InterCodeSQL(Environment):
    """InterCode-SQL. The first use builds the databases (about a second); see `library`.

    A statement that was run before on the same database is answered from memory, and one that takes a few
    milliseconds is run where it is asked; the others run in a small pool of threads, since one can take as
    long as its limits allow.

    Args:
        settings: how it behaves; keyword arguments of `Settings` may be given in its place.
        library: the databases; InterCode's by default.
        cache: where those are kept; `cache_folder()` by default.

    Raises:
        ConfigError: a wrong setting, or the databases cannot be had.
        DataError: the dump is not InterCode's.
    """

    name = "intercode-sql"

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        library: Library | None = None,
        cache: Path | None = None,
        **fields: object,
    ) -> None:
        if settings is not None and fields:
            raise ConfigError("give InterCodeSQL either a Settings object or its fields, not both")
        try:
            self.settings = settings or msgspec.convert(fields, Settings)
        except msgspec.ValidationError as error:
            raise ConfigError(f"InterCodeSQL: {error}") from error
        unknown = fields.keys() - set(Settings.__struct_fields__)
        if unknown:
            known = ", ".join(Settings.__struct_fields__)
            raise ConfigError(f"InterCodeSQL has no setting {', '.join(sorted(unknown))}; it has {known}")
        self.protocol = PRESETS[self.settings.preset]
        if library is not None and self.settings.databases is not None:
            raise ConfigError("give InterCodeSQL either a library or databases, not both")
        self.library = library or library_of(self.settings.databases, cache)
        self.max_steps = self.settings.max_steps
        self.instructions = _instructions(self.settings.show_schema)
        self.demonstrations = demonstrations.messages(
            self.settings.demonstrations, show_schema=self.settings.show_schema
        )
        catalog = self.library.catalog
        # Where the databases lie or are served, and by how many threads, changes no outcome.
        here = msgspec.structs.replace(self.settings, databases=None, url=None, threads=Settings().threads)
        self.data_digest = digest_of(here, catalog.source_sha256, catalog.converter)
        self._limits = Limits(
            seconds=self.settings.statement_timeout_s,
            steps=DEFAULT_LIMITS.steps,
            rows=self.settings.max_rows,
            result_bytes=self.settings.max_result_bytes,
        )
        if self.settings.backend == "mariadb":
            address(self.settings.url)  # said here rather than by the first episode
        self._pool = ThreadPoolExecutor(self.settings.threads, thread_name_prefix="intercode-sql")
        self._local = threading.local()
        self._runners: list[StatementRunner] = []
        self._golds: dict[tuple[str, str], tuple[tuple[object, ...], ...]] = {}
        quick = Limits(
            seconds=min(QUICK.seconds, self._limits.seconds),
            steps=min(QUICK.steps, self._limits.steps),
            rows=min(QUICK.rows, self._limits.rows),
            result_bytes=min(QUICK.result_bytes, self._limits.result_bytes),
        )
        self._quick = Runner(self.library, quick) if self.settings.backend == "sqlite" else None
        self._answers = _AnswerCache(ANSWER_CACHE_CHARACTERS)
        self._running: set[threading.Event] = set()
        self._closed = False
        self._turn_given = 0.0

    async def start(self, task: Task) -> SQLEpisode:
        """Begin a task. Its `data` holds `db` and `gold`.

        Raises:
            DataError: one of these is missing, the database is unknown, or the gold statement fails.
            EnvironmentFault: a database file cannot be read, or the environment is closed.
        """
        names = [task.data.get("db"), task.data.get("gold")]
        if not all(isinstance(value, str) and value for value in names):
            raise DataError(f"task {task.id!r} needs `db` and `gold` in its data")
        database = self.library.catalog.database(str(task.data["db"]))
        if database is None:
            raise DataError(f"task {task.id!r}: there is no database {task.data['db']!r}")
        if self._closed:
            raise EnvironmentFault("the InterCodeSQL environment is closed")
        if (database.name, task.data["gold"]) not in self._golds:
            await self._learn_gold(task, database)
        return SQLEpisode(self, task, database)

    def sample_commands(self, task: Task) -> tuple[str, ...]:
        return ("SHOW TABLES", "SELECT no_such_column", str(task.data.get("gold", "SELECT 1")), "submit")

    async def close(self) -> None:
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        for cancelled in self._running:
            cancelled.set()
        # A running statement looks at its event about every 0.2 ms: this ends soon, off the event loop.
        await asyncio.to_thread(self._pool.shutdown, wait=True)
        while self._runners:
            self._runners.pop().close()
        if self._quick is not None:
            self._quick.close()

    async def answer(self, database: Database, statement: str) -> Answer:
        """Run one statement of an episode, or remember what it gave."""
        if self._closed:
            raise EnvironmentFault("the InterCodeSQL environment is closed")
        key = (database.name, statement)
        known = self._answers.get(key)
        if known is None:
            result = await self._run(*key)
            text = printed(result)
            rows = result.rows if isinstance(result, Rows) else None
            known = Answer(self.protocol.shown(text), rows, len(text))
            self._answers.put(key, known)
        return known

    def reward(self, task: Task, database: Database, answer: Answer) -> float:
        """What submitting that answer brings, in [-1, 1]."""
        return score(answer.rows, self._golds[database.name, str(task.data["gold"])])

    async def _in_pool(self, work: Callable[[threading.Event], T]) -> T:
        """Run blocking work in the pool; when the caller is cancelled, its statement is ended too."""
        cancelled = threading.Event()
        try:
            if self._closed:
                raise EnvironmentFault("the InterCodeSQL environment is closed")
            self._running.add(cancelled)
            result = await asyncio.get_running_loop().run_in_executor(self._pool, work, cancelled)
        finally:
            cancelled.set()
            self._running.discard(cancelled)
        if self._closed:
            raise EnvironmentFault("the InterCodeSQL environment was closed while a statement ran")
        return result

    async def _run(self, name: str, statement: str) -> Rows | Failure:
        """Run a statement where it is asked, or in the pool where it takes long."""
        if self._quick is not None:
            result = self._quick.run(name, statement)
            now = time.monotonic()
            if now - self._turn_given > TURN_S:
                self._turn_given = now
                await asyncio.sleep(0)
            if not _interrupted(result):
                return result
        return await self._in_pool(lambda cancelled: self._runner().run(name, statement, cancelled))

    async def _learn_gold(self, task: Task, database: Database) -> None:
        gold = str(task.data["gold"])
        result = await self._run(database.name, gold)
        if not isinstance(result, Rows):
            raise DataError(f"task {task.id!r}: its gold statement fails: {result.message}")
        self._golds[database.name, gold] = result.rows or ()

    def _runner(self) -> StatementRunner:
        """This thread's runner: connections are not shared between threads."""
        runner: StatementRunner | None = getattr(self._local, "runner", None)
        if runner is None:
            runner = open_runner(self.settings.backend, self.library, self._limits, url=self.settings.url)
            self._local.runner = runner
            self._runners.append(runner)
        return runner


class SQLEpisode(Episode):
    """One run through one question. Its state is the last answer and whether it has ended."""

    def __init__(self, env: InterCodeSQL, task: Task, database: Database, last: Answer = NO_ANSWER) -> None:
        self._env = env
        self._task = task
        self._database = database
        self._last = last
        self._ended = False

    @property
    def opening(self) -> str:
        schema = self._database.schema_text() if self._env.settings.show_schema else None
        return demonstrations.opening(self._task.instruction, schema)

    async def step(self, command: str) -> Observation:
        if self._ended:
            raise EnvironmentFault(f"the episode of task {self._task.id!r} has ended")
        asked = commands.read(command)
        if isinstance(asked, commands.Statement):
            if (help_text := self._env.protocol.refuses(asked.text)) is not None:
                return Observation(help_text)
            self._last = await self._env.answer(self._database, asked.text)
            return Observation(self._last.text)
        self._ended = True
        raw = self._reward() if isinstance(asked, commands.Submit) else 0.0
        text = "Submitted." if isinstance(asked, commands.Submit) else "Skipped."
        return Observation(text, done=True, outcome=clip(raw), raw=raw)

    def limit_outcome(self) -> float:
        return clip(self._reward()) if self._env.protocol.limit_scores else 0.0

    async def fork(self) -> SQLEpisode:
        twin = SQLEpisode(self._env, self._task, self._database, self._last)
        twin._ended = self._ended
        return twin

    def _reward(self) -> float:
        return self._env.reward(self._task, self._database, self._last)


def printed(result: Rows | Failure) -> str:
    """A result as the original prints it: a list of tuples, None without rows, or the server's error."""
    if isinstance(result, Rows):
        return str(None if result.rows is None else list(result.rows))
    return PREFIX + result.message


def _interrupted(result: Rows | Failure) -> bool:
    return isinstance(result, Failure) and result.message.startswith(INTERRUPTED)


class _AnswerCache:
    """Answers by key, the least recently used thrown out when their text exceeds `limit` characters."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._held: OrderedDict[tuple[str, str], Answer] = OrderedDict()

    def get(self, key: tuple[str, str]) -> Answer | None:
        answer = self._held.get(key)
        if answer is not None:
            self._held.move_to_end(key)
        return answer

    def put(self, key: tuple[str, str], answer: Answer) -> None:
        if key in self._held:
            return
        self._held[key] = answer
        self._size += _weight(key, answer)
        while self._size > self._limit:
            old, dropped = self._held.popitem(last=False)
            self._size -= _weight(old, dropped)


def _weight(key: tuple[str, str], answer: Answer) -> int:
    """Characters of an entry, with a round sum for its objects."""
    return len(key[1]) + len(answer.text) + answer.size + 200


def _instructions(show_schema: bool) -> str:
    looks = "SELECT ..." if show_schema else "SHOW TABLES, DESC table or SELECT ..."
    return (
        "You answer questions about a MySQL database. In each turn you give one command:\n"
        f"- one SQL statement ({looks}): you are shown its result\n"
        "- submit: the rows of your last result are your answer, and the task ends\n"
        "- skip: you give up\n"
        "Submit when the last result holds exactly the rows and columns that the question asks for."
    )
