"""What Prometheus is told: from the tables, the log, and a real service over HTTP; and a log that programs read."""

import json
import logging
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from snaplabel import logs, metrics, people, registry, trainings, up
from snaplabel.database import Database, now
from snaplabel.errors import SettingsError
from snaplabel.registry import Card
from snaplabel.settings import Settings
from snaplabel.tables import Alert, Answer, Message, Model
from tests.walks.house import House, free_port, wait_for

ROOT = Path(__file__).parents[2]


def _scraped(collector: metrics.Tables) -> dict[str, float]:
    """Every sample as Prometheus reads it: name and labels → value."""
    told = CollectorRegistry()
    told.register(collector)
    lines = [line for line in generate_latest(told).decode().splitlines() if not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def _fill(database: Database) -> None:
    with database.begin() as session:
        classifier = people.make_classifier(session)
        chat, person = people.chat(session, "test", "room"), people.person(session, "test", "1")
        for number, state in enumerate(("received", "waiting", "waiting", "answered", "failed")):
            since = now() - timedelta(seconds=100 + number)
            message = Message(
                platform="test", chat_id=chat.id, person_id=person.id, platform_id=str(number), payload=None
            )
            message.state, message.received_at = state, since
            session.add(message)
        for shown, state in ((0, "open"), (1, "open"), (0, "gone")):
            session.add(Answer(platform="test", chat_id=chat.id, revision=1, shown=shown, state=state))
        card = Card("default", 7, "refit", "tiny-1", ()).to_json()
        model = Model(classifier_id=classifier.id, version=7, kind="refit", backbone="tiny-1", key="none", card=card)
        session.add(model)
        session.flush()
        registry.publish(session, model)
        trainings.ask(session, classifier.id, "refit", "command")
        session.add(Alert(kind="late:test", told_at=now()))
        session.add(Alert(kind="silent:worker"))
        session.add(Alert(kind="unsent:test", told_at=now(), over_at=now()))


def test_the_tables_say_what_waits_what_answers_and_what_is_wrong(database: Database) -> None:
    _fill(database)

    found = _scraped(metrics.Tables(database))

    oldest = found.pop("snaplabel_oldest_photo_seconds")
    assert 100 <= oldest < 1000
    assert found == {
        'snaplabel_photos_waiting{state="received"}': 1,
        'snaplabel_photos_waiting{state="waiting"}': 2,
        'snaplabel_photos_waiting{state="classified"}': 0,
        'snaplabel_outbox_answers{platform="test"}': 1,
        'snaplabel_model_version{classifier="default"}': 7,
        'snaplabel_trainings{kind="refit",state="queued"}': 1,
        'snaplabel_alert{kind="late:test"}': 1,
        "snaplabel_database_up": 1,
    }


def test_however_often_prometheus_asks_the_database_is_not(database: Database) -> None:
    collector = metrics.Tables(database, fresh_s=3600)
    before = _scraped(collector)
    _fill(database)

    assert _scraped(collector) == before
    assert _scraped(metrics.Tables(database)) != before


def test_a_database_that_is_away_is_a_number_too() -> None:
    away = Database("postgresql+psycopg://somebody:hush@127.0.0.1:1/nothing")

    assert _scraped(metrics.Tables(away)) == {"snaplabel_database_up": 0}


def test_errors_are_counted_by_their_kind() -> None:
    logger, handler = logging.Logger("bot.somewhere"), metrics.Counting()
    logger.addHandler(handler)
    before, errors = metrics.LOGGED.labels("error", "KeyError")._value.get(), metrics.errors_so_far()

    logger.info("all is well")
    logger.warning("hm")
    try:
        raise KeyError("no")
    except KeyError:
        logger.exception("oh")

    assert metrics.LOGGED.labels("error", "KeyError")._value.get() == before + 1
    assert metrics.LOGGED.labels("warning", "bot.somewhere")._value.get() >= 1
    assert metrics.errors_so_far() == errors + 1


def test_the_command_line_does_not_wait_for_the_library_of_metrics() -> None:
    code = "import sys; from snaplabel import cli; cli.main(['--help']); sys.exit('prometheus_client' in sys.modules)"

    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, timeout=60)

    assert ran.returncode == 0


def test_in_up_each_service_has_a_port_of_its_own(settings: Settings) -> None:
    settings.home.mkdir()
    ports = {
        port: [
            program.environment["SNAPLABEL_METRICS_PORT"]
            for program in up.programs(replace(settings, metrics_port=port))
            if program.environment and "SNAPLABEL_HOME" in program.environment
        ]
        for port in (0, 9100)
    }

    assert ports == {0: ["0", "0", "0"], 9100: ["9100", "9101", "9102"]}


@pytest.mark.real
def test_a_service_answers_prometheus_and_a_port_that_is_taken_stops_nobody(tmp_path: Path, redis_url: str) -> None:
    port = free_port()
    house = House(
        tmp_path,
        SNAPLABEL_METRICS_PORT=str(port),
        SNAPLABEL_BROKER_URL=redis_url,
        SNAPLABEL_LOG_FORMAT="json",
    )

    def answer() -> str:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as found:
                return str(found.read().decode())
        except (urllib.error.URLError, OSError):
            return ""

    try:
        house.start("worker")
        told = wait_for(answer, "the worker's metrics")
        house.start("bot", "web")
        house.wait_healthy()
        logged = (tmp_path / "1-bot.log").read_text()
    finally:
        house.stop()

    assert "snaplabel_classify_seconds_bucket" in told
    assert 'snaplabel_photos_waiting{state="waiting"} 0.0' in told
    assert "process_resident_memory_bytes" in told
    [line] = [json.loads(line) for line in logged.splitlines() if "metrics:" in line]
    assert (line["level"], line["service"], line["name"]) == ("WARNING", "bot", "snaplabel.metrics")


def _record(message: str, **extra: object) -> logging.LogRecord:
    record = logging.LogRecord("bot.run", logging.INFO, __file__, 1, message, (), None)
    record.__dict__.update(extra)
    return record


def test_ids_stand_behind_the_words_of_a_line() -> None:
    with logs.about(message=7):
        line = logs.OneLine("bot").format(_record("taken in", **logs.ids(photo=3)))
    after = logs.OneLine("bot").format(_record("something else"))

    assert line.endswith(": taken in message=7 photo=3")
    assert after.endswith(": something else")


def test_a_line_for_programs_has_the_ids_as_values_and_no_secret() -> None:
    secret = 'hush"hush'
    with logs.about(message=7):
        line = logs.Json("bot", [secret]).format(_record(f"two\nlines with {secret}"))

    found = json.loads(line)
    assert "\n" not in line
    assert (found["message"], found["service"], found["level"]) == (7, "bot", "INFO")
    assert found["text"] == "two\nlines with •••"


def test_a_traceback_is_a_value_of_its_own_and_holds_no_secret() -> None:
    try:
        raise ValueError("hushhush")
    except ValueError as error:
        record = _record("failed")
        record.exc_info = (ValueError, error, error.__traceback__)

    found = json.loads(logs.Json("bot", ["hushhush"]).format(record))

    assert "ValueError: •••" in found["traceback"]


def test_an_unknown_format_is_a_wrong_setting(settings: Settings) -> None:
    with pytest.raises(SettingsError, match="SNAPLABEL_LOG_FORMAT"):
        logs.configure(replace(settings, log_format="xml"), "bot")
