"""Models and messages are data, never code: nothing that we read can make us run something."""

import ast
import base64
import json
import os
import pickle
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from snaplabel import queue
from snaplabel.settings import read
from tests.bot.webhouse import eventually

ROOT = Path(__file__).parent.parent
OURS = ("snaplabel", "bot", "worker", "trainer", "demo", "migrations", "benchmarks")
# Calls that run what they read: by the last words of their name, and what makes them harmless.
RUNS_CODE = {"eval", "exec", "compile", "__import__", "os.system", "os.popen", "yaml.load", "yaml.unsafe_load"}
READS_PICKLE = {"pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve", "_pickle", "jsonpickle"}
MUST_SAY = {
    "torch.load": ("weights_only", True),
    "np.load": ("allow_pickle", False),
    "numpy.load": ("allow_pickle", False),
}


def _files() -> Iterator[Path]:
    for folder in OURS:
        yield from sorted((ROOT / folder).rglob("*.py"))


def _troubles(path: Path) -> Iterator[str]:
    """What in a file could run foreign code."""
    for node in ast.walk(ast.parse(path.read_text())):
        line = f"{path.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import) and READS_PICKLE & {name.name.partition(".")[0] for name in node.names}:
            yield f"{line}: imports one that reads pickles"
        elif isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in READS_PICKLE:
            # The name of an error is harmless: torch raises it for a file that it refuses.
            if [name.name for name in node.names] != ["UnpicklingError"]:
                yield f"{line}: imports from one that reads pickles"
        elif isinstance(node, ast.Call):
            said = {word.arg: word.value.value for word in node.keywords if isinstance(word.value, ast.Constant)}
            called = ast.unparse(node.func)
            if called in RUNS_CODE or said.get("shell") is True:
                yield f"{line}: {called} runs what it is given"
            if called in MUST_SAY and said.get(MUST_SAY[called][0]) is not MUST_SAY[called][1]:
                yield f"{line}: {called} without {MUST_SAY[called][0]}={MUST_SAY[called][1]}"
            if said.get("weights_only") is False or said.get("allow_pickle") is True:
                yield f"{line}: {called} reads pickles"


def test_nothing_of_ours_runs_what_it_reads() -> None:
    files = list(_files())

    assert [trouble for path in files for trouble in _troubles(path)] == []
    assert len(files) > 150


@pytest.mark.parametrize(
    "code",
    [
        "import pickle",
        "from pickle import loads",
        "import joblib.numpy_pickle",
        "torch.load(path)",
        "torch.load(path, weights_only=False)",
        "np.load(path)",
        "np.load(path, allow_pickle=True)",
        "yaml.load(text)",
        "eval(text)",
        "exec(text)",
        "subprocess.run(words, shell=True)",
        "os.system(words)",
    ],
)
def test_what_runs_code_would_be_found(code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "made.py").write_text(code)
    monkeypatch.setattr("tests.test_no_pickle.ROOT", tmp_path)

    assert len(list(_troubles(tmp_path / "made.py"))) >= 1


# A worker as it really serves, whose task writes down the id that it was given.
WORKER = """
import pathlib, sys
from snaplabel import queue, settings
def note(number):
    pathlib.Path(sys.argv[1]).write_text(str(number))
queue.serve(queue.connect(settings.read()), queue.CLASSIFY, {"classify.photo": note}, threads=2)
"""


class _Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o700)


def _message(content_type: str, encoding: str, body: str) -> str:
    """A task as Celery's protocol 2 puts it on a Redis list."""
    number = uuid.uuid4().hex
    return json.dumps(
        {
            "body": body,
            "content-type": content_type,
            "content-encoding": encoding,
            "headers": {"task": "classify.photo", "id": number, "root_id": number, "lang": "py", "retries": 0},
            "properties": {
                "correlation_id": number,
                "delivery_info": {"exchange": "", "routing_key": "classify"},
                "delivery_tag": number,
                "delivery_mode": 2,
                "body_encoding": "base64",
                "priority": 0,
            },
        }
    )


@pytest.mark.real
def test_a_pickled_message_is_refused_and_the_next_one_is_worked_on(redis_url: str, tmp_path: Path) -> None:
    given = read({"SNAPLABEL_HOME": str(tmp_path), "SNAPLABEL_BROKER_URL": redis_url}, dotenv=tmp_path / "no.env")
    done, exploded = tmp_path / "done", tmp_path / "exploded"
    line = Redis(unix_socket_path=redis_url.removeprefix("redis+socket://"))
    line.delete("classify")
    args = base64.b64encode(pickle.dumps(([_Bomb(exploded)], {}, {}))).decode()
    for kind in (
        "application/x-python-serialize",
        "application/x-yaml",
        "application/octet-stream",
        "application/json",
    ):
        line.lpush("classify", _message(kind, "binary", args))

    environment = {**os.environ, "SNAPLABEL_HOME": str(tmp_path), "SNAPLABEL_BROKER_URL": redis_url}
    worker = subprocess.Popen([sys.executable, "-c", WORKER, str(done)], cwd=ROOT, env=environment)
    try:
        queue.enqueue(queue.connect(given), "classify.photo", 7)
        eventually(lambda: done.exists(), within_s=60)
        left = line.llen("classify")
        is_alive = worker.poll() is None
    finally:
        worker.terminate()
        worker.wait(30)
        line.close()

    assert is_alive
    assert done.read_text() == "7"
    assert not exploded.exists()
    assert left == 0
