// One round of a queue's life, with a client that was generated from the OpenAPI document.
package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"log"
	"os"
	"time"

	"outlast-http-worker/queues"
)

const queue = "http-go"

var (
	ctx    = context.Background()
	client *queues.ClientWithResponses
)

func to[T any](value T) *T { return &value }

// Ends the program unless a request was answered as it should be.
func answered[T any](answer *T, problem *queues.Problem, err error, what string) *T {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
	if problem != nil {
		log.Fatalf("%s: %s", what, problem.Detail)
	}
	if answer == nil {
		log.Fatalf("%s: no answer", what)
	}
	return answer
}

func expect[T comparable](found, wanted T, what string) {
	if found != wanted {
		log.Fatalf("%s: expected %v, found %v", what, wanted, found)
	}
}

func receiveOne() queues.ReceivedMessage {
	ask := queues.ReceiveRequest{WaitMs: to(int64(10_000)), Worker: to("go-worker")}
	response, err := client.ReceiveWithResponse(ctx, queue, nil, ask)
	if err != nil {
		log.Fatal(err)
	}
	received := answered(response.JSON200, response.ApplicationproblemJSONDefault, nil, "receive")
	expect(len(received.Messages), 1, "received messages")
	return received.Messages[0]
}

func stats() *queues.Stats {
	response, err := client.GetStatsWithResponse(ctx, queue, nil)
	if err != nil {
		log.Fatal(err)
	}
	return answered(response.JSON200, response.ApplicationproblemJSONDefault, nil, "stats")
}

func acknowledge(receipt string) {
	response, err := client.AcknowledgeWithResponse(ctx, queue, nil, queues.SettleRequest{Receipts: []string{receipt}})
	if err != nil {
		log.Fatal(err)
	}
	settled := answered(response.JSON200, response.ApplicationproblemJSONDefault, nil, "acknowledge")
	expect(settled.Failed, 0, "failed acknowledgements")
}

func main() {
	server := os.Getenv("OUTLAST_HTTP")
	if server == "" {
		server = "http://localhost:9644"
	}
	made, err := queues.NewClientWithResponses(server)
	if err != nil {
		log.Fatal(err)
	}
	client = made

	missing, err := client.GetQueueWithResponse(ctx, queue, nil)
	if err != nil {
		log.Fatal(err)
	}
	expect(missing.ApplicationproblemJSONDefault.Type, "urn:outlast:problem:queue-not-found", "a queue that isn't there")
	settings := queues.Settings{"retry.policy": "fixed", "retry.initial.delay.ms": "0"}
	put, err := client.PutQueueWithResponse(ctx, queue, nil, queues.QueueConfiguration{Partitions: to(int32(1)), Settings: &settings})
	answered(put.JSON201, put.ApplicationproblemJSONDefault, err, "create")

	binary := make([]byte, 256)
	for i := range binary {
		binary[i] = byte(i)
	}
	messages := []queues.NewMessage{
		{Value: to("hello"), Key: to("greeting")},
		{ValueBase64: to(base64.StdEncoding.EncodeToString(binary))},
	}
	sent, err := client.PublishWithResponse(ctx, queue, nil, queues.PublishRequest{Messages: messages})
	published := answered(sent.JSON201, sent.ApplicationproblemJSONDefault, err, "publish")
	expect(*published.Messages[1].Offset, 1, "the second offset")

	first := receiveOne()
	expect(*first.Value, "hello", "the first message")
	released, err := client.ReleaseWithResponse(ctx, queue, nil, queues.ReleaseRequest{Receipts: []string{first.Receipt}, DelayMs: to(int64(0))})
	answered(released.JSON200, released.ApplicationproblemJSONDefault, err, "release")
	again := receiveOne()
	expect(again.DeliveryCount, 2, "deliveries of the released message")
	acknowledge(again.Receipt)

	second := receiveOne()
	value, err := base64.StdEncoding.DecodeString(*second.ValueBase64)
	if err != nil || !bytes.Equal(value, binary) {
		log.Fatalf("the bytes came back as %v", value)
	}
	rejected, err := client.RejectWithResponse(ctx, queue, nil, queues.SettleRequest{Receipts: []string{second.Receipt}})
	answered(rejected.JSON200, rejected.ApplicationproblemJSONDefault, err, "reject")
	for stats().Dead != 1 {
		time.Sleep(50 * time.Millisecond)
	}
	listed, err := client.ListDeadLettersWithResponse(ctx, queue, nil)
	page := answered(listed.JSON200, listed.ApplicationproblemJSONDefault, err, "dead letters")
	expect(page.DeadLetters[0].Reason, queues.Rejected, "the reason")
	expect(*page.DeadLetters[0].LastWorker, "go-worker", "the last worker")

	redriven, err := client.RedriveWithResponse(ctx, queue, nil, queues.RedriveRequest{Rate: to(int32(1000))})
	job := answered(redriven.JSON202, redriven.ApplicationproblemJSONDefault, err, "redrive")
	for job.State == queues.JobStateRunning {
		time.Sleep(50 * time.Millisecond)
		looked, err := client.GetJobWithResponse(ctx, job.Id)
		job = answered(looked.JSON200, looked.ApplicationproblemJSONDefault, err, "job")
	}
	expect(job.Moved, 1, "redriven messages")
	back := receiveOne()
	acknowledge(back.Receipt)
	expect(stats().SinceStart.Acknowledged, 2, "acknowledged messages")

	deleted, err := client.DeleteQueueWithResponse(ctx, queue, nil)
	expect(answered(deleted.JSON200, deleted.ApplicationproblemJSONDefault, err, "delete").TopicDeleted, true, "the topic's end")
	fmt.Println("a round of a queue's life: ok")
}
