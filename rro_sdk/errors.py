"""Every error that this SDK raises on purpose.

The tree (each class is also the standard type that a caller would expect)::

    RROError
    +-- ConfigError (ValueError)            a setting, flag or argument that cannot be right
    |   +-- RunExistsError (FileExistsError)  the run folder holds a run already
    +-- DataError (ValueError)              a file or row that is not what it should be
    +-- CheckpointError (ValueError)        a checkpoint that cannot be served or trained
    +-- EnvironmentFault (RuntimeError)     the environment itself broke (not the agent's action)
    |   +-- Divergence                        a replay came to another state than the one recorded
    +-- JournalError (RuntimeError)         a run's journal cannot be read or written
    +-- TrainingError (RuntimeError)        a trainer stopped before it had a checkpoint
    +-- MetricsError (RuntimeError)         a place that metrics go to does not take them
    +-- HubError (ConnectionError)          a hub of datasets and models refuses, or cannot be reached
    +-- ServerError (ConnectionError)       something about an inference server
        +-- ServerStartError                it never became ready
        +-- ServerUnreachable               nothing answers at its address
        +-- ServerTimeout (TimeoutError)    it did not answer within the deadline
        +-- ServerRefused                   it answered with an error status
        |   +-- ContextExceeded               the request does not fit the model's context
        +-- BadReply (ValueError)           its answer is not of the contract's shape
        +-- ReloadError                     it could not be brought to the asked-for weight version

To add one: pick the parent whose handling it shares, add the standard type that fits, and give
`exit_code` only where it differs from the parent's. Messages name the thing and say what to do;
they never hold prompts, replies or credentials. All of them pickle.
"""

from __future__ import annotations

__all__ = [
    "BadReply",
    "CheckpointError",
    "ConfigError",
    "ContextExceeded",
    "DataError",
    "Divergence",
    "EnvironmentFault",
    "HubError",
    "JournalError",
    "MetricsError",
    "RROError",
    "ReloadError",
    "RunExistsError",
    "ServerError",
    "ServerRefused",
    "ServerStartError",
    "ServerTimeout",
    "ServerUnreachable",
    "TrainingError",
]


class RROError(Exception):
    """Root of the tree. `exit_code` is what the command line ends with."""

    exit_code: int = 1


class ConfigError(RROError, ValueError):
    """A setting, flag or argument that cannot be right."""

    exit_code = 2


class RunExistsError(ConfigError, FileExistsError):
    """The run folder holds a run already."""


class DataError(RROError, ValueError):
    """A file or a row that is not what it should be."""

    exit_code = 2


class CheckpointError(RROError, ValueError):
    """A checkpoint that cannot be served or trained as it is."""

    exit_code = 2


class EnvironmentFault(RROError, RuntimeError):
    """The environment itself broke; what an agent does wrong is an observation instead."""


class Divergence(EnvironmentFault):
    """A replay came to another state than the one recorded: environment, data or prompts have changed."""


class JournalError(RROError, RuntimeError):
    """A run's journal cannot be read or written."""


class TrainingError(RROError, RuntimeError):
    """A trainer stopped before it had a checkpoint."""


class MetricsError(RROError, RuntimeError):
    """A place that metrics go to does not take them; a run goes on without it."""


class HubError(RROError, ConnectionError):
    """A hub of datasets and models refuses what is pushed, or cannot be reached."""


class ServerError(RROError, ConnectionError):
    """Something about an inference server.

    Attributes:
        url: the server's address, without credentials.
        status: the HTTP status of its answer, where it gave one.
        retry_after: seconds that it asked us to wait, where it did.
    """

    def __init__(
        self, message: str, *, url: str = "", status: int | None = None, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.url = url
        self.status = status
        self.retry_after = retry_after

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), str(self), self.url, self.status, self.retry_after))


class ServerStartError(ServerError):
    """A server that was started never became ready."""

    exit_code = 2


class ServerUnreachable(ServerError):
    """Nothing answers at the server's address."""

    exit_code = 2


class ServerTimeout(ServerError, TimeoutError):
    """The server did not answer within the deadline."""


class ServerRefused(ServerError):
    """The server answered with an error status; `status` holds it."""


class ContextExceeded(ServerRefused):
    """The request, with the tokens that it may generate, does not fit the model's context."""


class BadReply(ServerError, ValueError):
    """The server's answer is not of the shape that the contract promises."""


class ReloadError(ServerError):
    """A server could not be brought to the asked-for weight version."""


def _rebuild(
    kind: type[ServerError], message: str, url: str, status: int | None, retry_after: float | None
) -> ServerError:
    return kind(message, url=url, status=status, retry_after=retry_after)
