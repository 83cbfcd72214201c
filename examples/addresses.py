"""Where the examples find the node: its default ports, or what ZOOLOG_ZK and ZOOLOG_KAFKA say."""

import os

ZOOKEEPER = os.environ.get("ZOOLOG_ZK", "localhost:2181")
KAFKA = os.environ.get("ZOOLOG_KAFKA", "localhost:9092")
