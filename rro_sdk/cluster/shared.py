"""The folder that every node of a cluster sees: whole files, exclusive files, and logs that grow by commits.

A path of this machine (a network file system is mounted as one) is written with the system's own calls, for
nothing else promises that a commit has reached the disk: a log is one file, each append is synced before it
returns. Any other fsspec URL is taken for an object store: a log is a numbered object a commit.

Storage that fails is waited for. What was written before is whole; what was being written is written again.
An empty folder where a file system should be mounted is storage that fails too (`anchor`).
"""

from __future__ import annotations

import errno
import hashlib
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol, TypeVar

from rro_sdk.atomic import sync_folder
from rro_sdk.cluster.frames import frame, payloads
from rro_sdk.errors import ConfigError, JournalError

T = TypeVar("T")

PATIENCE_S = 600.0
"""How long storage that fails is waited for: a restart of its server takes minutes."""

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.05, 2.0
PIECE = 1 << 20

_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)


class Backend(Protocol):
    """What a kind of storage can do. Every call may raise one of `troubles()`.

    Attributes:
        anchor: a file that is there as long as the storage is; None while there is none.
    """

    anchor: str | None

    def put(self, name: str, data: bytes) -> None: ...
    def put_file(self, name: str, path: Path) -> None: ...
    def create(self, name: str, data: bytes) -> bool: ...
    def get(self, name: str) -> bytes | None: ...
    def get_file(self, name: str, path: Path) -> bool: ...
    def names(self, folder: str) -> list[str]: ...
    def remove(self, name: str) -> None: ...
    def append(self, name: str, number: int, at: int, data: bytes) -> None: ...
    def log(self, name: str) -> Iterator[bytes]: ...


class SharedFolder:
    """A shared folder, by URL. Its calls block; call them in a thread. Pickles as its URL.

    Args:
        url: a path, or any URL that fsspec knows (`s3://bucket/run`).
        patience_s: how long storage that fails is waited for.

    Raises:
        ConfigError: no such kind of storage, or its package is not installed.
    """

    def __init__(self, url: str, *, patience_s: float = PATIENCE_S) -> None:
        self.url = url
        self.patience_s = patience_s
        self._backend = _backend(url)
        self._given_up = threading.Event()

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.url, self.patience_s)

    def give_up(self) -> None:
        """Wait no more: whoever waits for storage now gets a `JournalError`."""
        self._given_up.set()

    def anchor(self, name: str) -> None:
        """Name a file that exists, and will: where it is missing, the storage is."""
        self._backend.anchor = name

    def try_out(self, name: str) -> str | None:
        """Write a file, at once: why that cannot be done, or None where it was."""
        try:
            self._backend.put(name, b"1")
        except troubles() as error:
            return _reason(error)
        return None

    def read_now(self, name: str) -> tuple[bytes | None, str]:
        """A file's content, without waiting for storage; and why it cannot be read, "" where it can."""
        try:
            return self._backend.get(name), ""
        except troubles() as error:
            return None, _reason(error)

    def put(self, name: str, data: bytes) -> None:
        """Write a file: durable, and whole or not there."""
        self._patiently(lambda: self._backend.put(name, data))

    def put_file(self, name: str, path: Path) -> None:
        """Copy a local file: durable, and whole or not there."""
        self._patiently(lambda: self._backend.put_file(name, path))

    def create(self, name: str, data: bytes) -> bool:
        """Write a file unless there is one; False if there is."""
        return self._patiently(lambda: self._backend.create(name, data))

    def get(self, name: str) -> bytes | None:
        """A file's content; None where there is none."""
        return self._patiently(lambda: self._backend.get(name))

    def get_file(self, name: str, path: Path) -> bool:
        """Copy a file to a local path; False where there is none."""
        return self._patiently(lambda: self._backend.get_file(name, path))

    def names(self, folder: str) -> list[str]:
        """Names of what is in a folder, sorted."""
        return self._patiently(lambda: sorted(self._backend.names(folder)))

    def remove(self, *names: str) -> None:
        """Remove what is not needed any more; what cannot be removed stays."""
        for name in names:
            with suppress(*troubles()):
                self._backend.remove(name)

    def log(self, name: str) -> list[bytes]:
        """The payloads of a log, up to the first that is torn or missing; none where there is no log."""
        return self._patiently(lambda: list(self._backend.log(name)))

    def writer(self, name: str) -> LogWriter:
        """The one writer of a new log."""
        return LogWriter(self, name)

    def append(self, name: str, number: int, at: int, data: bytes) -> None:
        self._patiently(lambda: self._backend.append(name, number, at, data))

    def _patiently(self, call: Callable[[], T]) -> T:
        until, pause = time.monotonic() + self.patience_s, FIRST_PAUSE_S
        while True:
            try:
                return call()
            except troubles() as error:
                why = _reason(error)
            if self._given_up.wait(pause) or time.monotonic() > until:
                raise JournalError(
                    f"the shared folder {self.url} does not work ({why}); mend it and resume the run"
                ) from None
            pause = min(2 * pause, LONGEST_PAUSE_S)


