"""The doctor: finds what is wrong, says what to do, and keeps secrets to itself."""

import http.server
import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from snaplabel import backbones, cli, home, people, registry
from snaplabel.backbones import BackboneCard, Preparation
from snaplabel.commands import doctor, tokens
from snaplabel.commands.doctor import Finding
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.tables import Model

GOOD, BAD = "123:good-token-of-a-bot", "123:bad-token-of-a-bot"


class Door(http.server.BaseHTTPRequestHandler):
    """Telegram's and Discord's answers to whoever shows a token."""

    flags = 1 << 19
    date = ""

    def do_GET(self) -> None:
        known = GOOD in self.path or self.headers.get("Authorization") == f"Bot {GOOD}"
        answers = {
            "getMe": {"ok": True, "result": {"username": "snap_bot"}},
            "/users/@me": {"username": "snap"},
            "/applications/@me": {"flags": Door.flags},
        }
        body = next(answer for ending, answer in answers.items() if self.path.endswith(ending))
        self.send_response_only(200 if known else 401)
        self.send_header("Date", Door.date or self.date_time_string())
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(Door, "flags", 1 << 19)
    monkeypatch.setattr(Door, "date", "")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Door) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def _with_tokens(settings: Settings, address: str, token: str) -> Settings:
    return replace(
        settings, telegram_token=token, discord_token=token, telegram_api_url=address, discord_api_url=address
    )


def _problems(settings: Settings) -> list[str]:
    return [finding.part for finding in doctor.examine(settings) if finding.problem is not None]


def test_a_new_installation_is_well(settings: Settings) -> None:
    assert _problems(settings) == []


def test_a_new_installation_is_told_that_nothing_was_taught(settings: Settings) -> None:
    new = [finding.sentence for finding in doctor.examine(settings) if finding.part == "lessons"]
    home.prepare(settings)
    migrated = [finding.sentence for finding in doctor.examine(settings) if finding.part == "lessons"]

    assert new == migrated
    assert "nothing was taught yet; `snaplabel import DIR`" in new[0]


def test_a_postgresql_out_of_reach_is_asked_about(settings: Settings) -> None:
    away = replace(settings, database_url="postgresql://me:hush-hush@127.0.0.1:1/db")

    (found,) = (finding for finding in doctor.examine(away) if finding.problem is not None)

    assert "Is it running, and are host, port, name, user and password" in str(found.problem)


def test_a_used_installation_is_well_and_the_store_keeps_no_trace(settings: Settings) -> None:
    home.prepare(settings)

    assert _problems(settings) == []
    assert not [path for path in Path(settings.store).rglob("*") if path.is_file()]


def test_good_tokens_are_known_by_name(settings: Settings, address: str) -> None:
    found = list(tokens.examine(_with_tokens(settings, address, GOOD)))

    assert found == [
        Finding("telegram", "the token is @snap_bot's"),
        Finding("discord", "the token is snap's"),
    ]


def test_refused_tokens_are_problems_and_stay_secret(settings: Settings, address: str) -> None:
    found = list(tokens.examine(_with_tokens(settings, address, BAD)))

    assert [(finding.part, finding.sentence) for finding in found] == [
        ("telegram", "the token is refused"),
        ("discord", "the token is refused"),
    ]
    assert BAD not in repr(found)


def test_a_discord_bot_that_may_not_read_is_a_problem(
    settings: Settings, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Door, "flags", 0)

    found = list(tokens.examine(replace(settings, discord_token=GOOD, discord_api_url=address)))

    assert "Message Content Intent" in str(found[-1].problem)


def test_a_clock_that_is_wrong_is_a_problem(settings: Settings, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Door, "date", "Tue, 01 Jan 2019 00:00:00 GMT")

    found = list(tokens.examine(replace(settings, telegram_token=GOOD, telegram_api_url=address)))

    assert [finding.part for finding in found] == ["telegram", "clock"]


def test_no_network_is_said_kindly(settings: Settings) -> None:
    found = list(tokens.examine(_with_tokens(settings, "http://127.0.0.1:1", GOOD)))

    assert [finding.sentence for finding in found] == ["could not be reached just now"] * 2


