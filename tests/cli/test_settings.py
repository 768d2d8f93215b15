"""Settings: file, then environment, then command line; what a file may not say; where a value came from."""

from __future__ import annotations

import json
import os
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
from click.core import ParameterSource

from rro_sdk.cli import rro as program
from rro_sdk.cli._groups import key_of
from rro_sdk.cli._settings import holds_secret, is_secret, options_of, read
from tests.cli.running import COMMANDS, rro


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variable of ours."""
    for name in [each for each in os.environ if each.startswith("RRO_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def gpus(*arguments: str) -> str:
    """What `rro cost` was told, by its refusal of any number below one."""
    done = rro(*arguments, "cost", "run")
    assert done.returncode == 2
    return done.stderr.rpartition("not ")[2].split(" and")[0]


def test_a_flag_goes_before_the_environment_which_goes_before_the_file(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert "holds no run" in rro("cost", "run").stderr
    (here / "rro.toml").write_text("[cost]\ngpus = -1\n")
    assert gpus() == "-1"
    other = here / "other.toml"
    other.write_text("[cost]\ngpus = -2\n")
    monkeypatch.setenv("RRO_CONFIG", str(other))
    assert gpus() == "-2"
    assert gpus("--config", "rro.toml") == "-1"
    monkeypatch.setenv("RRO_COST_GPUS", "-3")
    assert gpus() == "-3"
    assert "not -4 and" in rro("cost", "run", "--gpus", "-4").stderr


def test_of_two_that_exclude_each_other_the_nearer_holds(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "rro.toml").write_text('[iterate]\nconfig = "loop.toml"\n')
    assert "loop.toml" in rro("iterate").stderr
    assert "begun" in rro("iterate", "--resume", "begun").stderr
    monkeypatch.setenv("RRO_ITERATE_RESUME", "else")
    assert "else" in rro("iterate").stderr
    both = rro("iterate", "--config", "a.toml", "--resume", "begun")
    assert (both.returncode, "give either --config FILE or --resume DIR" in both.stderr) == (2, True)
    monkeypatch.setenv("RRO_TRAIN_SFT_EPOCHS", "2")
    train = ("train", "sft", "--data", "rows.jsonl", "--model", "none", "--out", "out", "--steps", "3")
    assert "none is not a folder" in rro(*train).stderr
    assert "steps and epochs were both given" in rro(*train, "--epochs", "2").stderr


def sample_of(option: click.Option) -> Any:
    """A value that the option takes, as a TOML file has it, other than its default."""
    kinds = option.type.types if isinstance(option.type, click.Tuple) else [option.type]
    found: list[Any] = []
    for kind in kinds:
        if isinstance(kind, click.Choice):
            found.append(kind.choices[-1])
        elif isinstance(kind, click.types.BoolParamType):
            found.append(not option.default)
        elif isinstance(kind, click.types.IntParamType):
            found.append(77)
        elif isinstance(kind, click.types.FloatParamType):
            found.append(0.25)
        else:
            found.append("k=v" if option.metavar == "KEY=VALUE" else "words")
    value = found if isinstance(option.type, click.Tuple) else found[0]
    return [value] if option.multiple else value


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_can_be_set_by_the_file_and_by_the_environment(
    name: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = COMMANDS[name]
    root = click.Context(program, info_name="rro")
    command = COMMANDS[name][1].command
    wanted = {key_of(each): sample_of(each) for each in options_of(command) if not is_secret(each)}
    text = f"[{'.'.join(path)}]\n" + "".join(
        f"{key} = {json.dumps(value)}\n" for key, value in wanted.items()
    )
    (here / "rro.toml").write_text(text)
    root.default_map = read(program, root, here / "rro.toml")
    ctx = root
    for word in path:
        assert isinstance(ctx.command, click.Group)
        below = ctx.command.get_command(ctx, word)
        assert below is not None
        ctx = (
            below.make_context(word, [], parent=ctx, resilient_parsing=True)
            if word == path[-1]
            else (click.Context(below, info_name=word, parent=ctx))
        )
    for option in options_of(command):
        assert option.name is not None
        if not is_secret(option):
            assert ctx.get_parameter_source(option.name) is ParameterSource.DEFAULT_MAP
            assert ctx.params[option.name] == option.type_cast_value(ctx, wanted[key_of(option)])
        variable = "_".join(("rro", *path, key_of(option))).replace("-", "_").upper()
        assert isinstance(option.envvar, list)
        assert option.envvar[0] == variable
        value = wanted.get(key_of(option), "secret")
        flat = value if isinstance(value, list) else [value]
        monkeypatch.setenv(variable, " ".join(str(each) for each in flat))
    assert ctx.parent is not None
    again = command.make_context(path[-1], [], parent=ctx.parent, resilient_parsing=True)
    for option in options_of(command):
        assert again.get_parameter_source(option.name or "") is ParameterSource.ENVIRONMENT
        if not is_secret(option):
            assert again.params[option.name or ""] == ctx.params[option.name or ""]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sampel]", "[sampel] is no command; did you mean [sample]?"),
        ("[data.synth.sq]", "[data.synth.sq] is no command; did you mean [data.synth.sql]?"),
        ("[sample]\ntempratur = 1", "tempratur is no option of rro sample; did you mean temperature?"),
        ("[sample]\nzzz = 1", "[sample] zzz is no option of rro sample; rro sample --help lists its options"),
        ('[sample]\ntemperature = "1"', "[sample] temperature must be a number, not text"),
        ("[sample]\nlimit = 1.5", "[sample] limit must be a whole number, not a number"),
        ("[sample]\nlimit = true", "[sample] limit must be a whole number, not true or false"),
        ("[sample]\nquiet = 1", "[sample] quiet must be true or false, not a whole number"),
        ("[sample]\nservers = [1]", "[sample] servers must be text, not a whole number"),
        ("[sample]\nrun = 1979-05-27", "[sample] run must be text, not a date or time"),
        ("[sample]\nenv-option = { a = [1] }", "[sample] env-option.a must be text, a number, true or false"),
        ('[sample]\nreuse = "of"', "[sample] reuse: 'of' is not one of"),
        ("[data.synth.sql]\nfractions = [0.5, 0.5]", "[data.synth.sql] fractions must be a list of 3, not "),
        ("[sample]\nmax-tokens = 1\nmax_tokens = 1", "[sample] max_tokens is there twice"),
        ('[report]\nrun-dir = "x"', "[report] run-dir is an argument; it is given on the command line"),
        ('servers = ["x"]', "'servers' belongs to no command; every key has a table, such as [sample]"),
        ("[train]\nsteps = 1", "'steps' belongs to no command; [train] is a group of commands"),
        ('[sample]\napi-key = "hush"', "[sample] api-key is a secret, and files are passed on; set RRO_API"),
        ('[sample]\nenv-option = ["url=mysql://me:hush@h/x"]', "env-option holds a password"),
        ('[sample]\nenv-option = { password = "hush" }', "env-option holds a password"),
        ("[sample]\nlimit =", "is not TOML"),
    ],
)  # fmt: skip
def test_a_file_that_cannot_be_right_is_one_sentence(text: str, said: str, here: Path) -> None:
    (here / "rro.toml").write_text(text + "\n")
    done = rro("cost", "run")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "rro.toml" in done.stderr
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "hush" not in done.stderr
    assert rro("sample", "--help").returncode == 0, "help is what one needs then"
    assert rro("config", "show").returncode == 2


def test_a_file_that_is_named_must_be_there_and_be_text(here: Path) -> None:
    assert (
        "cannot read the settings file nowhere.toml" in rro("--config", "nowhere.toml", "cost", "run").stderr
    )
    (here / "rro.toml").write_bytes(b"\xff")
    assert "not UTF-8" in rro("cost", "run").stderr


def test_a_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RRO_COST_GPUS", "many")
    for words in (["cost", "run"], ["config", "show"]):
        done = rro(*words)
        assert done.returncode == 2
        assert "'many' is not a valid integer (from the environment variable RRO_COST_GPUS)" in done.stderr


def test_the_loop_of_iterate_is_not_the_settings_file(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (here / "rro.toml").write_text('[iterate]\nconfig = "loop.toml"\n')
    assert "loop.toml" in rro("iterate").stderr
    assert "named.toml" in rro("iterate", "--config", "named.toml").stderr
    monkeypatch.setenv("RRO_CONFIG", "rro.toml")
    assert "loop.toml" in rro("iterate").stderr


def test_show_says_what_holds_and_why(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "nothing is set" in rro("config", "show").stdout
    (here / "rro.toml").write_text('[sample]\ntemperature = 0.5\nservers = ["http://h:1"]\nseed = 3\n')
    monkeypatch.setenv("RRO_SAMPLE_SEED", "4")
    monkeypatch.setenv("RRO_API_KEY", "hush-1")
    monkeypatch.setenv("RRO_SAMPLE_ENV_OPTION", "url=mysql://me:hush-2@h/x")
    monkeypatch.setenv("RRO_SAMPLE_MAX_TOKEN", "9")
    done = rro("config", "show", "--json")
    found = json.loads(done.stdout)
    assert found["file"] == "rro.toml"
    assert found["commands"]["sample"] == {
        "temperature": {"value": 0.5, "source": "file", "where": "rro.toml"},
        "servers": {"value": ["http://h:1"], "source": "file", "where": "rro.toml"},
        "seed": {"value": 4, "source": "environment", "where": "RRO_SAMPLE_SEED"},
        "api-key": {"value": "***", "source": "environment", "where": "RRO_API_KEY"},
        "env-option": {"value": "***", "source": "environment", "where": "RRO_SAMPLE_ENV_OPTION"},
    }
    assert found["unknown_variables"] == {"RRO_SAMPLE_MAX_TOKEN": "RRO_SAMPLE_MAX_TOKENS"}
    text = rro("config", "show", "sample")
    assert "RRO_SAMPLE_MAX_TOKEN sets no option; did you mean RRO_SAMPLE_MAX_TOKENS?" in text.stderr
    assert "max-tokens = 256  # default" in text.stdout
    assert "hush" not in done.stdout + text.stdout + text.stderr


@pytest.mark.parametrize("words", [("sample",), ("data", "synth", "sql"), ()])
def test_what_show_prints_is_a_settings_file_that_means_the_same(
    words: tuple[str, ...], here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RRO_SAMPLE_METHOD", 'odd "name" # \\ ü')
    monkeypatch.setenv("RRO_DATA_SYNTH_SQL_FRACTIONS", "0.5 0.25 0.25")
    shown = rro("config", "show", "--all", *words)
    assert shown.returncode == 0, shown.stderr
    assert tomllib.loads(shown.stdout)
    before = values(*words)
    monkeypatch.delenv("RRO_SAMPLE_METHOD")
    monkeypatch.delenv("RRO_DATA_SYNTH_SQL_FRACTIONS")
    assert values(*words) != before
    (here / "rro.toml").write_text(shown.stdout)
    assert values(*words) == before


def values(*words: str) -> dict[str, dict[str, Any]]:
    found = json.loads(rro("config", "show", "--all", *words, "--json").stdout)["commands"]
    return {table: {key: each["value"] for key, each in keys.items()} for table, keys in found.items()}


def test_show_of_what_is_no_command() -> None:
    assert "no such command 'sampel'; did you mean sample?" in rro("config", "show", "sampel").stderr
    assert "rro sample has no commands of its own" in rro("config", "show", "sample", "more").stderr


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        ("url=mysql://me:pw@h/x", True),
        ("http://me:pw@h", True),
        ("api_key=x", True),
        ("password=x", True),
        ("url=mysql://me@h/x", False),
        ("http://h:8000/a@b", False),
        ("max_tokens=5", False),
        ("plain", False),
    ],
)
def test_what_passes_for_a_secret(text: str, secret: bool) -> None:
    assert holds_secret(text) is secret
