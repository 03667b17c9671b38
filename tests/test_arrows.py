"""The house's arrows: who may import whom, read from the code itself, and proven in a process of its own."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("bot", "worker", "trainer")
# A chat platform's own library, and what may know it: one module or package. Starlette and uvicorn are nobody's own:
# a webhook is a small web server too.
LIBRARIES = {
    "telegram": "bot/platforms/telegram",
    "discord": "bot/platforms/discord",
    "fastapi": "bot/platforms/web",
    "starlette": "bot/platforms/",
    "uvicorn": "bot/platforms/",
}


def _modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def _imports(path: Path, *, top_level: bool = False) -> Iterator[tuple[str, int]]:
    """Every absolute module that a file imports, with its line; top_level: only what importing the file imports."""
    tree = ast.parse(path.read_text(), str(path))
    for node in _at_import(tree) if top_level else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:  # from . import x: the package's own
                package = path.relative_to(ROOT).parent.parts
                module = ".".join((*package[: len(package) - node.level + 1], *filter(None, [node.module])))
            yield module, node.lineno
            yield from ((f"{module}.{alias.name}", node.lineno) for alias in node.names)


def _at_import(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or _is_for_types(child):
            continue
        yield child
        yield from _at_import(child)


def _is_for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def _wrong(paths: list[Path], forbidden: tuple[str, ...], *, top_level: bool = False) -> list[str]:
    return [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in paths
        for name, line in _imports(path, top_level=top_level)
        if name.partition(".")[0] in forbidden
    ]


def _without(paths: list[Path], *allowed: str) -> list[Path]:
    """Those that are not under one of these: "worker/" a folder, "bot/platforms/web" a module or a package."""
    return [
        path for path in paths if not any(_is_under(path.relative_to(ROOT).as_posix(), prefix) for prefix in allowed)
    ]


def _is_under(path: str, prefix: str) -> bool:
    return path.startswith(f"{prefix.rstrip('/')}/") or path == f"{prefix}.py" or path == prefix


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_no_other_room(room: str) -> None:
    others = tuple(other for other in (*ROOMS, "demo", "migrations", "tests") if other != room)

    assert _wrong(_modules(room), others) == []


def test_the_corridor_opens_no_room_when_it_is_imported() -> None:
    rooms = (*ROOMS, "demo", "migrations", "tests")

    assert _wrong(_modules("snaplabel"), rooms, top_level=True) == []


def test_only_the_front_door_knows_rooms_at_all() -> None:
    # The command line and `up` call a room when they are told to; nothing else in the corridor may.
    corridor = _without(
        _modules("snaplabel"),
        "snaplabel/cli",
        "snaplabel/services",
        "snaplabel/up",
        "snaplabel/commands/",
    )

    assert _wrong(corridor, (*ROOMS, "demo", "tests")) == []


@pytest.mark.parametrize("library", LIBRARIES)
def test_only_its_own_platform_knows_a_chat_library(library: str) -> None:
    ours = _without(_modules("snaplabel", "demo", "migrations", *ROOMS), LIBRARIES[library])

    assert _wrong(ours, (library,)) == []


def test_platforms_do_not_know_each_other() -> None:
    folder = ROOT / "bot" / "platforms"
    names = {path.stem if path.is_file() else path.name for path in folder.iterdir() if path.suffix in (".py", "")}
    names -= {"__init__", "__pycache__"}
    for name in names:
        own = [path for path in _modules("bot/platforms") if _is_under(path.relative_to(folder).as_posix(), name)]
        others = tuple(f"bot.platforms.{other}" for other in names - {name})
        found = [(path, module) for path in own for module, _ in _imports(path) if module.startswith(others)]
        assert found == [], name


def test_only_worker_and_trainer_know_the_networks() -> None:
    others = _modules("snaplabel", "bot", "migrations", "demo")

    assert _wrong(others, ("torch", "torchvision", "openvino", "scipy", "matplotlib")) == []


def test_only_the_queue_and_the_worker_know_celery() -> None:
    others = _without(_modules("snaplabel", "demo", "migrations", *ROOMS), "snaplabel/queue", "worker/")

    assert _wrong(others, ("celery", "kombu")) == []


def test_nothing_is_pickled_anywhere() -> None:
    forbidden = ("pickle", "dill", "cloudpickle", "joblib", "marshal", "shelve")
    for path in _modules("snaplabel", "demo", "migrations", *ROOMS):
        found = list(_imports(path))
        # The name of an error is all that may be known of pickle: torch raises it for a file that it refuses.
        harmless = {line for name, line in found if name == "pickle.UnpicklingError"}
        wrong = [name for name, line in found if name.partition(".")[0] in forbidden and line not in harmless]
        assert wrong == [], path


def test_the_bot_loads_no_network_library() -> None:
    code = (
        "import importlib, pkgutil, sys\n"
        "import bot.run, bot.platforms\n"
        "for found in pkgutil.iter_modules(bot.platforms.__path__, 'bot.platforms.'):\n"
        "    importlib.import_module(found.name)\n"
        "loaded = {name.partition('.')[0] for name in sys.modules}\n"
        "print(sorted(loaded & {'torch', 'torchvision', 'openvino', 'scipy', 'matplotlib', 'worker', 'trainer'}))\n"
    )

    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.strip() == "[]"


def test_importing_settings_reads_and_loads_nothing() -> None:
    code = "import sys, snaplabel.cli, snaplabel.settings; print('sqlalchemy' in sys.modules, 'rich' in sys.modules)"

    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60)

    assert ran.stdout.split() == ["False", "False"], ran.stderr
