package dynamo_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/linear"
	"latchkey/shared/store/storetest"
)

// endpointVariable names the DynamoDB that the suite runs against: moto, DynamoDB Local or AWS.
const endpointVariable = "LATCHKEY_DYNAMODB_ENDPOINT"

// oneAtATimeVariable makes the suite send one request at a time, still interleaved by those
// who make them. moto needs it: a transaction that fails puts a copy of the whole table back
// that it made before, and with it undoes what others were told is written meanwhile.
const oneAtATimeVariable = "LATCHKEY_DYNAMODB_ONE_AT_A_TIME"

type oneAtATime struct {
	mu   sync.Mutex
	base http.RoundTripper
}

func (t *oneAtATime) RoundTrip(r *http.Request) (*http.Response, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.base.RoundTrip(r)
}

func newClient(httpClient *http.Client, endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(endpoint), HTTPClient: httpClient,
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}, nil
		}),
	})
}

func endpointClient(t *testing.T) *dynamodb.Client {
	t.Helper()
	endpoint := os.Getenv(endpointVariable)
	if endpoint == "" {
		t.Skipf("%s is not set; integration/dynamo.sh sets it and runs this", endpointVariable)
	}
	client := &http.Client{}
	if os.Getenv(oneAtATimeVariable) != "" {
		client.Transport = &oneAtATime{base: http.DefaultTransport}
	}
	return newClient(client, endpoint)
}

func newTable(t *testing.T, client *dynamodb.Client) string {
	t.Helper()
	name := "latchkey-test-" + rand.Text()
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := client.DeleteTable(context.WithoutCancel(t.Context()), &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
			t.Errorf("delete table: %v", err)
		}
	})
	return name
}

func TestIntegration_the_table_keeps_the_contract(t *testing.T) {
	client := endpointClient(t)
	storetest.Run(t, func(t *testing.T) store.Table { return dynamo.New(client, newTable(t, client)) })
}

// Nothing fails here but by conflict; the tests over a network that fails are in linear_test.go.
func TestIntegration_the_table_is_linearizable(t *testing.T) {
	client := endpointClient(t)
	load := linear.Load{Clients: 4, Steps: 12, Busy: true, Pause: 2 * time.Millisecond, Lag: 5 * time.Second}
	for name, run := range map[string]struct {
		lasting bool
		of      func(store.Table) store.Table
	}{
		"single items that last":            {true, func(table store.Table) store.Table { return table }},
		"transactions, whatever is deleted": {false, func(table store.Table) store.Table { return guarded{table} }},
	} {
		t.Run(name, func(t *testing.T) {
			calls := 0
			for seed := range rounds(20) {
				load := load
				load.Seed, load.Lasting = seed, run.lasting
				load.Run(t, run.of(dynamo.New(client, newTable(t, client))))
				calls += load.Clients * load.Steps
			}
			t.Logf("%d calls in %d histories", calls, rounds(20))
		})
	}
}

func TestIntegration_a_table_is_made_as_the_template_does(t *testing.T) {
	client := endpointClient(t)
	name := newTable(t, client)
	if err := dynamo.CreateTable(t.Context(), client, name); err != nil {
		t.Errorf("create again: %v", err)
	}
	out, err := client.DescribeTable(t.Context(), &dynamodb.DescribeTableInput{TableName: &name})
	if err != nil {
		t.Fatal(err)
	}
	got := out.Table
	if got.BillingModeSummary.BillingMode != types.BillingModePayPerRequest ||
		got.StreamSpecification.StreamViewType != types.StreamViewTypeNewImage ||
		len(got.GlobalSecondaryIndexes) != 1 || got.GlobalSecondaryIndexes[0].Projection.ProjectionType != types.ProjectionTypeAll {
		t.Errorf("table = %+v", got)
	}
	ttl, err := client.DescribeTimeToLive(t.Context(), &dynamodb.DescribeTimeToLiveInput{TableName: &name})
	if err != nil || aws.ToString(ttl.TimeToLiveDescription.AttributeName) != "expires" {
		t.Errorf("time to live = %+v, %v; want the attribute expires", ttl, err)
	}
}

func deadline(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}
