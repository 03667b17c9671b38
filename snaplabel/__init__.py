"""The corridor: what every room of the house shares, and the command line."""

import sys

__version__ = "0.1.0"

# OpenVINO reports each import to Google Analytics when this package is there, and asks nobody. It does without.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
