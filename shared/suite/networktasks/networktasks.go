// Package networktasks assembles the function that makes, watches and removes private endpoints in
// the operator's networks. It may change networks and use no tenant's key: that a key opens through an
// endpoint is proved by keytasks.
//
// A payload is {"task": "<name>", ...}; the names are in New. Every task is idempotent.
package networktasks

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/endpoint"
	"latchkey/shared/obs"
	"latchkey/shared/store"
	"latchkey/shared/suite"
	"latchkey/shared/task"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// Executions starts workflows and knows which have ended; awssfn.Starter is the one in use.
type Executions interface {
	suite.Starter
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table store.Table
	Now   func() time.Time
	Log   *slog.Logger
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
	Executions     Executions
	// Clouds are those in which the operator has networks for private endpoints.
	Clouds map[atlas.Provider]endpoint.Cloud
}

// New assembles the function. The state machine calls advanceEndpoint and concludeProof, a schedule
// calls watchEndpoints every other minute.
func New(d Deps) lambda.Handler {
	f := function{now: d.Now, log: d.Log, executions: d.Executions, endpoints: suite.Endpoints(suite.EndpointDeps{
		Table: d.Table, Journal: audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention},
		Start: d.Executions, Now: d.Now, Log: d.Log, Clouds: d.Clouds,
	})}
	return task.Dispatch(d.Log, map[string]lambda.Handler{
		"advanceEndpoint": task.Handler(d.Log, task.AtlasCodes, f.advance),
		"concludeProof":   task.Handler(d.Log, task.AtlasCodes, f.conclude),
		"watchEndpoints":  task.Handler(d.Log, task.AtlasCodes, f.watch),
	})
}

type function struct {
	now        func() time.Time
	log        *slog.Logger
	endpoints  *endpoint.Service
	executions Executions
}

// subject names the endpoint that a task is about, and when the execution began that asks.
type subject struct {
	GroupID    string         `json:"groupId"`
	Provider   atlas.Provider `json:"provider"`
	EndpointID string         `json:"endpointId"`
	Since      time.Time      `json:"since"`
}

func (s subject) ref() endpoint.Ref {
	return endpoint.Ref{GroupID: s.GroupID, Provider: s.Provider, EndpointID: s.EndpointID}
}

// step is what the state machine does next.
type step struct {
	Outcome     endpoint.Outcome `json:"outcome"`
	WaitSeconds int              `json:"waitSeconds"`
}

func (f function) advance(ctx context.Context, in subject) (step, error) {
	next, err := f.endpoints.Advance(ctx, in.ref(), in.Since)
	return step(next), err
}

type proof struct {
	subject

	Address string         `json:"address"`
	Reason  verdict.Reason `json:"reason"`
}

func (f function) conclude(ctx context.Context, in proof) (step, error) {
	next, err := f.endpoints.Conclude(ctx, in.ref(), endpoint.Proof{Address: in.Address, Reason: in.Reason}, in.Since)
	return step(next), err
}

// watch looks after all endpoints.
func (f function) watch(ctx context.Context, _ struct{}) (struct{}, error) {
	seen, err := f.endpoints.Watch(ctx, f.executions)
	obs.Write(ctx, f.log, f.now(), "private endpoints in progress", nil,
		obs.Count{Name: "EndpointsInProgress", Value: seen.InProgress},
		obs.Count{Name: "OldestEndpointHours", Value: int(seen.Oldest.Hours())})
	return struct{}{}, err
}
