#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>

int main(void) {
    char error[512];
    const char *bootstrap = getenv("BOOTSTRAP") ? getenv("BOOTSTRAP") : "localhost:9092";
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_conf_set(conf, "bootstrap.servers", bootstrap, error, sizeof error);
    rd_kafka_t *producer = rd_kafka_new(RD_KAFKA_PRODUCER, conf, error, sizeof error);
    if (!producer) {
        fprintf(stderr, "%s\n", error);
        return 1;
    }
    for (int i = 0; i < 10; i++) {
        char value[32];
        int length = snprintf(value, sizeof value, "message %d", i);
        rd_kafka_producev(producer, RD_KAFKA_V_TOPIC("test_topic"), RD_KAFKA_V_VALUE(value, length),
                          RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_END);
    }
    int unsent = rd_kafka_flush(producer, 30000) != RD_KAFKA_RESP_ERR_NO_ERROR;
    rd_kafka_destroy(producer);
    return unsent;
}
