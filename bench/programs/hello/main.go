// Command hello is the floor of the functions' programs: the least that a function in Go behind API Gateway can
// be. It reads the event, and answers with the response that it found in ANSWER.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	var answer events.APIGatewayProxyResponse
	if text := os.Getenv("ANSWER"); text != "" {
		if err := json.Unmarshal([]byte(text), &answer); err != nil {
			fmt.Fprintln(os.Stderr, "ANSWER:", err)
			os.Exit(1)
		}
	}
	lambda.Start(func(context.Context, events.APIGatewayProxyRequest) (events.APIGatewayProxyResponse, error) {
		return answer, nil
	})
}
