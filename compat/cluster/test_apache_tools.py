"""The tools of Apache Kafka 4.3.1 that are about several nodes: reassignment, elections, the quorum."""

import json
import re

from harness import topics
from harness.node import Node
from harness.waiting import wait_until

RECORDS = [(None, f"value {number}".encode() * 20) for number in range(2000)]


def reassign(tool, tmp_path, name, replicas, *options):
    """Starts a reassignment of partition 0; returns the file that the tool takes."""
    plan = tmp_path / f"plan-{'-'.join(map(str, replicas))}.json"
    plan.write_text(json.dumps({"version": 1, "partitions": [{"topic": name, "partition": 0, "replicas": replicas}]}))
    said = tool("reassign.ReassignPartitionsCommand", "--reassignment-json-file", plan, "--execute", *options)
    assert "Successfully started partition reassignment" in said, said
    return plan


def finish(tool, plan, name):
    """Waits until the tool says that it is done."""
    done = f"Reassignment of partition {name}-0 is completed."
    wait_until(lambda: done in tool("reassign.ReassignPartitionsCommand", "--reassignment-json-file", plan, "--verify"), 60, done, every=0.5)


def test_a_reassignment_moves_a_partition_with_its_records(cluster, tool, placed, state, zk, name, tmp_path):
    placed([1, 2])
    topics.produce(cluster.kafka, name, RECORDS)
    plan = reassign(tool, tmp_path, name, [2, 3], "--throttle", 50_000_000)
    finish(tool, plan, name)
    assert sorted(state(name)["isr"]) == [2, 3] and state(name)["leader"] in (2, 3)
    assert json.loads(zk.get(f"/brokers/topics/{name}")[0])["partitions"] == {"0": [2, 3]}
    assert [message.value() for message in topics.read_all(cluster.kafka, name)] == [value for _, value in RECORDS]
    # The replica that is no longer one goes from its disk, and the tool took its throttles away.
    wait_until(lambda: not (cluster.nodes[1].data / f"{name}-0").exists(), what="the old replica to go")
    assert "throttled" not in zk.get(f"/config/topics/{name}")[0].decode()
    assert "No partition reassignments found" in tool("reassign.ReassignPartitionsCommand", "--list")


def test_a_plan_is_made_for_other_brokers(tool, placed, name, tmp_path):
    placed([1], [2])
    wanted = tmp_path / "topics.json"
    wanted.write_text(json.dumps({"version": 1, "topics": [{"topic": name}]}))
    said = tool("reassign.ReassignPartitionsCommand", "--topics-to-move-json-file", wanted, "--broker-list", "3", "--generate")
    proposed = json.loads(said.split("Proposed partition reassignment configuration")[1].strip())
    assert [partition["replicas"] for partition in proposed["partitions"]] == [[3], [3]]


def test_a_preferred_leader_is_elected(tool, placed, state, name, tmp_path):
    placed([1, 2, 3])
    assert state(name)["leader"] == 1
    plan = reassign(tool, tmp_path, name, [2, 1, 3])
    finish(tool, plan, name)
    said = tool("LeaderElectionCommand", "--election-type", "preferred", "--topic", name, "--partition", 0)
    assert f"Successfully completed leader election (PREFERRED) for partitions {name}-0" in said
    assert state(name)["leader"] == 2
    said = tool("LeaderElectionCommand", "--election-type", "preferred", "--topic", name, "--partition", 0)
    assert f"Valid replica already elected for partitions {name}-0" in said


