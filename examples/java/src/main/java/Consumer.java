import java.time.Duration;
import java.util.List;
import java.util.Properties;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.serialization.StringDeserializer;

public class Consumer {
    public static void main(String[] args) {
        var config = new Properties();
        config.put("bootstrap.servers", System.getenv().getOrDefault("BOOTSTRAP", "localhost:9092"));
        config.put("group.id", "java-example");
        config.put("auto.offset.reset", "earliest");
        // COUNT=10 ends after ten messages.
        long left = Long.parseLong(System.getenv().getOrDefault("COUNT", "" + Long.MAX_VALUE));
        try (var consumer = new KafkaConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("test_topic"));
            while (left > 0) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    if (left-- > 0) System.out.println(record.value());
                }
            }
        }
    }
}
