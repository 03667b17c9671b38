"""OpenVINO reports its use to others unless it is kept from it; nothing here may phone home."""

import os
import subprocess
import sys
from pathlib import Path

IMPORTS = """
import sys
import worker.runtimes, trainer.network, openvino, openvino.frontend
print([name for name in sys.modules if name.startswith("openvino_telemetry.")])
"""


def test_importing_the_runtime_reports_nothing_and_leaves_nothing_in_the_home(tmp_path: Path) -> None:
    environ = {**os.environ, "HOME": str(tmp_path)}

    done = subprocess.run([sys.executable, "-c", IMPORTS], env=environ, capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
    assert list(tmp_path.iterdir()) == []
