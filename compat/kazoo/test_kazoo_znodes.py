"""Znodes through kazoo: every way to create one, stats, versions, and what is refused."""

import re
import time

import pytest
from kazoo.exceptions import (
    BadArgumentsError,
    BadVersionError,
    NoChildrenForEphemeralsError,
    NodeExistsError,
    NoNodeError,
    NotEmptyError,
)
from kazoo.protocol.states import KeeperState

from harness.topics import nodes


def test_create_get_set_delete(zk, base):
    path = zk.create(f"{base}/a", b"one")
    assert path == f"{base}/a"
    data, stat = zk.get(path)
    assert (data, stat.version, stat.cversion, stat.aversion, stat.dataLength) == (b"one", 0, 0, 0, 3)
    assert stat.czxid == stat.mzxid == stat.pzxid
    assert stat.ctime == stat.mtime
    assert abs(stat.ctime / 1000 - time.time()) < 60
    changed = zk.set(path, b"second")
    assert (changed.version, changed.dataLength) == (1, 6)
    assert changed.mzxid > stat.mzxid and changed.czxid == stat.czxid
    zk.delete(path)
    assert zk.exists(path) is None


def test_create2_returns_the_stat(zk, base):
    path, stat = zk.create(f"{base}/a", b"data", include_data=True)
    assert path == f"{base}/a"
    assert stat == zk.exists(path)


def test_empty_and_missing_data_differ(zk, base):
    zk.create(f"{base}/empty", b"")
    assert zk.get(f"{base}/empty")[0] == b""
    assert zk.exists(f"{base}/empty").dataLength == 0


def test_one_mebibyte_less_a_bit_fits_and_two_do_not(zk_client, zk, base):
    zk.create(f"{base}/big", b"x" * 1_000_000)
    assert len(zk.get(f"{base}/big")[0]) == 1_000_000
    other = zk_client()
    lost = []
    other.add_listener(lambda state: lost.append(state))
    with pytest.raises(Exception):
        other.set(f"{base}/big", b"x" * 2_000_000)
    assert zk.exists(f"{base}/big").version == 0


def test_ephemeral_nodes_know_their_owner_and_have_no_children(zk, base):
    path = zk.create(f"{base}/e", ephemeral=True)
    assert zk.exists(path).ephemeralOwner == zk.client_id[0]
    with pytest.raises(NoChildrenForEphemeralsError):
        zk.create(f"{path}/child")


def test_sequences_count_creations_and_never_reuse(zk, base):
    first = zk.create(f"{base}/s-", sequence=True)
    assert first == f"{base}/s-0000000000"
    zk.create(f"{base}/plain")
    zk.delete(first)
    assert zk.create(f"{base}/s-", sequence=True) == f"{base}/s-0000000002"
    assert zk.create(f"{base}/s-", sequence=True, ephemeral=True) == f"{base}/s-0000000003"


def test_a_sequence_may_have_only_its_number_as_name(zk, base):
    assert zk.create(f"{base}/", sequence=True) == f"{base}/0000000000"


def test_parent_stat_follows_its_children(zk, base):
    before = zk.exists(base)
    zk.create(f"{base}/a")
    zk.create(f"{base}/b")
    zk.delete(f"{base}/a")
    after = zk.exists(base)
    assert after.numChildren == 1
    # Visible cversion: every creation and every deletion counts.
    assert after.cversion == before.cversion + 3
    assert after.pzxid > before.pzxid
    assert (after.version, after.mzxid) == (before.version, before.mzxid)
    zk.set(f"{base}/b", b"x")
    assert zk.exists(base) == after


def test_get_children_with_stat(zk, base):
    for child in ("b", "a", "c"):
        zk.create(f"{base}/{child}")
    assert sorted(zk.get_children(base)) == ["a", "b", "c"]
    children, stat = zk.get_children(base, include_data=True)
    assert sorted(children) == ["a", "b", "c"]
    assert stat == zk.exists(base)


