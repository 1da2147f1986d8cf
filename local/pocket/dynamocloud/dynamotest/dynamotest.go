// Package dynamotest is a pocket DynamoDB behind a network that fails: requests take their time, overtake each
// other and get lost, answers too, and DynamoDB throttles and finds others at work. It is imported by tests only,
// in bubbles of testing/synctest: what takes time there costs none.
//
// Its invariant: what is answered is what DynamoDB would have answered, and what was refused has not happened.
package dynamotest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/dynamocloud"
)

// Network is the way to a pocket DynamoDB.
type Network struct {
	to   http.RoundTripper
	keys awscloud.Keys

	mu   sync.Mutex
	rand *rand.Rand
	met  map[string]int
}

// New makes a DynamoDB without tables that lives as long as the test. now is its clock, and seed chooses what fails.
func New(t testing.TB, now func() time.Time, seed uint64) *Network {
	t.Helper()
	// Nothing here crashes, so nothing needs to be synced.
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "clouds.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // the file is gone in a moment
	root := awscloud.Keys{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{Now: now, Accounts: []awscloud.Account{{ID: "123456789012", Root: root}}})
	if err != nil {
		t.Fatal(err)
	}
	service, err := dynamocloud.New(db, cloud)
	if err != nil {
		t.Fatal(err)
	}
	return &Network{
		to: pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, service)), keys: root,
		rand: rand.New(rand.NewPCG(seed, 1)), //nolint:gosec // chooses what fails, guards nothing
		met:  map[string]int{},
	}
}

// Client reaches DynamoDB without fail.
func (n *Network) Client() *dynamodb.Client {
	return dynamodb.NewFromConfig(awssdk.Config(n.to, "us-east-1", n.keys))
}

// Brittle reaches DynamoDB over the network.
func (n *Network) Brittle() *dynamodb.Client {
	return dynamodb.NewFromConfig(awssdk.Config(n, "us-east-1", n.keys))
}

// What may happen to a request.
const (
	RequestLost     = "request lost"
	AnswerLost      = "answer lost" // it happened
	Throttled       = "throttled"
	Broken          = "broken" // it happened
	BusyItem        = "busy item"
	BusyTransaction = "busy transaction"
)

// Met tells how often what happened.
func (n *Network) Met() map[string]int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return maps.Clone(n.met)
}

func (n *Network) note(what string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.met[what]++
}

func (n *Network) dice(sides int) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.rand.IntN(sides)
}

// delay takes a few milliseconds.
func (n *Network) delay(ctx context.Context) {
	const most = 4000
	timer := time.NewTimer(time.Duration(n.dice(most)) * time.Microsecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// ErrBroken is what a client sees of a request or an answer that got lost.
var ErrBroken = errors.New("the connection broke")

// RoundTrip sends a request.
func (n *Network) RoundTrip(r *http.Request) (*http.Response, error) {
	n.delay(r.Context())
	switch fate := n.fate(strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810.")); fate {
	case RequestLost:
		return nil, ErrBroken
	case Throttled:
		return refusal(r, http.StatusBadRequest, "ThrottlingException", ""), nil
	case BusyItem:
		return refusal(r, http.StatusBadRequest, "TransactionConflictException", ""), nil
	case BusyTransaction:
		return refusal(r, http.StatusBadRequest, "TransactionCanceledException", `,"CancellationReasons":[{"Code":"TransactionConflict"}]`), nil
	case AnswerLost, Broken:
		return n.lose(r, fate)
	}
	answer, err := n.to.RoundTrip(r)
	n.delay(r.Context())
	return answer, err
}

// fate is what happens to a request for an operation, mostly nothing.
func (n *Network) fate(operation string) string {
	what := ""
	switch dice := n.dice(100); {
	case dice < 3:
		what = RequestLost
	case dice < 9:
		what = AnswerLost
	case dice < 11:
		what = Throttled
	case dice < 13:
		what = Broken
	case dice < 17 && operation == "PutItem":
		what = BusyItem
	case dice < 17 && operation == "TransactWriteItems":
		what = BusyTransaction
	default:
		return ""
	}
	n.note(what)
	return what
}

// lose delivers a request and not its answer.
func (n *Network) lose(r *http.Request, fate string) (*http.Response, error) {
	answer, err := n.to.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	n.delay(r.Context())
	if err := answer.Body.Close(); err != nil {
		return nil, err
	}
	if fate == Broken {
		return refusal(r, http.StatusInternalServerError, "InternalServerError", ""), nil
	}
	return nil, ErrBroken
}

func refusal(r *http.Request, status int, exception, more string) *http.Response {
	body := `{"__type":"com.amazonaws.dynamodb.v20120810#` + exception + `","message":"no"` + more + `}`
	return &http.Response{
		StatusCode: status, Request: r, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{"Content-Type": {"application/x-amz-json-1.0"}}, Body: io.NopCloser(bytes.NewBufferString(body)),
	}
}
