// Package keytasks assembles the function that workflows call to use tenants' keys. It writes
// nothing: what it finds out is acted on by fleettasks.
//
// A payload is {"task": "<name>", ...}; the names are in New. Every task is idempotent.
package keytasks

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/obs"
	"latchkey/shared/store"
	"latchkey/shared/suite"
	"latchkey/shared/task"
	"latchkey/shared/verdict"
)

// Deps are what the function needs. All fields are required.
type Deps struct {
	Table  store.Table
	Sealer encryption.Sealer
	Now    func() time.Time
	Log    *slog.Logger
	Keys   suite.Keyring
}

// New assembles the function.
func New(d Deps) lambda.Handler {
	counted := suite.CountKeyCalls(d.Keys, d.Now, d.Log)
	settings := suite.Encryption(suite.EncryptionDeps{
		Table: d.Table, Sealer: d.Sealer, Keys: counted, Now: d.Now, Log: d.Log,
	})
	f := function{
		keys: settings, now: d.Now, log: d.Log,
		prover:    &changeover.Prover{Table: d.Table, Keys: settings},
		endpoints: suite.Endpoints(suite.EndpointDeps{Table: d.Table, Now: d.Now, Log: d.Log, Prover: settings}),
	}
	return handler{counted, task.Dispatch(d.Log, map[string]lambda.Handler{
		"checkKey":         task.Handler(d.Log, task.AtlasCodes, f.checkKey),
		"proveWrappedKeys": task.Handler(d.Log, task.AtlasCodes, f.proveWrappedKeys),
		"tryEndpoint":      task.Handler(d.Log, task.AtlasCodes, f.tryEndpoint),
	})}
}

// handler tells at the end of each invocation what was asked of tenants' key services.
type handler struct {
	calls *suite.KeyCalls
	tasks lambda.Handler
}

// Invoke implements lambda.Handler.
func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer h.calls.Write(ctx)
	return h.tasks.Invoke(ctx, payload)
}

// keys proves that tenants' keys can be used.
type keys interface {
	ProveUse(ctx context.Context, groupID string, p atlas.Provider) (verdict.Reason, error)
}

type function struct {
	keys      keys
	prover    *changeover.Prover
	endpoints *endpoint.Service
	now       func() time.Time
	log       *slog.Logger
}

type checkKeyInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
}

// checkKeyOutput holds no error of the provider: histories are read by operators' staff.
type checkKeyOutput struct {
	Reason verdict.Reason `json:"reason"`
}

// checkKey finds out whether the key that a group uses can be used now. A key that can't is an
// answer, not a failure of the task.
func (f function) checkKey(ctx context.Context, in checkKeyInput) (checkKeyOutput, error) {
	reason, err := f.keys.ProveUse(ctx, in.GroupID, in.Provider)
	if err != nil {
		level := slog.LevelWarn
		if reason.Class() == verdict.Inconclusive { // our own fault
			level = slog.LevelError
			obs.Write(ctx, f.log, f.now(), "key not checked", nil, obs.Count{Name: "KeyChecksInconclusive", Value: 1})
		}
		f.log.LogAttrs(ctx, level, "customer key not usable", slog.String("groupId", in.GroupID), slog.String("provider", string(in.Provider)),
			slog.String("class", string(reason.Class())), slog.String("reason", string(reason)), slog.String("error", err.Error()))
	}
	return checkKeyOutput{Reason: reason}, nil
}
