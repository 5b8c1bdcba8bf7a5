import os
from itertools import islice

from kafka import KafkaConsumer

consumer = KafkaConsumer(
    'test_topic',
    bootstrap_servers=os.environ.get('BOOTSTRAP', 'localhost:9092'),
    auto_offset_reset='earliest',
)
count = int(os.environ.get('COUNT', 0)) or None  # COUNT=10 ends after ten messages
for message in islice(consumer, count):
    print(message.value.decode(), flush=True)
consumer.close()
