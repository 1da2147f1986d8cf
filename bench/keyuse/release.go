package keyuse

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"sync/atomic"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/bench/ratio"
	"latchkey/bench/tenancy"
	"latchkey/shared/atlas"
	"latchkey/shared/httpapi/functionurl"
	"latchkey/shared/node/protocol"
	"latchkey/shared/suite/nodes"
)

// fleet is how many nodes ask at once.
const fleet = 1000

// A function's instance serves one request at a time and has, with 512 MB, 0.29 of a processor: that many
// instances are served by two processors.
const instances = 7

func releases() []ratio.Entry {
	contest := func(name, measures, floor string, budget ratio.Budget, op operation, width int) ratio.Contest {
		return ratio.Contest{
			Name: name, Measures: measures, Floor: floor, Unit: "nodes/s", Budget: budget, Turns: 5,
			Open: func(ctx context.Context, lab *ratio.Lab) (subject, against ratio.Turn, err error) {
				return openFleet(ctx, lab, name, op, width)
			},
		}
	}
	return []ratio.Entry{
		contest("release/1000", "1,000 nodes that start have their master keys released, by as many instances as two processors are for",
			"as many bare Decrypts, as many at once", ratio.AtLeast(0.6), release, instances),
		contest("release/at-once", "the same by one process, which has all 1,000 requests at once",
			"as many bare Decrypts at once", ratio.Budget{}, release, fleet),
		contest("rewrap/1000", "1,000 nodes have their master keys wrapped by another key, by as many instances as two processors are for",
			"two bare calls for each, as many at once", ratio.AtLeast(0.7), rewrap, instances),
	}
}

// operation is what nodes ask for.
type operation struct {
	path    string
	calls   int // of the key service
	request func(n tenancy.Node, recipient []byte) any
}

var (
	release = operation{protocol.ReleasePath, 1, func(n tenancy.Node, recipient []byte) any { //nolint:gochecknoglobals // never changed
		return protocol.ReleaseRequest{KeyID: n.KeyID, Wrapped: n.Wrapped, Recipient: recipient}
	}}
	rewrap = operation{protocol.RewrapPath, 2, func(n tenancy.Node, _ []byte) any { //nolint:gochecknoglobals // never changed
		return protocol.RewrapRequest{KeyID: n.KeyID, Wrapped: n.Wrapped}
	}}
)

// nodesOf is the function that serves agents, and the fleet that asks it.
type nodesOf struct {
	*world
	operation

	function lambda.Handler
	nodes    []tenancy.Node
}

func openFleet(ctx context.Context, lab *ratio.Lab, name string, op operation, width int) (subject, floor ratio.Turn, err error) {
	w, err := open(ctx, lab, "fleet-"+strings.ReplaceAll(name, "/", "-"), "us-east-1")
	if err != nil {
		return nil, nil, err
	}
	w.estate.Rotated = op.calls > 1
	if err := w.estate.Fill(ctx, fleet); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", name, err)
	}
	f := &nodesOf{world: w, operation: op}
	f.function = functionurl.New(nodes.New(nodes.Deps{Table: w.estate.Table, Now: w.clock.now, Log: slog.New(slog.DiscardHandler), Keys: w.ring}))
	if f.nodes, err = w.estate.FillNodes(ctx, fleet); err != nil {
		return nil, nil, err
	}
	decrypt, err := w.bare()
	if err != nil {
		return nil, nil, err
	}
	w.clouds.Delay(latency)
	return func(ctx context.Context) (float64, error) { return f.ask(ctx, width) }, func(ctx context.Context) (float64, error) {
		return rate(ctx, fleet, width, func(ctx context.Context, i int) error {
			for range op.calls {
				if err := decrypt.decrypt(ctx, i); err != nil {
					return err
				}
			}
			return nil
		})
	}, nil
}

// ask has all nodes ask once, and returns how many were answered in a second.
func (f *nodesOf) ask(ctx context.Context, width int) (float64, error) {
	if err := f.estate.Unwrap(ctx, f.nodes); err != nil {
		return 0, err
	}
	var payloads [][]byte
	for _, n := range f.nodes {
		payload, err := f.payload(n)
		if err != nil {
			return 0, err
		}
		payloads = append(payloads, payload)
	}
	before := f.clouds.Total()
	var refused atomic.Int64
	answered, err := rate(ctx, fleet, width, func(ctx context.Context, i int) error {
		out, err := f.function.Invoke(ctx, payloads[i])
		if err != nil {
			return err
		}
		var answer events.LambdaFunctionURLResponse
		if err := json.Unmarshal(out, &answer); err != nil {
			return err
		}
		if answer.StatusCode != http.StatusOK {
			refused.Add(1)
			return fmt.Errorf("%d: %s", answer.StatusCode, answer.Body)
		}
		return nil
	})
	if calls := int(f.clouds.Total() - before); err == nil && calls != fleet*f.calls && calls != fleet*(f.calls+1) { // with sessions
		err = fmt.Errorf("%d nodes cost %d calls", fleet, calls)
	}
	return answered, err
}

// payload is an agent's request as the function's URL hands it over.
func (f *nodesOf) payload(n tenancy.Node) ([]byte, error) {
	recipient, err := protocol.NewRecipient()
	if err != nil {
		return nil, err
	}
	body, err := json.Marshal(f.request(n, recipient.Public()))
	if err != nil {
		return nil, err
	}
	token, err := n.Token(f.estate)
	if err != nil {
		return nil, err
	}
	return json.Marshal(events.LambdaFunctionURLRequest{
		Version: "2.0", RawPath: f.path, Body: string(body),
		Headers: map[string]string{"authorization": "Bearer " + token, "content-type": "application/json"},
		RequestContext: events.LambdaFunctionURLRequestContext{
			RequestID: atlas.NewID(f.clock.now()), DomainName: "abc.lambda-url.us-east-1.on.aws",
			HTTP: events.LambdaFunctionURLRequestContextHTTPDescription{Method: http.MethodPost, Path: f.path, SourceIP: "192.0.2.7"},
		},
	})
}
