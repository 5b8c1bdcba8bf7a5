"""Stands in for the module that starts brokers: the tests run against one that is there."""


class ExternalService:
    """A broker at a known address; starting and stopping it is somebody else's business."""

    def __init__(self, host, port):
        self.host = host
        self.port = port

    def open(self):
        pass

    def close(self):
        pass

    def stop(self):
        pass

    def dump_logs(self):
        pass


class SpawnedService:
    """Tests that want a broker of their own can't have one."""

    def __init__(self, *_arguments, **_options):
        raise RuntimeError("this suite runs against a broker that is there already")
