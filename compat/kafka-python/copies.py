"""A pytest plugin for kafka-python's suite: the topics of its fixtures have as many copies as ours."""

from harness.topics import replicas


def pytest_collection_modifyitems():
    """The suite's own modules can be imported by now; none of its fixtures has run."""
    from test.integration.fixtures import KafkaFixture

    instance = KafkaFixture.instance.__func__

    def replicated(cls, *arguments, **options):
        options.setdefault("replicas", replicas())
        return instance(cls, *arguments, **options)

    KafkaFixture.instance = classmethod(replicated)
