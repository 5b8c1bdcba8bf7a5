// Package queues is the client that oapi-codegen makes of the OpenAPI document.
package queues

//go:generate go tool oapi-codegen -generate types,client -package queues -o queues.gen.go ../openapi.json
