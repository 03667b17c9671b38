"""schemathesis asks the HTTP API everything that its OpenAPI document allows, and much that it doesn't."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bot.platforms.web.door import Limiter
from tests.bot.webhouse import OURS, RED, TOKEN, Served, picture

pytestmark = pytest.mark.real

FOLDER = Path(__file__).parent / "schemathesis"
# Of each operation; what the project was made with once were thousands, see docs/decisions.md.
EXAMPLES = 3
BY_COOKIE = '\n[auth.openapi]\nAPIKeyCookie = { api_key = "%s" }\n'


@pytest.fixture
def patient(place: Served) -> Iterator[Served]:
    """A web chat that does not mind how often it is asked, with something to ask about."""
    limited = {name: value for name, value in vars(place.web).items() if isinstance(value, Limiter)}
    for name in limited:
        setattr(place.web, name, Limiter(10**6))
    with place.program() as program:
        program.post("/api/photos", content=picture(RED, 1))
    yield place
    for name, value in limited.items():
        setattr(place.web, name, value)


@pytest.mark.parametrize("who", ["program", "admin", "member", "stranger"])
def test_whatever_is_asked_is_answered_as_the_document_says(patient: Served, tmp_path: Path, who: str) -> None:
    pytest.importorskip("schemathesis")
    config, headers = (FOLDER / "schemathesis.toml").read_text(), {}
    if who == "program":
        headers = {"Authorization": f"Bearer {TOKEN}"}
    elif who in ("admin", "member"):
        with getattr(patient, who)() as client:
            config += BY_COOKIE % client.cookies["snaplabel"]
        headers = {**OURS, "Origin": patient.url}
    (tmp_path / "schemathesis.toml").write_text(config)
    command = [
        *(sys.executable, "-c", "from schemathesis.cli import schemathesis; schemathesis()"),
        *("--config-file", "schemathesis.toml", "run", f"{patient.url}/api/openapi.json"),
        *(part for name, value in headers.items() for part in ("--header", f"{name}: {value}")),
        *("--max-examples", str(EXAMPLES), "--seed", "1", "--no-color", "--warnings", "off"),
        # Chains of requests find nothing within so few examples.
        *("--phases", "examples,coverage,fuzzing"),
    ]

    environment = {**os.environ, "SNAPLABEL_SCHEMATHESIS_HOOKS": str(FOLDER / "hooks.py")}
    ran = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240)

    assert ran.returncode == 0, ran.stdout[-8000:] + ran.stderr[-2000:]
    assert "Tested: 11" in ran.stdout, ran.stdout[-8000:]