def test_chats_without_an_admin_are_a_problem(settings: Settings) -> None:
    chats = replace(settings, telegram_token=GOOD, telegram_api_url="http://127.0.0.1:1")

    assert "admins" in _problems(chats)
    assert "admins" not in _problems(replace(chats, admins=("telegram:7",)))
    assert "admins" in _problems(replace(chats, admins=("telegram:7", "discrod:8")))


def test_it_says_where_the_weights_come_from(settings: Settings) -> None:
    def said(settings: Settings) -> str:
        return next(finding.sentence for finding in doctor.examine(settings) if finding.part == "weights")

    downloads = settings.home / "downloads"
    downloads.mkdir(parents=True)
    before = said(settings)
    (downloads / f"{settings.backbone}-7ebf99e0.pth").write_bytes(b"")

    assert "at the first start" in before
    assert "downloaded before" in said(settings)
    assert "is a folder" in said(replace(settings, weights=downloads))


def test_a_network_that_started_from_nothing_is_a_problem_until_it_was_taught(settings: Settings) -> None:
    def found() -> Finding:
        return next(finding for finding in doctor.examine(settings) if finding.part == "weights")

    card = BackboneCard("net-1", settings.backbone, 4, Preparation(32, 32), is_pretrained=False, source="random")
    with home.opened(settings) as (database, store), database.begin() as session:
        backbones.save_card(store, card)
        classifier_id = people.make_classifier(session, "birds").id
        about = Card("birds", 0, "backbone", card.version).to_json()
        row = {"classifier_id": classifier_id, "version": 0, "kind": "backbone", "backbone": card.version, "key": "m/0"}
        session.add(model := Model(**row, card=about))
        session.flush()
        registry.publish(session, model)

    untaught = found()
    settings.downloads.mkdir()
    (settings.downloads / f"{settings.backbone}-7ebf99e0.pth").write_bytes(b"")
    downloaded = found()
    backbones.save_card(store, replace(card, is_pretrained=True))

    assert untaught.sentence == "birds started from nothing, without pretrained weights"
    assert f"SNAPLABEL_WEIGHTS at a .safetensors or .pth file of {settings.backbone}" in str(untaught.problem)
    assert "`snaplabel train --full --classifier birds` takes it up" in str(untaught.problem)
    assert f"at {settings.downloads / settings.backbone}-7ebf99e0.pth;" in str(downloaded.problem)
    assert found().problem is None


@pytest.mark.parametrize(
    ("part", "change"),
    [
        ("database", {"database_url": "postgresql://me:hush-hush@127.0.0.1:1/db"}),
        ("broker", {"broker_url": "redis://:hush-hush@127.0.0.1:1/0"}),
        ("store", {"store_url": "/proc/nowhere"}),
        ("weights", {"weights": Path("/nowhere.pth")}),
        ("weights", {"weights": Path(__file__)}),
        ("weights", {"backbone": "foo"}),
    ],
)
def test_what_is_out_of_reach_is_a_problem(settings: Settings, part: str, change: dict[str, object]) -> None:
    found = list(doctor.examine(replace(settings, **change)))  # type: ignore[arg-type]

    assert [finding.part for finding in found if finding.problem is not None] == [part]
    assert "hush" not in repr(found)


@pytest.mark.real
def test_a_real_broker_and_a_real_database_are_well(settings: Settings, redis_url: str, new_postgres_url: str) -> None:
    from migrations import run

    settings = replace(settings, broker_url=redis_url, database_url=new_postgres_url)
    assert _problems(settings) == ["database"]

    run.upgrade(new_postgres_url)

    assert _problems(settings) == []


def test_the_command_prints_no_secret_and_returns_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SNAPLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SNAPLABEL_STORE_URL", "/proc/nowhere")

    assert cli.main(["doctor", "--quick"]) == 1

    out = capsys.readouterr().out
    assert "problem  store:" in out
    assert "To mend: 1." in out
