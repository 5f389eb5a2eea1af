"""The files of the folder ``deploy``, held to what reads them."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from configparser import ConfigParser
from pathlib import Path
from pkgutil import get_data
from typing import Any

import pytest
import yaml

from tests.support.crawls import DEADLINE_S, ROOT

FOLDER = ROOT / "deploy"
UNIT = FOLDER / "concurcrawl-scrapyd.service"


def check_compose(path: Path) -> subprocess.CompletedProcess[str]:
    """Hold *path* to the Compose Specification's schema, as check-jsonschema has it."""
    schema = ("--builtin-schema", "vendor.compose-spec")
    return subprocess.run(
        [sys.executable, "-m", "check_jsonschema", *schema, str(path)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    content: dict[str, Any] = yaml.safe_load(text)
    return content


def options(path: Path) -> ConfigParser:
    parser = ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(path, encoding="utf-8")
    return parser


def test_compose_yaml_is_as_its_specification_says(tmp_path: Path) -> None:
    done = check_compose(FOLDER / "compose.yaml")
    assert done.returncode == 0, done.stdout
    wrong = tmp_path / "compose.yaml"
    text = (FOLDER / "compose.yaml").read_text(encoding="utf-8")
    wrong.write_text(text.replace("healthcheck:", "healthcheque:"), encoding="utf-8")
    assert check_compose(wrong).returncode == 1


def test_compose_yaml_names_what_there_is(compose: dict[str, Any]) -> None:
    services = compose["services"]
    assert sorted(services) == ["redis", "scrapyd-a", "scrapyd-b"]
    used = set()
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        used |= {volume.split(":")[0] for volume in service["volumes"]}
        for port in service["ports"]:
            assert port.startswith("127.0.0.1:")
        if "build" in service:
            assert (FOLDER / service["build"]["context"]).resolve() == ROOT
            assert (ROOT / service["build"]["dockerfile"]).is_file()
    assert used == set(compose["volumes"])


def test_no_password_stands_in_a_file() -> None:
    for path in FOLDER.iterdir():
        for value in re.findall(
            r"PASSWORD[:=] *(\S+)", path.read_text(encoding="utf-8")
        ):
            assert value.startswith(("${", '"$$', "…")), path


def test_the_image_has_every_file_and_extra_that_it_asks_for() -> None:
    text = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
    for source in re.findall(r"^COPY (\S+) ", text, re.MULTILINE):
        assert (ROOT / source).exists()
    (extras,) = re.findall(r"/src\[([\w,]+)\]", text)
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extra in extras.split(","):
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE), extra


def test_scrapyd_knows_every_option_that_we_set() -> None:
    known = ConfigParser()
    known.read_string((get_data("scrapyd", "default_scrapyd.conf") or b"").decode())
    ours = options(FOLDER / "scrapyd.conf")
    assert ours.sections() == ["scrapyd"]
    assert set(ours["scrapyd"]) <= set(known["scrapyd"])


def test_systemd_takes_the_unit_as_it_is(tmp_path: Path) -> None:
    unit = options(UNIT)
    assert unit.sections() == ["Unit", "Service", "Install"]
    service = unit["Service"]
    assert service["KillMode"] == "control-group"
    # A folder that may be written under ProtectSystem=strict, and is made.
    folder = Path("/var/lib") / service["StateDirectory"]
    assert Path(service["WorkingDirectory"]) == folder
    program, *arguments = service["ExecStart"].split()
    assert (Path(program).name, arguments) == ("scrapyd", ["--pidfile="])
    analyze = shutil.which("systemd-analyze")
    if analyze is None:  # not a machine with systemd: what is above has to do
        return
    here = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8").replace(program, sys.executable)
    here.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [analyze, "verify", str(here)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert UNIT.name not in done.stderr
    assert "Unknown key" not in done.stderr