class LogWriter:
    """Appends to one log, durable when `append` returns."""

    def __init__(self, shared: SharedFolder, name: str) -> None:
        self._shared, self._name = shared, name
        self._number, self._at = 0, 0

    def append(self, payload: bytes) -> None:
        """Raises `JournalError` where storage does not come back in time."""
        data = frame(payload)
        self._shared.append(self._name, self._number, self._at, data)
        self._number += 1
        self._at += len(data)


class _Files:
    """Storage that is a path here."""

    def __init__(self, root: Path) -> None:
        self.anchor: str | None = None
        self._root = root

    def put(self, name: str, data: bytes) -> None:
        self._whole(name, lambda file: file.write(data))

    def put_file(self, name: str, path: Path) -> None:
        def copy(file: Any) -> None:
            with path.open("rb") as source:
                while piece := source.read(PIECE):
                    file.write(piece)

        self._whole(name, copy)

    def create(self, name: str, data: bytes) -> bool:
        temporary = self._temporary(name)
        try:
            self._write(temporary, lambda file: file.write(data))
            try:
                os.link(temporary, self._root / name)  # unlike a rename, refuses what is there
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno in _NO_LINKS:
                    raise ConfigError(
                        f"the shared folder {self._root} is on a file system without hard links"
                        f" ({error.strerror}); take another, such as NFS, Lustre or an object store"
                    ) from error
                raise
            sync_folder(temporary.parent)
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def get(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            self._refuse_absence()
            return None

    def get_file(self, name: str, path: Path) -> bool:
        try:
            with (self._root / name).open("rb") as source, path.open("wb") as target:
                while piece := source.read(PIECE):
                    target.write(piece)
        except FileNotFoundError:
            self._refuse_absence()
            return False
        return True

    def names(self, folder: str) -> list[str]:
        try:
            return [path.name for path in (self._root / folder).iterdir() if not path.name.startswith(".")]
        except FileNotFoundError:
            self._refuse_absence()
            return []

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def append(self, name: str, number: int, at: int, data: bytes) -> None:
        path = self._root / name
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            written = 0
            while written < len(data):  # at its place: an append that failed half-way is written over
                written += os.pwrite(handle, data[written:], at + written)
            os.fsync(handle)
        finally:
            os.close(handle)
        if number == 0:
            sync_folder(path.parent)

    def log(self, name: str) -> Iterator[bytes]:
        yield from payloads(self.get(name) or b"")

    def _whole(self, name: str, fill: Callable[[Any], object]) -> None:
        temporary = self._temporary(name)
        try:
            self._write(temporary, fill)
            temporary.replace(self._root / name)
            sync_folder(temporary.parent)
        finally:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)

    def _temporary(self, name: str) -> Path:
        path = self._root / name
        self._refuse_absence()
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.with_name(f".{path.name}.{os.uname().nodename}.{os.getpid()}.{threading.get_ident()}")

    def _refuse_absence(self) -> None:
        if self.anchor is not None and not (self._root / self.anchor).exists():
            raise FileNotFoundError(errno.ENOENT, "it is not mounted")

    def _write(self, path: Path, fill: Callable[[Any], object]) -> None:
        with path.open("wb") as file:
            fill(file)
            file.flush()
            os.fsync(file.fileno())


