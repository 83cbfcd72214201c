"""README's "Run a cluster" is true to the letter."""

import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("readme.py")


@pytest.mark.timeout(400)
def test_readme_followed_to_the_letter():
    # The section names 2181 and 9092, so it gets a network in which nobody else has them.
    done = subprocess.run(
        ["unshare", "--map-root-user", "--net", sys.executable, str(PROGRAM)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=380)
    assert done.returncode == 0, done.stdout[-10_000:]
