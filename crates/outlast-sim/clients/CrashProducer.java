import java.nio.charset.StandardCharsets;
import java.util.Properties;
import java.util.concurrent.Semaphore;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * One producer of the crash harness, in Java.
 *
 * <p>Arguments: bootstrap, topic, partitions, name. Sends the harness's messages (see
 * src/crash/message.rs) until standard input ends, then flushes. Prints a line
 * {@code ack <partition> <sequence> <offset>} for each acknowledgement, and {@code error <text>}
 * for a failure.
 */
public class CrashProducer {
    private static volatile boolean stop = false;

    public static void main(String[] args) throws Exception {
        String topic = args[1];
        int partitions = Integer.parseInt(args[2]);
        String name = args[3];
        var config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("enable.idempotence", "true");
        config.put("acks", "all");
        config.put("delivery.timeout.ms", "600000");
        config.put("request.timeout.ms", "10000");
        config.put("retry.backoff.ms", "20");
        config.put("reconnect.backoff.ms", "20");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("compression.type", "snappy");

        var input = new Thread(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (java.io.IOException error) {
                say("error input: " + error);
            }
            stop = true;
        });
        input.setDaemon(true);
        input.start();

        var inFlight = new Semaphore(200);
        int[] sequences = new int[partitions];
        try (var producer = new KafkaProducer<>(config, new ByteArraySerializer(), new ByteArraySerializer())) {
            for (long sent = 0; !stop; sent++) {
                int partition = (int) (sent % partitions);
                int sequence = sequences[partition]++;
                inFlight.acquire();
                byte[] value = value(name, partition, sequence);
                producer.send(new ProducerRecord<>(topic, partition, null, value), (metadata, error) -> {
                    inFlight.release();
                    if (error == null) {
                        say("ack " + partition + " " + sequence + " " + metadata.offset());
                    } else {
                        say("error " + partition + " " + sequence + ": " + error);
                    }
                });
                Thread.sleep(2);
            }
            producer.flush();
        }
    }

    private static byte[] value(String name, int partition, int sequence) {
        int length = sequence % 400 == 399 ? 60_000 : (int) (sequence * 7919L % 1500);
        String head = name + " " + partition + " " + sequence + " ";
        return (head + ("" + sequence % 10).repeat(length)).getBytes(StandardCharsets.US_ASCII);
    }

    private static synchronized void say(String line) {
        System.out.println(line);
        System.out.flush();
    }
}