def test_versions_guard_set_and_delete(zk, base):
    path = zk.create(f"{base}/v", b"0")
    zk.set(path, b"1", version=0)
    with pytest.raises(BadVersionError):
        zk.set(path, b"2", version=0)
    with pytest.raises(BadVersionError):
        zk.delete(path, version=0)
    assert zk.get(path)[0] == b"1"
    zk.delete(path, version=1)


def test_refusals(zk, base):
    zk.create(f"{base}/p")
    zk.create(f"{base}/p/c")
    with pytest.raises(NodeExistsError):
        zk.create(f"{base}/p")
    with pytest.raises(NoNodeError):
        zk.create(f"{base}/missing/child")
    with pytest.raises(NoNodeError):
        zk.get(f"{base}/missing")
    with pytest.raises(NoNodeError):
        zk.set(f"{base}/missing", b"")
    with pytest.raises(NoNodeError):
        zk.get_children(f"{base}/missing")
    with pytest.raises(NoNodeError):
        zk.delete(f"{base}/missing")
    with pytest.raises(NotEmptyError):
        zk.delete(f"{base}/p")


@pytest.mark.parametrize("protected", ["/", "/zookeeper", "/zookeeper/quota", "/zookeeper/config"])
def test_the_systems_own_znodes_cannot_be_deleted(zk, protected):
    before = zk.exists(protected)
    with pytest.raises((BadArgumentsError, NotEmptyError)):
        zk.delete(protected)
    assert zk.exists(protected) == before


def test_makepath_and_recursive_delete(zk, base):
    zk.create(f"{base}/x/y/z", b"deep", makepath=True)
    assert zk.get(f"{base}/x/y/z")[0] == b"deep"
    assert zk.get(f"{base}/x/y")[0] == b""
    zk.ensure_path(f"{base}/x/y/w")
    zk.delete(f"{base}/x", recursive=True)
    assert zk.get_children(base) == []


def test_names_are_unicode(zk, base):
    zk.create(f"{base}/grüße-журнал-日誌", "世界".encode())
    assert zk.get_children(base) == ["grüße-журнал-日誌"]


def test_sync_returns_its_path(zk, base):
    assert zk.sync(base) == base


def test_chroot_is_the_clients_affair(zk, zk_client, zk_door, base):
    inside = zk_client(hosts=f"{zk_door}{base}")
    assert inside.create("/a", b"1") == "/a"
    assert zk.get(f"{base}/a")[0] == b"1"
    assert inside.get_children("/") == ["a"]


def test_requests_of_one_session_are_answered_in_order(zk, base):
    path = zk.create(f"{base}/n", b"0")
    answers = []
    pending = []
    for number in range(200):
        pending.append(zk.set_async(path, str(number).encode()))
        pending.append(zk.get_async(path))
    for number in range(200):
        written = pending[2 * number].get(20)
        data, stat = pending[2 * number + 1].get(20)
        answers.append((data, stat.version - written.version))
    assert answers == [(str(number).encode(), 0) for number in range(200)]


def test_the_connection_is_read_write(zk):
    assert zk.client_state == KeeperState.CONNECTED


def test_four_letter_words(zk):
    assert zk.command(b"ruok") == "imok"
    assert "Zxid: 0x" in zk.command(b"srvr")
    modes = ("standalone",) if nodes() == 1 else ("leader", "follower")
    (mode,) = re.findall(r"^Mode: (\w+)$", zk.command(b"srvr"), re.MULTILINE)
    assert mode in modes
    monitored = dict(line.split("\t", 1) for line in zk.command(b"mntr").splitlines() if "\t" in line)
    assert int(monitored["zk_znode_count"]) >= 4
    assert int(monitored["zk_num_alive_connections"]) >= 1
    assert monitored["zk_server_state"] == mode
    for word, part in [
        (b"stat", "Clients:"),
        (b"conf", "clientPort="),
        (b"cons", "sid=0x"),
        (b"envi", "Environment:"),
        (b"wchs", "Total watches:"),
        (b"dump", "Session"),
        (b"isro", "rw"),
    ]:
        assert part in zk.command(word), word


def test_the_servers_version_is_understood(zk):
    assert zk.server_version() >= (3, 5)
