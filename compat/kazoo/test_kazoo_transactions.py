"""Transactions through kazoo: all or nothing, one zxid, and the result of every operation."""

import pytest
from kazoo.exceptions import (
    BadVersionError,
    NodeExistsError,
    NoNodeError,
    RolledBackError,
    RuntimeInconsistency,
)


def test_all_operations_share_one_zxid(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/a", b"1")
    transaction.create(f"{base}/a/b", b"2")
    transaction.set_data(f"{base}/a", b"3")
    transaction.check(f"{base}/a", 1)
    results = transaction.commit()
    assert results[0] == f"{base}/a"
    assert results[1] == f"{base}/a/b"
    assert results[2].version == 1
    assert results[3] is True
    first, second = zk.exists(f"{base}/a"), zk.exists(f"{base}/a/b")
    assert first.czxid == first.mzxid == second.czxid == first.pzxid
    assert zk.get(f"{base}/a")[0] == b"3"


def test_a_failure_undoes_everything_and_says_where(zk, base):
    zk.create(f"{base}/there", b"0")
    before = zk.exists(base)
    transaction = zk.transaction()
    transaction.create(f"{base}/new")
    transaction.create(f"{base}/there")
    transaction.set_data(f"{base}/there", b"1")
    results = transaction.commit()
    assert [type(result) for result in results] == [RolledBackError, NodeExistsError, RuntimeInconsistency]
    assert zk.exists(base) == before
    assert zk.exists(f"{base}/new") is None
    assert zk.get(f"{base}/there")[0] == b"0"


def test_a_failure_gives_the_sequence_number_back(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/s-", sequence=True)
    transaction.delete(f"{base}/missing")
    assert [type(result) for result in transaction.commit()] == [RolledBackError, NoNodeError]
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000000"


def test_a_check_guards_a_write(zk, base):
    path = zk.create(f"{base}/v", b"0")
    zk.set(path, b"1")
    transaction = zk.transaction()
    transaction.check(path, 0)
    transaction.set_data(path, b"2")
    assert [type(result) for result in transaction.commit()] == [BadVersionError, RuntimeInconsistency]
    transaction = zk.transaction()
    transaction.check(path, 1)
    transaction.set_data(path, b"2")
    assert transaction.commit()[1].version == 2


def test_later_operations_see_earlier_ones(zk, base):
    transaction = zk.transaction()
    transaction.create(f"{base}/a")
    transaction.delete(f"{base}/a")
    transaction.create(f"{base}/a", b"again")
    assert transaction.commit()[2] == f"{base}/a"
    assert zk.get(f"{base}/a")[0] == b"again"


def test_sequences_within_a_transaction(zk, base):
    transaction = zk.transaction()
    for _ in range(3):
        transaction.create(f"{base}/s-", sequence=True, ephemeral=True)
    assert transaction.commit() == [f"{base}/s-000000000{number}" for number in range(3)]
    owners = {zk.exists(f"{base}/{child}").ephemeralOwner for child in zk.get_children(base)}
    assert owners == {zk.client_id[0]}


def test_an_empty_transaction(zk):
    assert zk.transaction().commit() == []


def test_a_thousand_operations(zk, base):
    transaction = zk.transaction()
    for number in range(1000):
        transaction.create(f"{base}/n{number}", b"x" * 100)
    results = transaction.commit()
    assert len(results) == 1000
    stats = {zk.exists(f"{base}/n{number}").czxid for number in (0, 500, 999)}
    assert len(stats) == 1


def test_a_version_that_is_off_fails_the_right_operation(zk, base):
    zk.create(f"{base}/a")
    zk.create(f"{base}/b")
    transaction = zk.transaction()
    transaction.set_data(f"{base}/a", b"1", version=0)
    transaction.set_data(f"{base}/b", b"1", version=7)
    results = transaction.commit()
    assert isinstance(results[1], BadVersionError)
    with pytest.raises(BadVersionError):
        raise results[1]
    assert zk.exists(f"{base}/a").version == 0
