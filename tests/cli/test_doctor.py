"""`rro doctor`: its judgements, and what it says of real servers and folders."""

from __future__ import annotations

import asyncio
import json
import socket
from pathlib import Path

import pytest

from rro_sdk.cli import _findings as findings
from rro_sdk.cli._looking import at_model, at_sglang
from servers.fake import FakeServer, FakeSettings, Fault
from tests.checkpoints import write_checkpoint
from tests.cli.running import Done, rro

REQUIRES = ["click>=8", "msgspec>=0.19", 'torch>=2.6; extra == "train"', 'numpy>=1.26; extra == "envs"']


def status_of(done: Done, name: str) -> str:
    return next(each["status"] for each in json.loads(done.stdout)["findings"] if each["name"] == name)


async def doctor(*arguments: str) -> Done:
    return await asyncio.to_thread(rro, "doctor", "--json", *arguments)


@pytest.mark.parametrize(
    ("installed", "statuses", "said"),
    [
        (
            {"click": "8.1", "msgspec": "0.20"},
            ["ok", "ok"],
            "here: none; not here: train (lacks torch), envs",
        ),
        ({"click": "8.1", "msgspec": "0.20", "numpy": "2.0"}, ["ok", "ok"], "here: envs; not here: train"),
        ({"click": "8.1", "msgspec": "0.2"}, ["fail", "ok"], "msgspec 0.2, not >=0.19"),
        ({"msgspec": "0.20"}, ["fail", "ok"], "click is missing"),
        ({"click": "9", "msgspec": "1", "torch": "2.5"}, ["ok", "warn", "ok"], "torch 2.5, not >=2.6"),
        ({"click": "9", "msgspec": "1", "torch": "2.13.0+cpu"}, ["ok", "ok"], "here: train"),
    ],
)
def test_packages(installed: dict[str, str], statuses: list[str], said: str) -> None:
    found = findings.of_packages(REQUIRES, ["train", "envs"], installed)
    assert [each.status for each in found] == statuses
    assert any(said in each.said for each in found)


def test_what_lacks_says_what_to_do() -> None:
    gib = findings.GIB
    wrong = [
        findings.of_python("3.9.1", ">=3.11", ["3.11"]),
        findings.of_python("3.15.0", ">=3.11", ["3.11", "3.12"]),
        findings.of_disk("/data", gib // 2, True),
        findings.of_disk("/data", 5 * gib, True),
        findings.of_disk("/data", 99 * gib, False),
        findings.of_files(256),
        *findings.of_device(2, None, None, None)[1:],
        *findings.of_device(2, gib, ["H100, 80 GiB"], "2.13.0+cpu")[1:],
        findings.of_data({"a": "partial", "b": "there"}),
        findings.of_data({"a": "other"}),
        *findings.of_served({"http://h:1": ("m", "v1"), "http://h:2": ("m", "v2")}),
    ]
    expected = ["fail", "warn", "fail", "warn", "fail", "warn", "warn", "warn", "warn", "warn", "fail"]
    assert [each.status for each in wrong] == expected
    assert all(each.todo for each in wrong)
    right = [
        findings.of_python("3.12.1", ">=3.11", ["3.11", "3.12"]),
        findings.of_disk("/data", 99 * gib, True),
        findings.of_files(4096),
        *findings.of_device(2, gib, ["H100, 80 GiB"], "2.13.0"),
        *findings.of_device(2, gib, [], "2.13.0+cpu"),
        findings.of_data({"a": "there"}),
        *findings.of_served({"http://h:1": ("m", "v1"), "http://h:2": ("m", "v1")}),
    ]
    assert {each.status for each in right} == {"ok"}


def test_a_model_needs_a_chat_template(tmp_path: Path) -> None:
    model = write_checkpoint(tmp_path / "model")
    assert at_model(tmp_path / "absent").status == "fail"
    (model / "tokenizer_config.json").write_text("{}")
    assert "no chat template" in at_model(model).said
    (model / "tokenizer_config.json").write_text('{"chat_template": "{{ messages }}"}')
    assert at_model(model).status == "ok"
    (model / "tokenizer_config.json").write_text("not JSON")
    assert at_model(model).status == "fail"
    (model / "chat_template.jinja").write_text("{{ messages }}")
    assert at_model(model).status == "ok"


def test_an_interpreter_without_sglang_is_named(tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\nexit 1\n")
    broken.chmod(0o755)
    assert "has no sglang" in at_sglang(broken).said
    assert at_sglang(tmp_path / "absent").status == "fail"


async def test_servers_are_asked_for_a_token(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        nobody = f"http://127.0.0.1:{unused.getsockname()[1]}"
    refusing = FakeSettings(model_path="/m/a", faults={n: Fault("status", status=400) for n in range(1, 9)})
    async with (
        FakeServer(FakeSettings(model_path="/m/a", api_key="key-1")) as good,
        FakeServer(refusing) as without_template,
    ):
        done = await doctor("--servers", good.url, "--api-key", "key-1")
        assert status_of(done, f"server {good.url}") == "ok", done.stdout
        assert "key-1" not in done.stdout
        (tmp_path / "urls").write_text(f"{good.url}\n")
        done = await doctor("--servers", f"@{tmp_path / 'urls'}", "--api-key", "key-1")
        assert status_of(done, f"server {good.url}") == "ok", done.stdout
        done = await doctor("-s", good.url, "-s", without_template.url, "-s", nobody)
        assert done.returncode == 1
        assert json.loads(done.stdout)["ok"] is False
        assert status_of(done, f"server {good.url}") == "fail", "it was not given the key"
        assert status_of(done, f"server {without_template.url}") == "fail"
        assert status_of(done, f"server {nobody}") == "fail"
    assert rro("doctor", "-s", "h:1").returncode == 2
    absent = rro("doctor", "-s", f"@{tmp_path / 'absent'}")
    assert absent.returncode == 2 and "cannot read the list of servers" in absent.stderr


def test_it_says_what_is_wrong_with_the_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "rro.toml").write_text("[sample]\ntempratur = 1\n")
    monkeypatch.setenv("RRO_SAMPLE_TOP", "1")
    monkeypatch.setenv("RRO_DATA", str(tmp_path / "absent"))
    done = rro("doctor")
    assert done.returncode == 1
    assert "fail  settings: rro.toml: [sample] tempratur is no option" in done.stdout
    assert "warn  settings: the variable RRO_SAMPLE_TOP sets no option" in done.stdout
    assert "set RRO_SAMPLE_TOP_P in its place" in done.stdout
    assert "fail  data: RRO_DATA names" in done.stdout
