"""What benchmarks start from: the shared photos and weights, settings with a home of their own, a table, a file."""

import json
import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from snaplabel.settings import Settings, read

ROOT = Path(__file__).parent.parent


def photos() -> Path:
    """Folder with real photos, a set per folder with train/ and test/; ends the script with a sentence without it."""
    folder = Path(os.environ.get("SNAPLABEL_TEST_DATA") or ROOT / "../shared/data").resolve()
    if not folder.is_dir():
        sys.exit(f"There are no photos in {folder}; SNAPLABEL_TEST_DATA names their folder.")
    return folder


def weights() -> Path:
    """Pretrained weights of the default backbone; ends the script with a sentence without them."""
    beside = sorted((ROOT / "../shared/weights").glob("mobilenet_v2*.safetensors"))
    given = os.environ.get("SNAPLABEL_WEIGHTS") or (str(beside[0].resolve()) if beside else "")
    if not given or not Path(given).is_file():
        sys.exit("There are no pretrained weights; SNAPLABEL_WEIGHTS names a .safetensors file.")
    return Path(given)


def settings(home: Path, **variables: str) -> Settings:
    """Settings that know nothing of this machine's environment. variables: without their SNAPLABEL_."""
    named = {f"SNAPLABEL_{name}": value for name, value in variables.items()}
    return read({"SNAPLABEL_HOME": str(home), **named}, dotenv=home / "no.env")


def table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines of columns, the first flush left and the others right."""
    cells = [[str(cell) for cell in row] for row in (headers, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(headers))]
    lines = [
        "  ".join(f"{cell:<{width}}" if n == 0 else f"{cell:>{width}}" for n, (cell, width) in enumerate(together))
        for together in (list(zip(row, widths, strict=True)) for row in cells)
    ]
    return "\n".join([lines[0], "-" * len(lines[0]), *lines[1:]])


def write(path: Path | None, figures: dict[str, Any]) -> None:
    """The figures as JSON, with what they were measured on; nothing without a path."""
    if path is None:
        return
    machine = {"cores": os.cpu_count(), "processor": platform.processor() or platform.machine()}
    path.write_text(json.dumps({"machine": machine, **figures}, indent=1) + "\n")
    print(f"Figures: {path}")