def test_an_unclean_leader_is_elected_on_request(cluster, tool, placed, state, name):
    placed([1, 2], min_insync_replicas=1)
    topics.produce(cluster.kafka, name, RECORDS[:10])
    try:
        cluster.kill(2)
        wait_until(lambda: state(name)["isr"] == [1], 60, "broker 2 to leave the in-sync replicas")
        topics.produce(cluster.kafka, name, RECORDS[10:20])
        cluster.kill(1)
        cluster.start_node(2)
        wait_until(lambda: state(name)["leader"] == -1, 60, "the partition to go offline")
        said = tool("LeaderElectionCommand", "--election-type", "unclean", "--topic", name, "--partition", 0)
        assert f"Successfully completed leader election (UNCLEAN) for partitions {name}-0" in said
        wait_until(lambda: state(name)["leader"] == 2, what="the unclean leader")
        assert len(topics.read_all(cluster.kafka, name)) == 10
    finally:
        for number in (1, 2):
            if not cluster.nodes[number].alive():
                cluster.start_node(number)
    # The one that held more cuts it off and follows.
    wait_until(lambda: sorted(state(name)["isr"]) == [1, 2], 60, "both in sync")
    cluster.wait_whole()


def replicas(said):
    """The rows of `describe --replication` by node id: {id: (directory id, status)}."""
    rows = [line.split() for line in said.splitlines()]
    return {int(row[0]): (row[1], row[-1]) for row in rows if row and row[0].isdigit()}


def test_the_quorum_is_described(cluster, tool, zk):
    leader = cluster.wait_leader()
    said = tool("MetadataQuorumCommand", "describe", "--status")
    facts = dict(re.findall(r"^(\w+):\s+(.*)$", said, re.MULTILINE))
    assert facts["ClusterId"] == json.loads(zk.get("/cluster/id")[0])["id"]
    assert int(facts["LeaderId"]) == leader
    assert int(facts["LeaderEpoch"]) >= 1 and int(facts["HighWatermark"]) > 0
    assert sorted(voter["id"] for voter in json.loads(facts["CurrentVoters"])) == [1, 2, 3]
    assert json.loads(facts["CurrentObservers"]) == []
    described = replicas(tool("MetadataQuorumCommand", "describe", "--replication"))
    assert {number: status for number, (_, status) in described.items()} == {
        number: "Leader" if number == leader else "Follower" for number in cluster.ids}


def test_a_node_joins_is_made_a_voter_and_leaves(cluster, tool, tmp_path):
    fourth = Node({"node.id": "4", "controller.quorum.bootstrap.servers": cluster.kafka}, folder=tmp_path / "node4")
    try:
        fourth.start(60)
        described = wait_until(
            lambda: (found := replicas(tool("MetadataQuorumCommand", "describe", "--replication"))).get(4) and found,
            what="the observer", every=0.5)
        directory, status = described[4]
        assert status == "Observer"
        meta = dict(line.split("=", 1) for line in (fourth.data / "meta.properties").read_text().splitlines() if "=" in line)
        assert (meta["node.id"], meta["directory.id"]) == ("4", directory)
        # What the tool wants to know of the new voter it takes from the voter's own configuration.
        config = tmp_path / "controller.properties"
        config.write_text(
            f"process.roles=controller\nnode.id=4\ncontroller.listener.names=CONTROLLER\nlisteners=CONTROLLER://{fourth.kafka}\n"
            f"advertised.listeners=CONTROLLER://{fourth.kafka}\nlog.dirs={fourth.data}\nmetadata.log.dir={fourth.data}\n"
        )
        said = tool("MetadataQuorumCommand", "--command-config", config, "add-controller")
        assert "Added controller 4" in said, said
        assert replicas(tool("MetadataQuorumCommand", "describe", "--replication"))[4][1] == "Follower"
        said = tool("MetadataQuorumCommand", "remove-controller", "--controller-id", 4, "--controller-directory-id", directory)
        assert "Removed" in said and "4" in said, said
        wait_until(
            lambda: replicas(tool("MetadataQuorumCommand", "describe", "--replication")).get(4, ("", "Observer"))[1] == "Observer",
            what="node 4 to be an observer again", every=0.5)
        fourth.stop()
    finally:
        fourth.close()
    cluster.wait_whole()