class _Objects:
    """Storage that fsspec knows: an object is there whole when its put returns."""

    def __init__(self, filesystem: Any, root: str) -> None:
        self.anchor: str | None = None
        self._fs, self._root = filesystem, root.rstrip("/")

    def put(self, name: str, data: bytes) -> None:
        self._fs.pipe_file(self._path(name), data)

    def put_file(self, name: str, path: Path) -> None:
        self._fs.put_file(str(path), self._path(name))

    def create(self, name: str, data: bytes) -> bool:
        try:
            self._fs.pipe_file(self._path(name), data, mode="create")
        except FileExistsError:
            return False
        return True

    def get(self, name: str) -> bytes | None:
        try:
            content: bytes = self._fs.cat_file(self._path(name))
        except FileNotFoundError:
            return None
        return content

    def get_file(self, name: str, path: Path) -> bool:
        try:
            self._fs.get_file(self._path(name), str(path))
        except FileNotFoundError:
            return False
        return True

    def names(self, folder: str) -> list[str]:
        self._fs.invalidate_cache()
        path = self._path(folder).rstrip("/")
        try:
            found = self._fs.ls(path, detail=False)
        except FileNotFoundError:
            return []
        names = {each.rstrip("/").rpartition("/")[2] for each in found if each.rstrip("/") != path}
        return [name for name in names if name]

    def remove(self, name: str) -> None:
        with suppress(FileNotFoundError):
            self._fs.rm(self._path(name), recursive=name.endswith(".log"))

    def append(self, name: str, number: int, at: int, data: bytes) -> None:
        self._fs.pipe_file(self._path(f"{name}/{number:08d}"), data)

    def log(self, name: str) -> Iterator[bytes]:
        for number, found in enumerate(sorted(self.names(name))):
            data = self.get(f"{name}/{found}")
            whole = list(payloads(data or b""))
            if found != f"{number:08d}" or len(whole) != 1:
                return
            yield whole[0]

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"


def troubles() -> tuple[type[Exception], ...]:
    """What storage raises when it fails, of the packages that are loaded; fsspec has no class of its own."""
    found: list[type[Exception]] = [OSError]
    for module, name in (("botocore.exceptions", "BotoCoreError"), ("aiohttp", "ClientError")):
        if module in sys.modules:
            found.append(getattr(sys.modules[module], name))
    return tuple(found)


def _reason(error: Exception) -> str:
    """In few words: what storage says itself may hold keys."""
    return getattr(error, "strerror", None) or type(error).__name__


def sha256(path: Path) -> str:
    """Digest of a local file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _backend(url: str) -> Backend:
    scheme, mark, rest = url.partition("://")
    if not mark or scheme in ("file", "local"):
        path = Path(rest if mark else url)
        if not path.is_absolute():
            raise ConfigError(f"the shared folder {url} must be an absolute path: every node looks there")
        return _Files(path)
    try:
        import fsspec
    except ImportError:
        raise ConfigError(f"the shared folder {url} needs fsspec; pip install 'rro-sdk[ray]'") from None
    try:
        filesystem, root = fsspec.core.url_to_fs(url, **_UNCACHED)
    except (ImportError, ValueError) as error:
        raise ConfigError(f"the shared folder {url} cannot be used: {error}") from None
    return _Objects(filesystem, root)


_UNCACHED = {"use_listings_cache": False, "skip_instance_cache": True}


def _again(url: str, patience_s: float) -> SharedFolder:
    return SharedFolder(url, patience_s=patience_s)
