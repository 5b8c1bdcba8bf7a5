import os

from kafka import KafkaProducer

producer = KafkaProducer(bootstrap_servers=os.environ.get('BOOTSTRAP', 'localhost:9092'))
for i in range(10):
    producer.send('test_topic', b'message %d' % i)
producer.flush()
producer.close()
