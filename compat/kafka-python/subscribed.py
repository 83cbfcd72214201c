"""A pytest plugin for kafka-python's suite: a subscription made while metadata is under way isn't forgotten.

`ClusterMetadata.update_metadata` of 3.0.12 clears the wish for an update that came between the request and its answer, so that a
consumer whose broker answers its first request just then learns of its topic after `metadata.max.age.ms`, five minutes later.
"""


def pytest_collection_modifyitems():
    """The suite's own modules can be imported by now; none of its fixtures has run."""
    from kafka.cluster import ClusterMetadata

    request, update = ClusterMetadata.metadata_request, ClusterMetadata.update_metadata

    def remembering(self):
        self.topics_asked_for = set(self._topics)
        return request(self)

    def asking_again(self, metadata):
        update(self, metadata)
        if not self._topics <= getattr(self, "topics_asked_for", self._topics):
            self.request_update()

    ClusterMetadata.metadata_request = remembering
    ClusterMetadata.update_metadata = asking_again
