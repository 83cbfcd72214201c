"""Stands in for `test/service.py` of kafka-python, which its source archive leaves out: the broker is always an outside one."""


class ExternalService:
    """A broker that somebody else started and will stop."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        """Nothing to start."""

    def close(self):
        """Nothing to stop."""


class SpawnedService:
    """The suite starts its own brokers with this; here it must not."""

    def __init__(self, *_):
        raise RuntimeError("the suite faces the broker that KAFKA_URI names")
