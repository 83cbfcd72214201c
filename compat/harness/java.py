"""Runs Apache's Java programs: servers to compare with, and tools to face ours."""

import subprocess
import tempfile

from harness.paths import jars

# A tool lives for seconds: compile little, share classes, and leave the memory to the others.
TOOL_OPTIONS = ["-Xmx256m", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto"]


def command(jar_set, main_class, *arguments, options=(), class_path=()):
    """The command line of one program."""
    path = ":".join([*map(str, class_path), jars(jar_set)])
    return ["java", *TOOL_OPTIONS, *options, "-cp", path, main_class, *map(str, arguments)]


def run(jar_set, main_class, *arguments, stdin="", timeout=120, options=(), class_path=(), check=True, merge=False):
    """Runs a tool to its end; returns the completed process with its output as text, errors among it if `merge`."""
    line = command(jar_set, main_class, *arguments, options=options, class_path=class_path)
    with tempfile.TemporaryDirectory(prefix="zoolog-tool-") as folder:
        errors = subprocess.STDOUT if merge else subprocess.PIPE
        done = subprocess.run(
            line, input=stdin, stdout=subprocess.PIPE, stderr=errors, text=True, timeout=timeout, cwd=folder)
    if check and done.returncode != 0:
        raise AssertionError(
            f"{main_class} {' '.join(map(str, arguments))} ended with {done.returncode}\n{done.stdout}\n{done.stderr}"
        )
    return done
