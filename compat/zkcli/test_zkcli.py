"""The command line of Apache ZooKeeper 3.9.5 against our server; each test feeds one JVM a list of commands."""

import re
import uuid

import pytest

from harness import java
from harness.waiting import wait_until

MAIN = "org.apache.zookeeper.ZooKeeperMain"


class Cli:
    """Runs commands in one session and gives the output of each.

    `events` are the watch events of the last run as (type, path). A thread of its own prints them, so which command's output
    they fall into is chance, and their order is not.
    """

    def __init__(self, address):
        self.address = address

    def __call__(self, *commands):
        marked = []
        for number, command in enumerate(commands):
            # A marker's error message stands between the outputs of two commands.
            marked += [command, f"get /--mark-{number}"]
        done = java.run("zookeeper-3.9.5", MAIN, "-server", self.address, stdin="\n".join([*marked, "quit", ""]), merge=True, check=False)
        self.events = re.findall(r"WatchedEvent state:SyncConnected type:(\w+) path:(/\S+)", done.stdout)
        outputs = []
        rest = done.stdout.split("type:None path:null zxid: -1\n", 1)[1]
        for number in range(len(commands)):
            output, _, rest = rest.partition(f"Node does not exist: /--mark-{number}\n")
            outputs.append(output.strip())
        return outputs


def field(output, name):
    """One field of a printed stat."""
    return re.search(rf"^{name} = (.*)$", output, re.MULTILINE).group(1)


@pytest.fixture
def cli(zk_address):
    return Cli(zk_address)


@pytest.fixture
def path():
    return f"/cli-{uuid.uuid4().hex[:10]}"


def test_create_in_every_mode(cli, path):
    out = cli(
        f"create {path} data",
        f"create -s {path}/s- x",
        f"create -e {path}/e y",
        f"create -e -s {path}/es-",
        f"create -c {path}/c",
        f"ls {path}",
        f"ls -R {path}",
        f"stat {path}/c",
        f"create {path} again",
        f"create {path}/e/child",
        f"create {path}/missing/child",
        "create /bad//path",
        f"deleteall {path}",
        f"ls {path}",
    )
    assert out[:5] == [
        f"Created {path}",
        f"Created {path}/s-0000000000",
        f"Created {path}/e",
        f"Created {path}/es-0000000002",
        f"Created {path}/c",
    ]
    assert out[5] == "[c, e, es-0000000002, s-0000000000]"
    assert out[6].splitlines() == [path, *(f"{path}/{child}" for child in ("c", "e", "es-0000000002", "s-0000000000"))]
    # A container's owner is a mark in storage only.
    assert field(out[7], "ephemeralOwner") == "0x0"
    assert out[8] == f"Node already exists: {path}"
    assert out[9] == f"Ephemerals cannot have children: {path}/e/child"
    assert out[10] == f"Node does not exist: {path}/missing/child"
    assert "Invalid path string" in out[11]
    assert out[13] == f"Node does not exist: {path}"


def test_ephemerals_go_with_their_session(cli, zk, path):
    assert cli(f"create -e {path}")[0] == f"Created {path}"
    wait_until(lambda: zk.exists(path) is None, what="the ephemeral to go")


def test_containers_are_reaped_when_empty(cli, new_node):
    node = new_node({"znode.container.checkIntervalMs": "200"}).start()
    own = Cli(node.zk)
    out = own("create -c /c", "create /c/child", "delete /c/child", "create -c /never-used", "ls /never-used")
    assert out[0] == "Created /c"
    wait_until(lambda: "c" not in own("ls /")[0].strip("[]").split(", "), what="the container to be reaped")
    assert own("ls /never-used")[0] == "[]"


def test_ttl_nodes_need_extended_types(new_node):
    plain = Cli(new_node().start().zk)
    assert "KeeperErrorCode = Unimplemented" in plain("create -t 60000 /t")[0]
    settings = {"zookeeper.extendedTypesEnabled": "true", "znode.container.checkIntervalMs": "200"}
    extended = Cli(new_node(settings).start().zk)
    out = extended("create -t 300 /t x", "create -s -t 60000 /t-", "create -t 60000 /long", "stat /long")
    assert (out[0], out[2]) == ("Created /t", "Created /long")
    assert re.fullmatch(r"Created /t-\d{10}", out[1])
    assert field(out[3], "ephemeralOwner") == "0x0"
    wait_until(lambda: "t" not in extended("ls /")[0].strip("[]").split(", "), what="the node to outlive its time")
    assert "long" in extended("ls /")[0]


def test_stats_and_versions(cli, path):
    out = cli(
        f"create {path} data",
        f"stat {path}",
        f"set -s {path} changed",
        f"set -v 0 {path} no",
        f"get {path}",
        f"get -s {path}",
        f"delete -v 7 {path}",
        f"ls -s {path}",
        f"getAllChildrenNumber {path}",
        f"delete -v 1 {path}",
        f"delete {path}",
        f"get {path}",
    )
    before, after = out[1], out[2]
    assert field(before, "cZxid") == field(before, "mZxid") == field(before, "pZxid") == field(after, "cZxid")
    assert int(field(after, "mZxid"), 16) > int(field(before, "mZxid"), 16)
    assert [field(after, name) for name in ("dataVersion", "cversion", "aclVersion", "dataLength", "numChildren")] == [
        "1", "0", "0", "7", "0"]
    assert out[3] == f"version No is not valid : {path}"
    assert out[4] == "changed"
    assert out[5].splitlines() == ["changed", *after.splitlines()]
    assert out[6] == f"version No is not valid : {path}"
    assert out[7].splitlines() == ["[]", *after.splitlines()]
    assert out[8] == "0"
    assert out[9] == ""
    assert out[10] == f"Node does not exist: {path}"
    assert out[11] == f"Node does not exist: {path}"


