const { Kafka } = require('kafkajs');

async function main() {
  const kafka = new Kafka({ brokers: [process.env.BOOTSTRAP || 'localhost:9092'] });
  const producer = kafka.producer();
  await producer.connect();
  for (let i = 0; i < 10; i++) {
    await producer.send({ topic: 'test_topic', messages: [{ value: `message ${i}` }] });
  }
  await producer.disconnect();
}

main();
