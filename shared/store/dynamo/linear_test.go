package dynamo_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/linear"
)

// rounds is how many histories a test makes: make linear sets it, otherwise a few.
func rounds(few uint64) uint64 {
	if n, err := strconv.ParseUint(os.Getenv("LATCHKEY_LINEAR_ROUNDS"), 10, 32); err == nil {
		return n
	}
	return few
}

// network is a way to DynamoDB on which requests take their time and answers get lost. Where it refuses, it
// does so as DynamoDB would.
type network struct {
	to http.RoundTripper

	mu      sync.Mutex
	rand    *rand.Rand
	refused map[string]int // by what it was told
}

func (n *network) dice(sides int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.IntN(sides)
}

func (n *network) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.refused[what]++
}

// delay takes up to so many milliseconds of the bubble's time.
func (n *network) delay(ctx context.Context, most int) {
	select {
	case <-time.After(time.Duration(n.dice(most*1000)) * time.Microsecond):
	case <-ctx.Done():
	}
}

var errBroken = errors.New("the connection broke")

func (n *network) RoundTrip(r *http.Request) (*http.Response, error) {
	operation := strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")
	n.delay(r.Context(), 4)
	switch dice := n.dice(100); {
	case dice < 3:
		n.note("request lost")
		return nil, errBroken
	case dice < 9: // it happened
		return n.lose(r)
	case dice < 11:
		n.note("throttled")
		return refusal(r, http.StatusBadRequest, "ThrottlingException", ""), nil
	case dice < 13:
		n.note("broken")
		return n.breakAfter(r)
	case dice < 17 && operation == "PutItem":
		n.note("busy item")
		return refusal(r, http.StatusBadRequest, "TransactionConflictException", ""), nil
	case dice < 21 && operation == "TransactWriteItems":
		n.note("busy transaction")
		return refusal(r, http.StatusBadRequest, "TransactionCanceledException", `,"CancellationReasons":[{"Code":"TransactionConflict"}]`), nil
	}
	answer, err := n.to.RoundTrip(r)
	n.delay(r.Context(), 4)
	return answer, err
}

// lose delivers a request and not its answer.
func (n *network) lose(r *http.Request) (*http.Response, error) {
	n.note("answer lost")
	answer, err := n.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	n.delay(r.Context(), 4)
	return nil, errors.Join(errBroken, answer.Body.Close())
}

// breakAfter is an answer of a server that fails when all is done.
func (n *network) breakAfter(r *http.Request) (*http.Response, error) {
	answer, err := n.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	return refusal(r, http.StatusInternalServerError, "InternalServerError", ""), answer.Body.Close()
}

func refusal(r *http.Request, status int, exception, more string) *http.Response {
	body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + exception + `","message":"no"` + more + `}`
	return &http.Response{
		StatusCode: status, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewBufferString(body)),
	}
}

// pocketNetwork is the way to a pocket DynamoDB with a table, and a client that uses it.
func pocketNetwork(t *testing.T, seed uint64) (*network, *dynamo.Table) {
	t.Helper()
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "clouds.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // the file is gone in a moment
	root := awscloud.Keys{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: time.Now, Accounts: []awscloud.Account{{ID: "123456789012", Root: root}}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := dynamocloud.New(db, cloud)
	if err != nil {
		t.Fatal(err)
	}
	n := &network{
		to:      pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, service)),
		rand:    rand.New(rand.NewPCG(seed, 1)),
		refused: map[string]int{},
	}
	table := newTable(t, dynamodb.NewFromConfig(awssdk.Config(n.to, "us-east-1", root)))
	return n, dynamo.New(dynamodb.NewFromConfig(awssdk.Config(n, "us-east-1", root)), table)
}

// guarded has every write be a transaction.
type guarded struct{ store.Table }

func (g guarded) Write(ctx context.Context, ops ...store.Op) error {
	return g.Table.Write(ctx, append(ops, store.Check(store.Key{PK: "P", SK: "never"}, 0))...)
}

// Time is the bubble's, so pauses and retries cost none, and every request may overtake every other.
func testNetwork(t *testing.T, load linear.Load, of func(store.Table) store.Table) {
	load.Clients, load.Steps, load.Busy, load.Pause, load.Lag = 4, 12, true, 5*time.Millisecond, time.Second
	met, unknown := map[string]int{}, 0
	for seed := range rounds(8) {
		synctest.Test(t, func(t *testing.T) {
			n, table := pocketNetwork(t, seed)
			load.Seed = seed
			unknown += load.Run(t, of(table)).Unknown()
			for what, times := range n.refused {
				met[what] += times
			}
		})
	}
	for _, what := range []string{"request lost", "answer lost", "throttled", "broken", "busy transaction"} {
		if met[what] == 0 {
			t.Errorf("nothing was told of %q", what)
		}
	}
	t.Logf("met %v; %d outcomes unknown", met, unknown)
}

// An item that is deleted begins with version 1 when it is made again. Whoever puts single items may not
// have that happen meanwhile, see Write.
func TestTable_is_linearizable_over_a_network_that_fails(t *testing.T) {
	testNetwork(t, linear.Load{Lasting: true}, func(table store.Table) store.Table { return table })
}

func TestTable_is_linearizable_to_transactions_whatever_is_deleted(t *testing.T) {
	testNetwork(t, linear.Load{}, func(table store.Table) store.Table { return guarded{table} })
}
