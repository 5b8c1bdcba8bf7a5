"""One round of a queue's life, with a client that was generated from the OpenAPI document."""

import base64
import os
import time

from outlast_queues import Client
from outlast_queues.api.dead_letters import get_job, list_dead_letters, redrive
from outlast_queues.api.messages import acknowledge, publish, receive, reject, release
from outlast_queues.api.queues import delete_queue, get_queue, get_stats, put_queue
from outlast_queues.models import (
    NewMessage,
    Problem,
    PublishRequest,
    QueueConfiguration,
    ReceiveRequest,
    RedriveRequest,
    ReleaseRequest,
    SettleRequest,
)

QUEUE = "http-python"
client = Client(base_url=os.environ.get("OUTLAST_HTTP", "http://localhost:9644"), timeout=70)


def expect(found, wanted, what):
    if found != wanted:
        raise SystemExit(f"{what}: expected {wanted!r}, found {found!r}")


def receive_one():
    ask = ReceiveRequest(wait_ms=10_000, worker="python-worker")
    return receive.sync(QUEUE, client=client, body=ask).messages[0]


expect(get_queue.sync(QUEUE, client=client).type_, "urn:outlast:problem:queue-not-found", "a queue that isn't there")
settings = {"retry.policy": "fixed", "retry.initial.delay.ms": "0"}
put_queue.sync(QUEUE, client=client, body=QueueConfiguration.from_dict({"partitions": 1, "settings": settings}))

binary = bytes(range(256))
messages = [
    NewMessage(value="hello", key="greeting"),
    NewMessage(value_base_64=base64.b64encode(binary).decode()),
]
published = publish.sync(QUEUE, client=client, body=PublishRequest(messages=messages))
expect([message.offset for message in published.messages], [0, 1], "offsets")

first = receive_one()
expect((first.value, first.key, first.delivery_count), ("hello", "greeting", 1), "the first message")
release.sync(QUEUE, client=client, body=ReleaseRequest(receipts=[first.receipt], delay_ms=0))
again = receive_one()
expect((again.value, again.delivery_count), ("hello", 2), "the released message")
settled = acknowledge.sync(QUEUE, client=client, body=SettleRequest(receipts=[again.receipt]))
expect(settled.failed, 0, "failed acknowledgements")

second = receive_one()
expect(base64.b64decode(second.value_base_64), binary, "the bytes")
reject.sync(QUEUE, client=client, body=SettleRequest(receipts=[second.receipt]))
while get_stats.sync(QUEUE, client=client).dead != 1:
    time.sleep(0.05)
letter = list_dead_letters.sync(QUEUE, client=client).dead_letters[0]
expect((letter.reason.value, letter.last_worker), ("rejected", "python-worker"), "the dead letter")

job = redrive.sync(QUEUE, client=client, body=RedriveRequest(rate=1000))
while job.state.value == "running":
    time.sleep(0.05)
    job = get_job.sync(job.id, client=client)
expect((job.state.value, job.moved), ("done", 1), "the redrive")
back = receive_one()
expect(base64.b64decode(back.value_base_64), binary, "the redriven bytes")
acknowledge.sync(QUEUE, client=client, body=SettleRequest(receipts=[back.receipt]))
expect(get_stats.sync(QUEUE, client=client).since_start.acknowledged, 2, "acknowledged messages")

expect(delete_queue.sync(QUEUE, client=client).topic_deleted, True, "the topic's end")
gone = get_stats.sync(QUEUE, client=client)
expect(isinstance(gone, Problem), True, "a deleted queue")
print("a round of a queue's life: ok")
