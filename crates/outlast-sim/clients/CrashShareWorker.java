import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.TopicIdPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * One worker of the queue crash harness that is a Kafka share consumer.
 *
 * <p>Arguments: bootstrap, topic, group, name. Does with each message what its fate says (see
 * src/queue_crash/fate.rs) until standard input ends or it is killed. Prints what it does in the
 * lines that src/bin/queue_worker.rs describes; its times are those of System.nanoTime, the
 * machine's monotonic clock.
 */
public class CrashShareWorker {
    private static volatile boolean stop = false;

    /** A message in hand. */
    private record Letter(ConsumerRecord<byte[], byte[]> record, long number, AcknowledgeType verdict) {
        String verb() {
            return switch (verdict) {
                case ACCEPT -> "accept";
                case REJECT -> "reject";
                default -> "release";
            };
        }
    }

    public static void main(String[] args) throws Exception {
        var config = new Properties();
        config.put("bootstrap.servers", args[0]);
        config.put("group.id", args[2]);
        config.put("client.id", args[3]);
        config.put("share.acknowledgement.mode", "explicit");
        // Exactly so many, so that nothing waits in the client while its lock grows old.
        config.put("share.acquire.mode", "record_limit");
        config.put("max.poll.records", "20");
        config.put("fetch.max.wait.ms", "300");
        config.put("reconnect.backoff.ms", "20");
        config.put("reconnect.backoff.max.ms", "200");
        config.put("retry.backoff.ms", "20");

        var input = new Thread(() -> {
            try {
                System.in.transferTo(java.io.OutputStream.nullOutputStream());
            } catch (java.io.IOException error) {
                say("input: " + error);
            }
            stop = true;
        });
        input.setDaemon(true);
        input.start();

        try (var consumer = new KafkaShareConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            consumer.subscribe(List.of(args[1]));
            long asked = System.nanoTime();
            while (!stop) {
                // What a poll returns may have arrived since the one before was called, not earlier.
                long before = asked;
                asked = System.nanoTime();
                var letters = new ArrayList<Letter>();
                var lines = new StringBuilder();
                var records = consumer.poll(Duration.ofMillis(300));
                long got = System.nanoTime();
                long wall = System.currentTimeMillis();
                for (var record : records) {
                    int count = record.deliveryCount().orElse((short) 0);
                    Letter letter = read(record, count, wall);
                    if (letter == null) {
                        lines.append("a damaged message at ").append(record.partition()).append(' ')
                            .append(record.offset()).append('\n');
                        consumer.acknowledge(record, AcknowledgeType.RELEASE);
                        continue;
                    }
                    letters.add(letter);
                    lines.append("take ").append(letter.number).append(' ').append(count).append(' ')
                        .append(before).append(' ').append(got).append(' ').append(wall).append('\n');
                }
                say(lines.toString());
                if (letters.isEmpty()) {
                    continue;
                }
                Thread.sleep((long) (Math.random() * 15));
                settle(consumer, letters);
            }
        }
    }

    private static void settle(KafkaShareConsumer<byte[], byte[]> consumer, List<Letter> letters) {
        long now = System.nanoTime();
        var lines = new StringBuilder();
        for (Letter letter : letters) {
            consumer.acknowledge(letter.record, letter.verdict);
            lines.append("try ").append(letter.number).append(' ').append(letter.verb()).append(' ')
                .append(now).append('\n');
        }
        say(lines.toString());
        var results = consumer.commitSync(Duration.ofSeconds(10));
        long done = System.nanoTime();
        lines.setLength(0);
        for (Letter letter : letters) {
            for (var result : results.entrySet()) {
                TopicIdPartition partition = result.getKey();
                if (partition.partition() == letter.record.partition() && result.getValue().isEmpty()) {
                    lines.append("done ").append(letter.number).append(' ').append(done).append('\n');
                }
            }
        }
        say(lines.toString());
    }

    /** The message with what is to be done with it now; null when it isn't whole. */
    private static Letter read(ConsumerRecord<byte[], byte[]> record, int count, long wall) {
        String[] words = new String(record.value(), StandardCharsets.US_ASCII).split(" ", 5);
        if (words.length != 5) {
            return null;
        }
        long number = Long.parseLong(words[0]);
        long sent = Long.parseLong(words[1]);
        long ofKind = Long.parseLong(words[3]);
        int filler = number % 500 == 499 ? 50_000 : (int) (number * 7919 % 400);
        String expected = String.valueOf((char) ('a' + number % 26)).repeat(filler);
        if (!words[4].equals(expected)) {
            return null;
        }
        AcknowledgeType verdict = switch (words[2]) {
            case "fail" -> count <= ofKind ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
            case "doomed", "expire" -> AcknowledgeType.RELEASE;
            case "reject" -> count >= ofKind ? AcknowledgeType.REJECT : AcknowledgeType.RELEASE;
            case "not-now" -> wall < sent + ofKind ? AcknowledgeType.RELEASE : AcknowledgeType.ACCEPT;
            default -> AcknowledgeType.ACCEPT;
        };
        return new Letter(record, number, verdict);
    }

    private static synchronized void say(String lines) {
        System.out.print(lines.isEmpty() || lines.endsWith("\n") ? lines : lines + "\n");
        System.out.flush();
    }
}
