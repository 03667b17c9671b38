"""docker-compose.yml: what it starts exists, nothing runs as root, and every setting and secret in it is a real one."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from snaplabel import cli
from snaplabel.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
ALL = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings)}


def test_every_part_is_there() -> None:
    parts = "postgres redis migrate telegram discord web worker worker-gpu trainer scheduler"

    assert set(SERVICES) == set(parts.split())


@pytest.mark.parametrize("name", OURS)
def test_its_command_is_one_that_snaplabel_knows(name: str) -> None:
    args = cli.parser().parse_args(OURS[name]["command"])

    assert args.command in cli.COMMANDS


@pytest.mark.parametrize("name", SERVICES)
def test_it_has_a_health_check_or_ends_by_itself(name: str) -> None:
    service = SERVICES[name]

    ends = service.get("restart") == "no"
    assert ends or service["healthcheck"].get("test")


@pytest.mark.parametrize("name", OURS)
def test_a_health_check_by_snaplabel_is_a_known_command(name: str) -> None:
    test = OURS[name]["healthcheck"].get("test", [])

    if test[1:2] == ["snaplabel"]:
        assert cli.parser().parse_args(test[2:]).command == "doctor"


@pytest.mark.parametrize("name", SERVICES)
def test_it_does_not_run_as_root_and_can_gain_nothing(name: str) -> None:
    service = SERVICES[name]

    assert not service["user"].startswith(("0", "root"))
    assert service["read_only"] is True
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["cap_drop"] == ["ALL"]


@pytest.mark.parametrize("name", SERVICES)
def test_its_settings_are_settings(name: str) -> None:
    given = {variable for variable in SERVICES[name].get("environment", {}) if variable.startswith(PREFIX)}

    assert {variable.removesuffix("_FILE") for variable in given} <= ALL


@pytest.mark.parametrize("name", SERVICES)
def test_its_secrets_exist_and_are_read_from_files(name: str) -> None:
    service = SERVICES[name]
    secrets = set(service.get("secrets", []))
    read = {
        value.removeprefix("/run/secrets/")
        for value in service.get("environment", {}).values()
        if value.startswith("/run/secrets/")
    }

    assert secrets <= set(COMPOSE["secrets"])
    assert read == secrets


@pytest.mark.parametrize("name", SERVICES)
def test_no_secret_stands_in_the_open(name: str) -> None:
    secret = {f"{PREFIX}{field.name.upper()}" for field in fields(Settings) if field.metadata["secret"]}

    # The broker's address holds no password: only this network's containers reach that Redis.
    assert set(SERVICES[name].get("environment", {})) & secret <= {"SNAPLABEL_BROKER_URL"}


@pytest.mark.parametrize("name", SERVICES)
def test_what_it_waits_for_exists(name: str) -> None:
    for other, condition in SERVICES[name].get("depends_on", {}).items():
        ends = SERVICES[other].get("restart") == "no"
        assert condition["condition"] == ("service_completed_successfully" if ends else "service_healthy")


@pytest.mark.parametrize("name", SERVICES)
def test_its_volumes_are_named_ones(name: str) -> None:
    named = {volume.partition(":")[0] for volume in SERVICES[name].get("volumes", [])}

    assert named <= set(COMPOSE["volumes"])


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.name)
def test_an_image_leaves_root_and_copies_what_is_there(path: Path) -> None:
    lines = path.read_text().splitlines()

    users = [line.split()[1] for line in lines if line.startswith("USER ")]
    assert users[-1:] == ["10001:10001"]
    copied = [line.split()[1:-1] for line in lines if line.startswith("COPY ")]
    named = {name for names in copied for name in names} - {"README.md"}
    assert all((ROOT / name).exists() for name in named)


def test_only_the_trainer_image_installs_torch() -> None:
    for path in DOCKERFILES:
        commands = " ".join(line for line in path.read_text().splitlines() if line.startswith("RUN"))
        has_torch = bool(re.search(r"\btorch\b|\[[^]]*trainer", commands))
        assert has_torch == (path.name == "trainer.Dockerfile"), path.name


def test_each_service_uses_an_image_that_holds_its_room() -> None:
    for service in OURS.values():
        text = (ROOT / service["build"]["dockerfile"]).read_text()
        room = service["command"][0]
        if room in ("bot", "worker", "trainer"):
            assert f"COPY {room} {room}" in text
