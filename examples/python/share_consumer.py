"""A worker of a queue: any number of them share the messages of the topic, each message is for one of them."""

import os

from confluent_kafka import AcknowledgeType, ShareConsumer
from confluent_kafka.admin import (
    AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType,
)

servers = {'bootstrap.servers': os.environ.get('BOOTSTRAP', 'localhost:9092')}

# A share group begins with what comes after it, unless it is told otherwise.
earliest = ConfigEntry('share.auto.offset.reset', 'earliest', incremental_operation=AlterConfigOpType.SET)
group = ConfigResource(ResourceType.GROUP, 'python-workers', incremental_configs=[earliest])
admin = AdminClient(servers)
for result in admin.incremental_alter_configs([group]).values():
    result.result()

left = float(os.environ.get('COUNT', 'inf'))  # COUNT=10 ends after ten messages
consumer = ShareConsumer({
    **servers, 'group.id': 'python-workers', 'share.acknowledgement.mode': 'explicit',
})
consumer.subscribe(['test_topic'])
while left > 0:
    for message in consumer.poll(1.0):
        if message.error():
            raise SystemExit(str(message.error()))
        value = message.value().decode()
        if value.endswith('7') and message.delivery_count() == 1:
            consumer.acknowledge(message, AcknowledgeType.RELEASE)  # not now: it comes again, after a while
        else:
            print(value, flush=True)
            consumer.acknowledge(message)
            left -= 1
    consumer.commit_sync(10.0)
consumer.close()
