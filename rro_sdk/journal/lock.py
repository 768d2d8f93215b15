"""One writer a run: a lock that the operating system takes back when its holder dies."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path
from typing import Self

from rro_sdk.errors import ConfigError, JournalError

LOCK_NAME = "journal.lock"


class RunLock:
    """Holds a run's folder for this process, from `take` to `release` or the process's end."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, run_dir: Path) -> Self:
        """Lock the folder, which must exist.

        Raises:
            ConfigError: another process has it; its pid is named.
            JournalError: the lock file cannot be made.
        """
        path = run_dir / LOCK_NAME
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except OSError as error:
            raise JournalError(f"cannot lock run folder {run_dir}: {error.strerror}") from error
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise ConfigError(
                f"run folder {run_dir} is being written by process {holder};"
                " wait for it, or stop it and resume the run"
            ) from None
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"cannot lock run folder {run_dir}: {error.strerror}") from error
        try:
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except OSError as error:
            os.close(descriptor)
            raise JournalError(f"cannot lock run folder {run_dir}: {error.strerror}") from error
        return cls(descriptor)

    def release(self) -> None:
        """Give the folder back. Safe to call twice."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
