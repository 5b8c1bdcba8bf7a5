package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"

	"github.com/segmentio/kafka-go"
)

func main() {
	writer := &kafka.Writer{
		Addr:                   kafka.TCP(cmp.Or(os.Getenv("BOOTSTRAP"), "localhost:9092")),
		Topic:                  "test_topic",
		AllowAutoTopicCreation: true,
	}
	var messages []kafka.Message
	for i := range 10 {
		messages = append(messages, kafka.Message{Value: fmt.Appendf(nil, "message %d", i)})
	}
	if err := writer.WriteMessages(context.Background(), messages...); err != nil {
		log.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		log.Fatal(err)
	}
}
