"""Where things are: the checkout, the server's binary, the jars that `cargo xtask` copied."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / "target" / "compat"


def server_binary():
    """The binary under test: ZOOLOG_BIN, else a release build, else a debug build."""
    chosen = os.environ.get("ZOOLOG_BIN")
    if chosen:
        return Path(chosen).resolve()
    target = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    for profile in ("release", "debug"):
        binary = target / profile / "zoolog"
        if binary.exists():
            return binary
    raise FileNotFoundError("no zoolog binary: run `cargo build --release`, or set ZOOLOG_BIN")


def jars(name):
    """The class path of one jar set, such as `kafka-4.3.1`."""
    folder = TOOLS / "jars" / name
    if not folder.is_dir():
        raise FileNotFoundError(f"the jars of {name} are missing: run the suite by `cargo xtask compat`")
    return f"{folder}/*"
