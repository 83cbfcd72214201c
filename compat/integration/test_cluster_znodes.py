"""Issue part e: what Kafka's own tools of 3.x expect to find of a cluster."""

import json
import time

from harness import topics
from harness.waiting import wait_until


def read(zk, path):
    return json.loads(zk.get(path)[0])


def test_the_broker_registers_itself(zk, kafka_address):
    assert zk.get_children("/brokers/ids") == ["0"]
    broker = read(zk, "/brokers/ids/0")
    host, port = kafka_address.rsplit(":", 1)
    assert broker["version"] == 5
    assert broker["endpoints"] == [f"PLAINTEXT://{host}:{port}"]
    assert (broker["host"], broker["port"]) == (host, int(port))
    assert broker["jmx_port"] == -1
    assert broker["listener_security_protocol_map"] == {"PLAINTEXT": "PLAINTEXT"}
    assert broker["features"] == {}
    assert abs(int(broker["timestamp"]) / 1000 - time.time()) < 86_400
    assert zk.exists("/brokers/ids/0").ephemeralOwner != 0


def test_the_controller_is_elected(zk):
    controller = read(zk, "/controller")
    assert (controller["version"], controller["brokerid"], controller["kraftControllerEpoch"]) == (2, 0, -1)
    assert controller["timestamp"].isdigit()
    assert zk.exists("/controller").ephemeralOwner == zk.exists("/brokers/ids/0").ephemeralOwner
    assert int(zk.get("/controller_epoch")[0]) >= 1


def test_the_cluster_has_an_id(zk, admin):
    cluster = read(zk, "/cluster/id")
    assert cluster["version"] == "1"
    assert admin.describe_cluster().result(30).cluster_id == cluster["id"]


def test_the_persistent_paths_are_there(zk):
    for path in (
        "/admin/delete_topics", "/brokers/ids", "/brokers/seqid", "/brokers/topics", "/config/brokers", "/config/changes",
        "/config/clients", "/config/ips", "/config/topics", "/config/users", "/consumers", "/isr_change_notification",
        "/latest_producer_id_block", "/log_dir_event_notification",
    ):
        assert zk.exists(path), path


def test_blocks_of_producer_ids_are_znodes(zk, kafka_address, name):
    topics.create(kafka_address, name)
    topics.produce(kafka_address, name, [(None, b"x")], enable_idempotence=True)
    block = wait_until(lambda: read(zk, "/latest_producer_id_block"))
    assert (block["version"], block["broker"]) == (1, 0)
    assert int(block["block_end"]) - int(block["block_start"]) == 999


def test_a_restart_keeps_the_identity_and_raises_the_epoch(new_node, zk_client):
    node = new_node().start()
    before = zk_client(hosts=node.zk)
    cluster = before.get("/cluster/id")[0]
    epoch = int(before.get("/controller_epoch")[0])
    created = before.exists("/brokers/ids/0").czxid
    before.stop()
    node.restart()
    after = zk_client(hosts=node.zk)
    wait_until(lambda: after.exists("/controller"), what="a controller")
    assert after.get("/cluster/id")[0] == cluster
    assert int(after.get("/controller_epoch")[0]) == epoch + 1
    assert after.exists("/brokers/ids/0").czxid > created