def test_acls_and_identities(cli, path):
    digest = "digest,'user:2Om+GBbT2q/tS6pdvACZbbm7/1A="
    out = cli(
        f"create {path} data",
        f"getAcl {path}",
        f"setAcl {path} world:anyone:cdrwa",
        f"getAcl -s {path}",
        "whoami",
        "addauth digest user:pw",
        "whoami",
        f"setAcl {path} auth::cdrwa",
        f"getAcl {path}",
        f"setAcl -R {path} nonsense:x:r",
    )
    assert out[1].splitlines() == ["'world,'anyone", ": cdrwa"]
    assert field(out[3], "aclVersion") == "1"
    assert "ip: 127.0.0.1" in out[4]
    assert "digest: user" in out[6]
    assert out[8].splitlines() == [f"'{digest}", ": cdrwa"]
    assert f"KeeperErrorCode = InvalidACL for {path}" in out[9]
    denied = cli(f"get {path}", f"set {path} x", f"getAcl {path}", f"delete {path}")
    assert denied[0] == f"Insufficient permission : {path}"
    assert denied[1] == f"Insufficient permission : {path}"
    assert denied[2] == f"Insufficient permission : {path}"


def test_quotas_are_set_counted_and_taken_off(cli, path):
    out = cli(
        f"create {path} 12345",
        f"create {path}/a",
        f"setquota -n 5 {path}",
        f"listquota {path}",
        f"create {path}/b xyz",
        f"listquota {path}",
        f"setquota -b 100 {path}",
        f"listquota {path}",
        f"delquota -n {path}",
        f"listquota {path}",
        f"delquota {path}",
        f"listquota {path}",
        "ls /zookeeper/quota",
        f"deleteall {path}",
    )
    assert f"Output quota for {path} count=5,bytes=-1" in out[3]
    assert f"Output stat for {path} count=2,bytes=5" in out[3]
    assert f"Output stat for {path} count=3,bytes=8" in out[5]
    assert f"Output quota for {path} count=5,bytes=100" in out[7]
    assert f"Output quota for {path} count=-1,bytes=100" in out[9]
    assert "quota for" in out[11] and "does not exist" in out[11]
    assert path.strip("/") not in out[12]


def test_one_shot_watches(cli, path):
    cli(
        f"create {path} data",
        f"stat -w {path}",
        f"set {path} 1",
        f"set {path} 2",
        f"get -w {path}",
        f"ls -w {path}",
        f"create {path}/child",
        f"create {path}/unseen",
        f"deleteall {path}",
        "sync /",
    )
    assert cli.events == [("NodeDataChanged", path), ("NodeChildrenChanged", path), ("NodeDeleted", path)]


def test_persistent_and_recursive_watches(cli, path):
    cli(
        f"create {path} data",
        f"addWatch -m PERSISTENT {path}",
        f"set {path} 1",
        f"set {path} 2",
        f"create {path}/child",
        f"set {path}/child x",
        f"removewatches {path}",
        f"set {path} 3",
        f"addWatch -m PERSISTENT_RECURSIVE {path}",
        f"set {path}/child y",
        f"create {path}/child/deep",
        f"delete {path}/child/deep",
        f"removewatches {path}",
        f"set {path}/child z",
        f"deleteall {path}",
        "sync /",
    )
    assert cli.events == [
        ("NodeDataChanged", path),
        ("NodeDataChanged", path),
        ("NodeChildrenChanged", path),
        ("PersistentWatchRemoved", path),
        ("NodeDataChanged", f"{path}/child"),
        ("NodeCreated", f"{path}/child/deep"),
        ("NodeDeleted", f"{path}/child/deep"),
        ("PersistentWatchRemoved", path),
    ]


def test_removing_watches_that_are_not_there(cli, path):
    out = cli(f"create {path}", f"removewatches {path}", f"delete {path}")
    assert f"No such watcher for {path}" in out[1]


def test_the_rest_of_the_commands(cli, path):
    out = cli(
        f"create {path} data",
        f"create -e {path}/mine",
        f"create {path}/plain",
        "getEphemerals",
        f"getEphemerals {path}/mi",
        f"getEphemerals {path}/nothing",
        f"getAllChildrenNumber {path}",
        "sync /",
        f"sync {path}",
        "config",
        "version",
        f"deleteall {path}",
    )
    assert out[3] == f"[{path}/mine]"
    assert out[4] == f"[{path}/mine]"
    assert out[5] == "[]"
    assert out[6] == "2"
    assert out[7] == out[8] == "Sync is OK"
    assert "KeeperErrorCode" not in out[9]
    assert "3.9.5" in out[10]


def test_closing_and_connecting_again(cli, zk_address, path):
    out = cli(f"create -e {path}", "close", f"connect {zk_address}", f"create {path} again", f"delete {path}")
    assert out[0] == f"Created {path}"
    # Without a connection the second marker cannot be printed, so its output runs into what follows.
    assert "Not connected" in out[1] + out[2]
    assert f"Created {path}" in "".join(out[1:])
