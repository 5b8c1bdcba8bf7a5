import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.consumer.AcknowledgeType;
import org.apache.kafka.clients.consumer.KafkaShareConsumer;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.StringDeserializer;

/** A worker of a queue: any number of them share the messages of the topic, each message is for one of them. */
public class ShareConsumer {
    public static void main(String[] args) throws Exception {
        var config = new Properties();
        config.put("bootstrap.servers", System.getenv().getOrDefault("BOOTSTRAP", "localhost:9092"));
        config.put("group.id", "java-workers");
        config.put("share.acknowledgement.mode", "explicit");
        // A share group begins with what comes after it, unless it is told otherwise.
        try (var admin = Admin.create(config)) {
            var group = new ConfigResource(ConfigResource.Type.GROUP, "java-workers");
            var earliest = new ConfigEntry("share.auto.offset.reset", "earliest");
            var change = List.of(new AlterConfigOp(earliest, AlterConfigOp.OpType.SET));
            admin.incrementalAlterConfigs(Map.of(group, change)).all().get();
        }
        // COUNT=10 ends after ten messages.
        long left = Long.parseLong(System.getenv().getOrDefault("COUNT", "" + Long.MAX_VALUE));
        try (var consumer = new KafkaShareConsumer<>(config, new StringDeserializer(), new StringDeserializer())) {
            consumer.subscribe(List.of("test_topic"));
            while (left > 0) {
                for (var record : consumer.poll(Duration.ofSeconds(1))) {
                    if (record.value().endsWith("7") && record.deliveryCount().orElse((short) 1) == 1) {
                        // Not now: it comes again, after a while.
                        consumer.acknowledge(record, AcknowledgeType.RELEASE);
                    } else {
                        System.out.println(record.value());
                        consumer.acknowledge(record, AcknowledgeType.ACCEPT);
                        left--;
                    }
                }
                consumer.commitSync();
            }
        }
    }
}
