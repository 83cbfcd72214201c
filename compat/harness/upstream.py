"""Runs somebody else's suite with the allow-list of one of ours, in a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

COMPAT = Path(__file__).resolve().parents[1]


def run(folder, arguments, environment, python_path=(), per_test_seconds=120, ledger="allowed.txt"):
    """Runs pytest with `arguments` under `folder`/`ledger`; fails with its account unless every listed test passes.

    LEDGER_ALL=1 in the environment runs the tests that are not listed too and prints those that pass.
    """
    line = [
        sys.executable, "-m", "pytest", "-c", os.devnull, "-p", "no:cacheprovider", "-p", "harness.ledger", "-q",
        "--tb=short", "--ledger", str(Path(folder) / ledger), f"--timeout={per_test_seconds}",
    ]
    if os.environ.get("LEDGER_ALL"):
        line.append("--ledger-all")
    variables = {
        **os.environ,
        **environment,
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONPATH": os.pathsep.join([*map(str, python_path), str(COMPAT)]),
    }
    with tempfile.TemporaryDirectory(prefix="zoolog-upstream-") as scratch:
        done = subprocess.run(
            [*line, "--rootdir", scratch, *arguments],
            env=variables, cwd=scratch, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, errors="replace",
        )
    account = [text for text in done.stdout.splitlines() if text.startswith("LEDGER")]
    print("\n".join(account))
    assert done.returncode == 0, done.stdout[-20_000:]
