import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/**
 * Kafka share consumers for {@code cargo xtask bench --queues}, each with a thread and a connection
 * of its own.
 *
 * <p>Arguments: bootstrap, topic, group, consumers, then {@code drain <messages> <seconds>} or
 * {@code rate <seconds>}. Prints one JSON object, as the queue-load program does, which measures in
 * the same way: a drain leaves the first tenth out, a rate its first seconds. Messages begin with
 * their time of sending, in ns of the machine's monotonic clock as 20 digits.
 */
public class ShareLoad {
    private static final int BATCH = 100;
    private static final int STAMP_DIGITS = 20;
    /** A JVM needs longer than a native program until its speed is its own. */
    private static final long WARM_UP_NANOS = 5_000_000_000L;

    private static volatile boolean over = false;

    public static void main(String[] args) throws Exception {
        String bootstrap = args[0];
        String group = args[2];
        int consumers = Integer.parseInt(args[3]);
        startAtTheBeginning(bootstrap, group);
        if (args[4].equals("drain")) {
            drain(bootstrap, args[1], group, consumers, Long.parseLong(args[5]), Long.parseLong(args[6]));
        } else {
            rate(bootstrap, args[1], group, consumers, Long.parseLong(args[5]));
        }
    }

    private static void startAtTheBeginning(String bootstrap, String group) throws Exception {
        var config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        try (var admin = Admin.create(config)) {
            var resource = new ConfigResource(ConfigResource.Type.GROUP, group);
            var entry = new ConfigEntry("share.auto.offset.reset", "earliest");
            admin.incrementalAlterConfigs(Map.of(resource, List.of(new AlterConfigOp(entry, AlterConfigOp.OpType.SET))))
                .all().get();
        }
    }

    private static KafkaShareConsumer<byte[], byte[]> consumer(String bootstrap, String topic, String group) {
        var config = new Properties();
        config.put("bootstrap.servers", bootstrap);
        config.put("group.id", group);
        config.put("max.poll.records", BATCH);
        config.put("share.acknowledgement.mode", "explicit");
        var consumer = new KafkaShareConsumer<>(config, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        consumer.setAcknowledgementCommitCallback((offsets, error) -> {
            if (error != null) {
                fail(error);
            }
        });
        consumer.subscribe(List.of(topic));
        return consumer;
    }

    private static void drain(String bootstrap, String topic, String group, int consumers, long wanted, long seconds)
            throws Exception {
        var done = new AtomicLong();
        var warm = new AtomicLong();
        var doneWhenWarm = new AtomicLong();
        var last = new AtomicLong();
        var ready = new CountDownLatch(consumers);
        var threads = new ArrayList<Thread>();
        for (int i = 0; i < consumers; i++) {
            var thread = new Thread(() -> {
                try (var consumer = consumer(bootstrap, topic, group)) {
                    ready.countDown();
                    ready.await();
                    long end = System.nanoTime() + seconds * 1_000_000_000L;
                    while (!over && System.nanoTime() < end) {
                        var records = consumer.poll(Duration.ofMillis(200));
                        if (records.isEmpty()) {
                            continue;
                        }
                        for (var record : records) {
                            consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                        }
                        consumer.commitAsync();
                        long now = System.nanoTime();
                        long total = done.addAndGet(records.count());
                        last.accumulateAndGet(now, Math::max);
                        if (total >= wanted / 10 && total - records.count() < wanted / 10) {
                            warm.set(now);
                            doneWhenWarm.set(total);
                        }
                        if (total >= wanted) {
                            over = true;
                        }
                    }
                    consumer.commitSync();
                    last.accumulateAndGet(System.nanoTime(), Math::max);
                } catch (Exception error) {
                    fail(error);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
        long counted = done.get() - doneWhenWarm.get();
        double time = (last.get() - warm.get()) / 1e9;
        if (warm.get() == 0 || time <= 0) {
            fail(new IllegalStateException(done.get() + " messages were done: too few to measure"));
        }
        System.out.printf("{\"messages\":%d,\"per_second\":%.3f}%n", done.get(), counted / time);
    }

    private static void rate(String bootstrap, String topic, String group, int consumers, long seconds)
            throws Exception {
        var first = new AtomicLong();
        var threads = new ArrayList<Thread>();
        var all = new ArrayList<Long>();
        for (int i = 0; i < consumers; i++) {
            var thread = new Thread(() -> {
                var delays = new ArrayList<Long>();
                try (var consumer = consumer(bootstrap, topic, group)) {
                    while (!over) {
                        var records = consumer.poll(Duration.ofMillis(200));
                        long now = System.nanoTime();
                        if (!records.isEmpty()) {
                            first.compareAndSet(0, now);
                        }
                        long since = first.get() == 0 ? 0 : now - first.get();
                        for (var record : records) {
                            if (since > WARM_UP_NANOS) {
                                delays.add(now - sentAt(record.value()));
                            }
                            consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                        }
                        if (!records.isEmpty()) {
                            consumer.commitAsync();
                        }
                        if (since > WARM_UP_NANOS + seconds * 1_000_000_000L) {
                            over = true;
                        }
                    }
                } catch (Exception error) {
                    fail(error);
                }
                synchronized (all) {
                    all.addAll(delays);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (var thread : threads) {
            thread.join();
        }
        all.sort(null);
        System.out.printf("{\"messages\":%d,\"p50_ms\":%.4f,\"p99_ms\":%.4f}%n", all.size(), ms(all, 0.50), ms(all, 0.99));
    }

    private static double ms(List<Long> delays, double share) {
        return delays.get((int) (delays.size() * share)) / 1e6;
    }

    private static long sentAt(byte[] value) {
        return Long.parseLong(new String(value, 0, STAMP_DIGITS, StandardCharsets.US_ASCII));
    }

    private static void fail(Exception error) {
        error.printStackTrace();
        System.exit(1);
    }
}
