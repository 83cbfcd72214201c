"""`python -m reach`: measures a cluster of three on this machine and writes the section of bench/RESULTS.md.

Nothing fails if a goal is missed; the figures say so.
"""

import argparse
import logging
import os
import platform
from pathlib import Path

from harness.paths import ROOT
from reach import failover, partitions, writes

HEADING = "## Cluster"
RESULTS = ROOT / "bench" / "RESULTS.md"


class Report:
    """The rows in the order in which they were measured."""

    goals = {
        "kill -9 of the node that leads everything": "< 1000 ms",
        "SIGTERM of the node that leads everything": "< 200 ms",
        "writes": ">= 60 % of one node",
        "rejoin": "seconds, and writes not slowed by more than a third",
        "idle": "< 5 % of a core",
        "move": "< 2 s",
    }

    def __init__(self):
        self.rows = []

    def add(self, what, figure, goal):
        """One figure."""
        print(f"{what}: {figure}", flush=True)
        self.rows.append((what, figure, goal))

    def text(self):
        """The section."""
        lines = [
            HEADING, "",
            "Written by `cargo xtask reach`: three nodes and their clients on one machine, default settings.", "",
            f"Machine: {os.cpu_count()} cores, {memory_gib()} GiB of memory, {platform.system()} {platform.release()}.", "",
            "| what | measured | goal |", "|---|---|---|",
            *(f"| {what} | {figure} | {goal} |" for what, figure, goal in self.rows),
        ]
        return "\n".join(lines) + "\n"


def memory_gib():
    """The machine's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 30


def write(path, section):
    """Puts the section behind everything else of the file."""
    before = path.read_text().partition(HEADING)[0].rstrip("\n") if path.exists() else ""
    path.write_text(f"{before}\n\n{section}".lstrip("\n"))


def main():
    """The command line."""
    parser = argparse.ArgumentParser(prog="reach", description=__doc__.splitlines()[0])
    parser.add_argument("--only", action="append", choices=["failover", "writes", "rejoin", "partitions"])
    parser.add_argument("--rounds", type=int, default=20, help="how often the leading node is ended, each way")
    parser.add_argument("--znodes", type=int, default=writes.ZNODES)
    parser.add_argument("--topics", type=int, default=partitions.TOPICS)
    parser.add_argument("--out", type=Path, help="the file that gets the section; bench/RESULTS.md if everything is measured")
    options = parser.parse_args()
    for name in ("kazoo", "kafka"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    report = Report()
    measurements = {
        "failover": lambda: failover.run(report, options.rounds),
        "writes": lambda: writes.throughput(report),
        "rejoin": lambda: writes.rejoin(report, options.znodes),
        "partitions": lambda: partitions.run(report, options.topics),
    }
    for name, measure in measurements.items():
        if not options.only or name in options.only:
            measure()
    out = options.out or (None if options.only else RESULTS)
    if out:
        write(out, report.text())


if __name__ == "__main__":
    main()
