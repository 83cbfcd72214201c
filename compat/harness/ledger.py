"""A pytest plugin for somebody else's suite: it runs the tests of an allow-list and holds them to it.

`--ledger FILE` names the list, one `file.py::Class::test` a line, sorted. A listed test that fails or is gone fails the run.
`--ledger-all` also runs the tests that are not listed; their failures are forgiven, and those that pass are printed, to be
added. The list only grows; FINDINGS.md beside it explains the tests that are not in it.
"""

from pathlib import Path

import pytest


def pytest_addoption(parser):
    """Adds the two options."""
    group = parser.getgroup("ledger")
    group.addoption("--ledger", type=Path, help="the allow-list")
    group.addoption("--ledger-all", action="store_true", help="run the tests that are not listed too")


def pytest_configure(config):
    """Starts the account if a list was named."""
    if config.getoption("--ledger"):
        config.pluginmanager.register(Ledger(config), "ledger-account")


def short_id(item):
    """`test_a.py::T::test_b`: the test's id with the file's name for its path."""
    return f"{item.path.name}::{item.nodeid.partition('::')[2]}"


def read(path):
    """The listed tests; blank lines and comments are left out."""
    lines = (line.strip() for line in path.read_text().splitlines())
    return [line for line in lines if line and not line.startswith("#")]


class Ledger:
    """What was listed, what ran, and how it ended."""

    def __init__(self, config):
        self.run_all = config.getoption("--ledger-all")
        listed = read(config.getoption("--ledger"))
        self.listed = set(listed)
        self.disorder = listed != sorted(self.listed)
        self.missing = set()
        self.outcome = {}

    def pytest_collection_modifyitems(self, config, items):
        """Leaves out what is not listed."""
        known = {short_id(item) for item in items}
        self.missing = self.listed - known
        if self.run_all:
            return
        chosen = [item for item in items if short_id(item) in self.listed]
        config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
        items[:] = chosen

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item):
        """Notes the outcome; forgives a test that is not listed."""
        report = yield
        name = short_id(item)
        worst = self.outcome.get(name, "passed")
        if report.failed or (report.skipped and worst == "passed"):
            worst = report.outcome
        self.outcome[name] = worst
        if report.failed and name not in self.listed:
            report.outcome = "skipped"
            report.longrepr = (str(item.path), 0, f"not listed, and failed: {str(report.longrepr)[-300:]}")
        return report

    def pytest_sessionfinish(self, session):
        """A listed test that is gone or was skipped is a failure too."""
        if self.missing or self.disorder or self.not_run():
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def not_run(self):
        """Listed tests that were skipped."""
        return sorted(name for name in self.listed if self.outcome.get(name) == "skipped")

    def pytest_terminal_summary(self, terminalreporter):
        """Prints the account."""
        write = terminalreporter.write_line
        for name in sorted(self.missing):
            write(f"LEDGER listed, but gone: {name}")
        for name in self.not_run():
            write(f"LEDGER listed, but skipped: {name}")
        if self.disorder:
            write("LEDGER the list is not sorted, or names a test twice")
        passed = {name for name, outcome in self.outcome.items() if outcome == "passed"}
        for name in sorted(passed - self.listed):
            write(f"LEDGER passes, add it: {name}")
        if self.run_all:
            for name in sorted(set(self.outcome) - passed - self.listed):
                write(f"LEDGER {self.outcome[name]}, not listed: {name}")
        write(f"LEDGER {len(passed & self.listed)} of {len(self.listed)} listed tests pass")
