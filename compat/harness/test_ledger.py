"""The allow-list is held: a listed test that fails, is skipped or is gone fails the run; others are forgiven."""

import pytest

from harness import upstream

SUITE = """
import pytest

def test_good(): pass
def test_bad(): assert False
def test_skipped(): pytest.skip("no")
@pytest.mark.parametrize("x", [1, 2])
def test_each(x): pass
"""


@pytest.fixture
def run(tmp_path, capsys):
    """Runs the suite under a list; returns the account, or raises."""

    def with_list(*listed):
        (tmp_path / "test_suite.py").write_text(SUITE)
        (tmp_path / "allowed.txt").write_text("# a comment\n" + "".join(f"test_suite.py::{name}\n" for name in listed))
        upstream.run(tmp_path, [str(tmp_path / "test_suite.py")], {})
        return capsys.readouterr().out

    return with_list


def test_listed_tests_that_pass(run):
    assert "LEDGER 3 of 3 listed tests pass" in run("test_each[1]", "test_each[2]", "test_good")


@pytest.mark.parametrize(("listed", "complaint"), [
    (["test_bad", "test_good"], "test_bad"),
    (["test_good", "test_skipped"], "listed, but skipped: test_suite.py::test_skipped"),
    (["test_gone", "test_good"], "listed, but gone: test_suite.py::test_gone"),
    (["test_good", "test_each[1]"], "not sorted"),
    (["test_good", "test_good"], "twice"),
])
def test_a_list_that_does_not_hold_fails(run, listed, complaint):
    with pytest.raises(AssertionError, match="LEDGER") as failed:
        run(*listed)
    assert complaint in str(failed.value)


def test_all_prints_what_could_be_added_and_forgives_the_rest(run, monkeypatch):
    monkeypatch.setenv("LEDGER_ALL", "1")
    account = run("test_good")
    assert "passes, add it: test_suite.py::test_each[1]" in account
    assert "failed, not listed: test_suite.py::test_bad" in account
    assert "skipped, not listed: test_suite.py::test_skipped" in account
    assert "LEDGER 1 of 1 listed tests pass" in account
