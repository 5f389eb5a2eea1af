from __future__ import annotations

import json
import stat
from typing import TYPE_CHECKING

import pytest
from scrapy.settings import Settings

from concurcrawl.control import address
from concurcrawl.control.address import Listen
from concurcrawl.control.enable import enable, warn_without_mode
from concurcrawl.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1", Listen()),
        (True, Listen()),
        ("127.0.0.1:8900", Listen("127.0.0.1", 8900)),
        ("localhost:0", Listen("localhost", 0)),
        ("[::1]:80", Listen("::1", 80)),
    ],
)
def test_where_to_listen(value: object, expected: Listen) -> None:
    assert address.listen_of(Settings({"CONCURCRAWL_CONTROL": value})) == expected


@pytest.mark.parametrize("value", ["2", "8900", ":8900", "a:b", "127.0.0.1:99999"])
def test_what_is_no_address_is_refused(value: str) -> None:
    with pytest.raises(ConfigError, match="must be 1 or host:port"):
        address.listen_of(Settings({"CONCURCRAWL_CONTROL": value}))


def test_other_machines_are_let_in_only_if_that_is_said() -> None:
    settings = Settings({"CONCURCRAWL_CONTROL": "0.0.0.0:8900"})
    with pytest.raises(ConfigError, match="CONCURCRAWL_CONTROL_PUBLIC=1"):
        address.listen_of(settings)
    settings.set("CONCURCRAWL_CONTROL_PUBLIC", "1")
    assert address.listen_of(settings) == Listen("0.0.0.0", 8900)


def test_a_short_token_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(address.TOKEN, "from the environment")
    assert address.given_token(Settings()) == "from the environment"
    with pytest.raises(ConfigError) as caught:
        address.given_token(Settings({address.TOKEN: "hunter2"}))
    assert "hunter2" not in str(caught.value)


def test_only_the_owner_can_read_where_the_door_is(tmp_path: Path) -> None:
    address.write(tmp_path, "unix:/a", None)
    file = address.write(tmp_path, "http://127.0.0.1:1", "secret")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = json.loads(file.read_text())
    assert (found["address"], found["token"]) == ("http://127.0.0.1:1", "secret")


def test_the_socket_of_a_long_folder_is_elsewhere(tmp_path: Path) -> None:
    assert address.socket_in(tmp_path / "a").parent == tmp_path / "a"
    path = address.socket_in(tmp_path / ("a" * 100))
    assert len(str(path)) < 100
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    path.parent.rmdir()


def test_extensions_are_added_for_what_is_asked() -> None:
    settings = Settings({"CONCURCRAWL_STAY": 1, "CONCURCRAWL_CONTROL": "1"})
    enable(settings, "cmdline")
    assert sorted(settings["EXTENSIONS"]) == [
        "concurcrawl.control.door.ControlDoor",
        "concurcrawl.control.staying.StayOpen",
    ]
    enable(nothing := Settings(), "cmdline")
    assert not settings_of(nothing)


def settings_of(settings: Settings) -> list[str]:
    return [name for name in settings["EXTENSIONS"] if "control" in name]


@pytest.mark.parametrize("name", ["CONTROL", "START_KEY"])
def test_another_reactor_is_refused(name: str) -> None:
    settings = Settings(
        {
            f"CONCURCRAWL_{name}": "1",
            "REDIS_URL": "redis://a",
            "TWISTED_REACTOR": "twisted.internet.selectreactor.SelectReactor",
        }
    )
    with pytest.raises(ConfigError, match=f"with CONCURCRAWL_{name}"):
        enable(settings, "cmdline")


def test_a_start_key_without_a_redis_is_refused() -> None:
    with pytest.raises(ConfigError, match="START_KEY_URL"):
        enable(Settings({"CONCURCRAWL_START_KEY": "a"}), "cmdline")


def test_what_needs_a_mode_is_named(caplog: pytest.LogCaptureFixture) -> None:
    warn_without_mode(Settings({"CONCURCRAWL_STAY": "1", "CONCURCRAWL_CONTROL": ""}))
    assert caplog.messages == ["CONCURCRAWL_STAY: not in effect without a MODE"]
