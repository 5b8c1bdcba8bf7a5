const { Kafka } = require('kafkajs');

async function main() {
  const kafka = new Kafka({ brokers: [process.env.BOOTSTRAP || 'localhost:9092'] });
  const consumer = kafka.consumer({ groupId: 'node-example' });
  let left = Number(process.env.COUNT) || Infinity; // COUNT=10 ends after ten messages
  await consumer.connect();
  await consumer.subscribe({ topic: 'test_topic', fromBeginning: true });
  await consumer.run({
    eachMessage: async ({ message }) => {
      if (left-- > 0) console.log(message.value.toString());
      if (left === 0) consumer.disconnect();
    },
  });
}

main();
