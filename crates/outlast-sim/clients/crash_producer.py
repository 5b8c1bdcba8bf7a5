"""One producer of the crash harness, in Python.

Arguments: bootstrap, topic, partitions, name. Sends the harness's messages (see
src/crash/message.rs) until standard input ends, then flushes. Prints a line
`ack <partition> <sequence> <offset>` for each acknowledgement, and `error <text>` for a failure.
"""

import sys
import threading
import time

from kafka import KafkaProducer

bootstrap, topic, partitions, name = sys.argv[1:]
partitions = int(partitions)
in_flight = threading.Semaphore(200)
stop = threading.Event()
output = threading.Lock()


def say(line):
    with output:
        sys.stdout.write(line + '\n')
        sys.stdout.flush()


def value_of(partition, sequence):
    length = 60000 if sequence % 400 == 399 else sequence * 7919 % 1500
    return ('%s %d %d ' % (name, partition, sequence)).encode() + b'%d' % (sequence % 10) * length


def acknowledged(sequence, metadata):
    in_flight.release()
    say('ack %d %d %d' % (metadata.partition, sequence, metadata.offset))


def failed(partition, sequence, error):
    in_flight.release()
    say('error %d %d: %r' % (partition, sequence, error))


def await_end_of_input():
    sys.stdin.read()
    stop.set()


threading.Thread(target=await_end_of_input, daemon=True).start()
producer = KafkaProducer(
    bootstrap_servers=bootstrap,
    enable_idempotence=True,
    acks='all',
    delivery_timeout_ms=600000,
    request_timeout_ms=10000,
    max_block_ms=120000,
    retry_backoff_ms=20,
    reconnect_backoff_ms=20,
    reconnect_backoff_max_ms=200,
    linger_ms=2,
    compression_type='gzip',
)
sequences = [0] * partitions
sent = 0
while not stop.is_set():
    partition = sent % partitions
    sequence = sequences[partition]
    in_flight.acquire()
    try:
        future = producer.send(topic, value_of(partition, sequence), partition=partition)
    except Exception as error:
        say('error send: %r' % error)
        break
    future.add_callback(acknowledged, sequence)
    future.add_errback(failed, partition, sequence)
    sequences[partition] += 1
    sent += 1
    time.sleep(0.002)
producer.flush(timeout=120)
producer.close()
