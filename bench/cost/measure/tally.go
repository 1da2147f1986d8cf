// Package measure counts what operations of the suite take of AWS: the suite as it is deployed, over
// the pocket clouds, whose DynamoDB tells of every request what capacity it took.
//
// Its invariant: nothing is derived from what the code is meant to do. What is not seen on the wire
// is not counted.
package measure

import (
	"context"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go/middleware"
)

// Usage is what something took of AWS.
type Usage struct {
	// Reads, Puts and Transactions are requests to DynamoDB: of one item or one page, of one item, of several.
	Reads, Puts, Transactions int
	ReadUnits                 float64 // read request units, of the table and its index
	IndexUnits                float64 // those of the index
	WriteUnits                float64 // write request units, of the table and its index
	// OwnKMS are requests for the operator's own key, TenantKMS for tenants' keys, STS sessions that were asked for.
	OwnKMS, TenantKMS, STS int
	// Logged are the bytes of the lines that were logged.
	Logged int
	Lines  int
	// Answered are the bytes of the bodies that functions answered with.
	Answered int
}

// Requests are all requests to DynamoDB.
func (u Usage) Requests() int { return u.Reads + u.Puts + u.Transactions }

// Writes are the requests to DynamoDB that change anything.
func (u Usage) Writes() int { return u.Puts + u.Transactions }

// Less is what is left without what something else took.
func (u Usage) Less(o Usage) Usage {
	u.Reads, u.Puts, u.Transactions = u.Reads-o.Reads, u.Puts-o.Puts, u.Transactions-o.Transactions
	u.ReadUnits, u.IndexUnits, u.WriteUnits = u.ReadUnits-o.ReadUnits, u.IndexUnits-o.IndexUnits, u.WriteUnits-o.WriteUnits
	u.OwnKMS, u.TenantKMS, u.STS = u.OwnKMS-o.OwnKMS, u.TenantKMS-o.TenantKMS, u.STS-o.STS
	u.Logged, u.Lines, u.Answered = u.Logged-o.Logged, u.Lines-o.Lines, u.Answered-o.Answered
	return u
}

// Plus is both together.
func (u Usage) Plus(o Usage) Usage {
	u.Reads, u.Puts, u.Transactions = u.Reads+o.Reads, u.Puts+o.Puts, u.Transactions+o.Transactions
	u.ReadUnits, u.IndexUnits, u.WriteUnits = u.ReadUnits+o.ReadUnits, u.IndexUnits+o.IndexUnits, u.WriteUnits+o.WriteUnits
	u.OwnKMS, u.TenantKMS, u.STS = u.OwnKMS+o.OwnKMS, u.TenantKMS+o.TenantKMS, u.STS+o.STS
	u.Logged, u.Lines, u.Answered = u.Logged+o.Logged, u.Lines+o.Lines, u.Answered+o.Answered
	return u
}

// Tally is what one thing that was asked for took, by the functions that it led to.
type Tally struct {
	mu sync.Mutex
	by map[string]Usage
}

// Of is what a function took.
func (t *Tally) Of(function string) Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.by[function]
}

// All is what all functions took but some.
func (t *Tally) All(but ...string) Usage {
	t.mu.Lock()
	defer t.mu.Unlock()
	var sum Usage
	for _, name := range slices.Sorted(maps.Keys(t.by)) {
		if !slices.Contains(but, name) {
			sum = sum.Plus(t.by[name])
		}
	}
	return sum
}

type (
	tallyKey    struct{}
	functionKey struct{}
)

// counted is a context in which everything is counted.
func counted(ctx context.Context) (context.Context, *Tally) {
	t := &Tally{by: map[string]Usage{}}
	return context.WithValue(ctx, tallyKey{}, t), t
}

// add counts something, if there is who asked for it.
func add(ctx context.Context, u Usage) {
	t, ok := ctx.Value(tallyKey{}).(*Tally)
	if !ok {
		return
	}
	function, _ := ctx.Value(functionKey{}).(string)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.by[function] = t.by[function].Plus(u)
}

// metered has a client of DynamoDB ask what its requests take, and counts it.
func metered(o *dynamodb.Options) {
	o.APIOptions = append(o.APIOptions, func(stack *middleware.Stack) error {
		return stack.Initialize.Add(middleware.InitializeMiddlewareFunc("latchkey/capacity", meter), middleware.Before)
	})
}

func meter(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	middleware.InitializeOutput, middleware.Metadata, error,
) {
	const wanted = types.ReturnConsumedCapacityTotal
	var u Usage
	switch asked := in.Parameters.(type) {
	case *dynamodb.GetItemInput:
		asked.ReturnConsumedCapacity, u.Reads = wanted, 1
	case *dynamodb.QueryInput:
		asked.ReturnConsumedCapacity, u.Reads = wanted, 1
	case *dynamodb.PutItemInput:
		asked.ReturnConsumedCapacity, u.Puts = wanted, 1
	case *dynamodb.TransactWriteItemsInput:
		asked.ReturnConsumedCapacity, u.Transactions = wanted, 1
	}
	out, metadata, err := next.HandleInitialize(ctx, in)
	switch answer := out.Result.(type) {
	case *dynamodb.GetItemOutput:
		u.ReadUnits = capacity(answer.ConsumedCapacity)
	case *dynamodb.QueryOutput:
		u.ReadUnits = capacity(answer.ConsumedCapacity)
		if asked, ok := in.Parameters.(*dynamodb.QueryInput); ok && asked.IndexName != nil {
			u.IndexUnits = u.ReadUnits
		}
	case *dynamodb.PutItemOutput:
		u.WriteUnits = capacity(answer.ConsumedCapacity)
	case *dynamodb.TransactWriteItemsOutput:
		for i := range answer.ConsumedCapacity {
			u.WriteUnits += capacity(&answer.ConsumedCapacity[i])
		}
	}
	add(ctx, u)
	return out, metadata, err
}

func capacity(c *types.ConsumedCapacity) float64 {
	if c == nil {
		return 0
	}
	return aws.ToFloat64(c.CapacityUnits)
}

// watched counts what functions ask of KMS and STS.
type watched struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w watched) RoundTrip(r *http.Request) (*http.Response, error) {
	switch host := r.URL.Hostname(); {
	case strings.HasPrefix(host, "kms."):
		add(r.Context(), Usage{TenantKMS: 1})
	case strings.HasPrefix(host, "sts."):
		add(r.Context(), Usage{STS: 1})
	}
	return w.RoundTripper.RoundTrip(r)
}

// own counts what is asked of the operator's own key.
type own struct{ http.RoundTripper }

// RoundTrip implements http.RoundTripper.
func (w own) RoundTrip(r *http.Request) (*http.Response, error) {
	add(r.Context(), Usage{OwnKMS: 1})
	return w.RoundTripper.RoundTrip(r)
}
