"""One folder as one commit.

Sent is what `rro export` or `rro train` put into the folder, and nothing else. A run's own folder, whose
journal holds every prompt and reply, is refused; hidden files and the manifest, which names places on this
machine, are left out. Which hub it is, and as whom, HF_ENDPOINT, HF_TOKEN and `hf auth login` say; no token
is read here, and no message of the hub's is repeated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import msgspec

from rro_sdk.errors import CheckpointError, ConfigError, DataError, HubError
from rro_sdk.hub.card import model_card
from rro_sdk.journal import JOURNAL_NAME

Kind = Literal["dataset", "model"]

CARD = "README.md"
MANIFEST = "rro_checkpoint.json"
_SOURCE = "_name_or_path"


class Pushed(msgspec.Struct, frozen=True):
    """What a hub took.

    Attributes:
        repo: its name, OWNER/NAME.
        kind: dataset or model.
        commit: id of the commit.
        url: where it can be looked at.
        files: names of what was sent.
    """

    repo: str
    kind: Kind
    commit: str
    url: str
    files: tuple[str, ...]


def push_to_hub(
    folder: str | Path, repo: str, *, private: bool = True, message: str = "Pushed by rro-sdk"
) -> Pushed:
    """Send a dataset that `rro export` wrote, or a checkpoint, to a hub; made there if need be.

    Args:
        folder: the dataset's or the checkpoint's. A checkpoint without a card gets one from its manifest.
        repo: OWNER/NAME.
        private: where it is made: whether others cannot see it.
        message: of the commit.

    Raises:
        ConfigError: huggingface_hub is not installed, the name cannot be right, or nobody is logged in.
        DataError, CheckpointError: the folder is not what can be sent.
        HubError: the hub refuses, or cannot be reached.
    """
    try:
        from huggingface_hub import CommitOperationAdd, HfApi
        from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalTokenNotFoundError
    except ImportError as error:
        raise ConfigError("pushing to a hub: pip install 'rro-sdk[hub]'") from error
    if repo.count("/") != 1:
        raise ConfigError(f"{repo!r} is not a repository's name: give OWNER/NAME")
    kind, contents = contents_of(Path(folder), repo.partition("/")[2])
    api = HfApi()
    try:
        api.create_repo(repo, repo_type=kind, private=private, exist_ok=True)
        done = api.create_commit(
            repo,
            [CommitOperationAdd(name, _raw(content)) for name, content in contents.items()],
            commit_message=message,
            repo_type=kind,
        )
    except LocalTokenNotFoundError as error:
        raise ConfigError("nobody is logged in: set HF_TOKEN, or use `hf auth login`") from error
    except HFValidationError as error:
        raise ConfigError(f"{repo!r} is not a repository's name: give OWNER/NAME") from error
    except HfHubHTTPError as error:
        raise HubError(_refused(api.endpoint, repo, error.response.status_code)) from error
    except (OSError, RuntimeError, ValueError, _transport_error()) as error:
        raise HubError(f"{repo} was not pushed to {api.endpoint} ({type(error).__name__})") from error
    place = repo if kind == "model" else f"datasets/{repo}"
    return Pushed(repo, kind, done.oid, f"{api.endpoint}/{place}", tuple(contents))


def contents_of(folder: Path, name: str) -> tuple[Kind, dict[str, Path | bytes]]:
    """What is sent: the kind of thing, and each file's name with where it lies or what it holds.

    Raises:
        ConfigError: no folder, or a run's own.
        DataError, CheckpointError: a folder that neither `rro export` nor a trainer wrote.
    """
    if not folder.is_dir():
        raise ConfigError(f"{folder} is not a folder: give one that `rro export` or `rro train` wrote")
    if (folder / JOURNAL_NAME).exists():
        raise ConfigError(
            f"{folder} is a run's own folder, with every prompt and reply: push what `rro export` makes of it"
        )
    found = [path for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
    for path in found:
        if path.is_symlink() or not path.is_file():
            raise DataError(
                f"{path} is not a plain file: push a folder as `rro export` or `rro train` wrote it"
            )
    contents: dict[str, Path | bytes] = {path.name: path for path in found if path.name != MANIFEST}
    if "config.json" in contents and any(file.endswith(".safetensors") for file in contents):
        contents["config.json"] = _without_source(folder / "config.json")
        if CARD not in contents and (folder / MANIFEST).is_file():
            contents[CARD] = model_card(_read(folder / MANIFEST), name).encode()
        if CARD not in contents:
            raise CheckpointError(
                f"{folder} has no {CARD}: write one, for nothing here says where it is from"
            )
        return "model", contents
    if CARD in contents and (folder / CARD).read_text(encoding="utf-8").startswith("---\n"):
        return "dataset", contents
    raise DataError(f"{folder} is neither a checkpoint nor an export with its card: see `rro export`")


def _without_source(config: Path) -> bytes:
    """config.json without the path that the model was loaded from."""
    read = _read(config)
    if _SOURCE not in read:
        return config.read_bytes()
    return json.dumps({key: value for key, value in read.items() if key != _SOURCE}, indent=2).encode()


def _read(path: Path) -> dict[str, Any]:
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} cannot be read ({type(error).__name__})") from error
    return found


def _raw(content: Path | bytes) -> str | bytes:
    return str(content) if isinstance(content, Path) else content


def _refused(endpoint: str, repo: str, status: int) -> str:
    if status in (401, 403, 404):
        return (
            f"{endpoint} does not let you write to {repo} (status {status}): set HF_TOKEN to a token that"
            " may, or use `hf auth login`"
        )
    return f"{endpoint} did not take {repo} (status {status})"


def _transport_error() -> type[Exception]:
    """What the client raises when the hub cannot be reached: it, and we, carry it by httpx2."""
    import httpx2

    return httpx2.HTTPError
