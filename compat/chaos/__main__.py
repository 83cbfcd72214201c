"""`python -m chaos --rounds N`: starts three nodes and the load, strikes, repairs, judges, and reports.

It exits with 1 if anything acknowledged was lost or duplicated, or any other promise was broken; the nodes' folders are
kept then. The seed decides which faults come in which order, not what the machine makes of them.
"""

import argparse
import logging
import random
import shutil
import sys
import time
from pathlib import Path

from confluent_kafka import KafkaException
from kazoo.exceptions import KazooException
from kazoo.handlers.threading import KazooTimeoutError

from chaos import faults, oracles
from chaos.load import ORDERED, PLAIN, Load
from chaos.producers import PARTITIONS
from chaos.report import Report
from harness.cluster import Cluster
from harness.node import NodeError
from harness.paths import ROOT

CALM_SECONDS = 1.0
RECOVERY_SECONDS = 60.0

SETTINGS = {
    # Sessions and replicas are given up within the few seconds that a fault lasts.
    "tickTime": "2000",
    "zookeeper.session.timeout.ms": "4000",
    "replica.lag.time.max.ms": "4000",
    # A node that comes back with an empty disk takes its place by itself.
    "controller.quorum.auto.join.enable": "true",
    # Snapshots and segments change under load, too.
    "zookeeper.snapCount": "5000",
}


def say(text):
    """A line of progress."""
    print(text, flush=True)


def play_round(cluster, load, fault, chance, report):
    """One round; returns what was found."""
    begun = time.monotonic()
    load.open()
    time.sleep(CALM_SECONDS)
    load.begin_measuring()
    problems = []
    try:
        fault.strike(cluster, chance, say)
        repaired = time.monotonic()
        cluster.wait_whole(RECOVERY_SECONDS)
        cluster.wait_in_sync([ORDERED, PLAIN], RECOVERY_SECONDS)
        healed = time.monotonic() - repaired
    except (AssertionError, NodeError) as error:
        problems.append(f"no recovery: {error}")
        healed = time.monotonic() - begun
    time.sleep(CALM_SECONDS / 2)
    problems += load.quiet()
    outages = load.outages()
    try:
        problems += load.check()
    except (AssertionError, NodeError) as error:
        problems.append(f"cannot be judged: {error}")
    report.round(fault.name, outages, healed, problems)
    worst = ", ".join(f"{kind} {seconds:.1f} s" for kind, seconds in sorted(outages.items()))
    say(f"  took {time.monotonic() - begun:.1f} s, whole {healed:.1f} s after the repair; longest outages: {worst}")
    for problem in problems[:20]:
        say(f"  PROBLEM {problem}")
    return problems


def judge_disks(cluster):
    """Stops the nodes cleanly and compares the logs of every partition on their disks."""
    problems = []
    # A follower may need a moment for the last high watermark, none for the last batch: all were in sync.
    for number in cluster.ids:
        code = cluster.terminate(number)
        if code != 0:
            problems.append(f"node {number} ended its clean stop with {code}")
    for topic in (ORDERED, PLAIN):
        for partition in range(PARTITIONS):
            copies = {}
            for number in cluster.ids:
                files = sorted((cluster.nodes[number].data / f"{topic}-{partition}").glob("*.log"))
                copies[number] = b"".join(file.read_bytes() for file in files)
            problems += oracles.judge_replicas(f"{topic}-{partition}", copies)
    return problems


def run(options):
    """All rounds; returns the report."""
    chance = random.Random(options.seed)
    folder = ROOT / "target" / "chaos" / str(options.seed)
    shutil.rmtree(folder, ignore_errors=True)
    report = Report(options.seed, options.nodes)
    cluster = Cluster(options.nodes, SETTINGS, proxied=True, folder=folder)
    try:
        cluster.start()
        load = Load(cluster)
        chosen = [fault for fault in faults.known() if fault.name == options.fault]
        dealt = faults.deal(chance, alone=options.nodes == 1)
        for number in range(1, options.rounds + 1):
            fault = chance.choice(chosen) if chosen else next(dealt)
            say(f"round {number} of {options.rounds}")
            if play_round(cluster, load, fault, chance, report) and not options.keep_going:
                break
        load.end()
        report.verdict = load.verdict()
        if not report.problems:
            report.problems += judge_disks(cluster)
    except (AssertionError, NodeError) as error:
        report.problems.append(str(error))
    finally:
        cluster.close()
    if not report.problems:
        shutil.rmtree(folder, ignore_errors=True)
    else:
        say(f"the nodes' folders are in {folder}")
    return report


def main():
    """The command line."""
    parser = argparse.ArgumentParser(prog="chaos", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--nodes", type=int, default=3)
    parser.add_argument("--fault", choices=sorted({fault.name for fault in faults.known()}), help="only this one")
    parser.add_argument("--keep-going", action="store_true", help="play all rounds even if one finds something")
    parser.add_argument("--report", type=Path, help="also write the report to this file")
    options = parser.parse_args()
    # Lost connections are what this is about.
    logging.getLogger("kazoo").setLevel(logging.CRITICAL)
    say(f"seed {options.seed}")
    report = run(options)
    text = report.text()
    say(text)
    if options.report:
        options.report.write_text(text + "\n")
    sys.exit(1 if report.problems else 0)


if __name__ == "__main__":
    main()
