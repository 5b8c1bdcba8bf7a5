package main

import (
	"cmp"
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"
)

func main() {
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers:     []string{cmp.Or(os.Getenv("BOOTSTRAP"), "localhost:9092")},
		GroupID:     "go-example",
		Topic:       "test_topic",
		StartOffset: kafka.FirstOffset,
		MaxWait:     time.Second,
	})
	count, _ := strconv.Atoi(os.Getenv("COUNT")) // COUNT=10 ends after ten messages
	for read := 0; count == 0 || read < count; read++ {
		message, err := reader.ReadMessage(context.Background())
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(string(message.Value))
	}
	if err := reader.Close(); err != nil {
		log.Fatal(err)
	}
}
