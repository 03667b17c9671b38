"""Looks up every pinned package in PyPI's list of known vulnerabilities: `make audit`, and as a warning `make check`.

Exit code 1 when one is known; 0 when none is, and, with a line that says so, when the list can't be reached.
"""

import json
import subprocess
import sys
from pathlib import Path

CONSTRAINTS = Path(__file__).with_name("constraints.txt")
# Of the whole look-up; a network that lets nothing through must not hold up a check.
WITHIN_S = 30
ONLY_WARN = "--only-warn"


def main() -> int:
    # --no-deps, --disable-pip: the file names everything, so nothing has to be resolved or downloaded.
    options = ("--no-deps", "--disable-pip", "--progress-spinner=off", "--format=json", "--timeout=10")
    command = (sys.executable, "-m", "pip_audit", *options, "--requirement", str(CONSTRAINTS))
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=WITHIN_S, check=False)  # noqa: S603  ours
        packages = json.loads(ran.stdout)["dependencies"]
    except subprocess.TimeoutExpired:
        return _skipped(f"PyPI did not answer within {WITHIN_S} s")
    except (ValueError, KeyError):
        return _skipped(((ran.stderr.strip() or "no answer").splitlines())[-1][:200])
    known = [package for package in packages if "vulns" in package]
    if not known:
        return _skipped(f"none of {len(packages)} packages is in the list that can be reached from here")
    found = [(package, vulnerability) for package in known for vulnerability in package["vulns"]]
    for package, vulnerability in found:
        mended = ", ".join(vulnerability["fix_versions"]) or "nothing yet"
        _say(f"audit: {package['name']} {package['version']}: {vulnerability['id']}, mended in {mended}")
    unknown = len(packages) - len(known)
    _say(f"audit: {len(known)} packages looked up, {len(found)} known vulnerabilities; {unknown} not in the list.")
    return 1 if found and ONLY_WARN not in sys.argv else 0


def _skipped(why: str) -> int:
    _say(f"audit: skipped, {why}.")
    return 0


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")


if __name__ == "__main__":
    sys.exit(main())
