"""kafka-python's own integration tests, which lie in its source archive, against our broker."""

import importlib.metadata
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from harness import upstream
from harness.paths import TOOLS
from harness.topics import nodes

HERE = Path(__file__).resolve().parent


def sources():
    """The unpacked source archive of the installed version; downloaded once."""
    version = importlib.metadata.version("kafka-python")
    folder = TOOLS / "sources" / f"kafka_python-{version}"
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary", ":all:",
             "--disable-pip-version-check", "--dest", str(folder.parent), f"kafka-python=={version}"],
            check=True,
        )
        with tarfile.open(folder.parent / f"{folder.name}.tar.gz") as archive:
            archive.extractall(folder.parent, filter="data")
    # The archive leaves out what makes its tests importable.
    (folder / "test" / "__init__.py").touch()
    shutil.copy(HERE / "service.py", folder / "test" / "service.py")
    return folder


@pytest.mark.timeout(900)
def test_the_integration_tests_of_kafka_python(kafka_address):
    folder = sources()
    upstream.run(
        HERE,
        ["-p", "copies", "-p", "subscribed", str(folder / "test" / "integration")],
        {"KAFKA_URI": f"kafka://{kafka_address.split(',')[0]}", "KAFKA_VERSION": "4.3", "KAFKA_ROOT": str(folder)},
        python_path=[folder, HERE],
        ledger="allowed.txt" if nodes() == 1 else "allowed-cluster.txt",
    )
