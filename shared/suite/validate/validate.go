// Package validate assembles the function that checks tenants' keys on a schedule, and has nodes
// stopped and started by what it finds. It may use tenants' keys and start workflows.
package validate

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/store"
	"latchkey/shared/suite"
	"latchkey/shared/validity/sweep"
	"latchkey/shared/verdict"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table  store.Table
	Sealer encryption.Sealer
	Now    func() time.Time
	Log    *slog.Logger
	Keys   *keyring.Keyring
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
	// Start starts the workflows that stop and start nodes.
	Start suite.Starter
}

// Function checks what is due. It is a lambda.Handler.
type Function struct {
	sweep *sweep.Sweep
	calls *suite.KeyCalls
	now   func() time.Time
	log   *slog.Logger
}

// New assembles the function.
func New(d Deps) *Function {
	counted := suite.CountKeyCalls(d.Keys, d.Now, d.Log)
	settings := suite.Encryption(suite.EncryptionDeps{
		Table: d.Table, Journal: audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention},
		Sealer: d.Sealer, Keys: counted, Start: d.Start, Now: d.Now, Log: d.Log,
	})
	return &Function{sweep: &sweep.Sweep{Settings: settings, Enforcer: settings.Enforcer, Log: d.Log}, calls: counted, now: d.Now, log: d.Log}
}

// Event is what the function is invoked with. The schedule's is empty.
type Event struct {
	// AcceptedCauses are for an operator who knows that so many tenants did take their keys away:
	// what was held back for these causes is believed and acted on, in this run.
	AcceptedCauses []sweep.Cause `json:"acceptedCauses"`
}

func (e Event) validate() error {
	for _, c := range e.AcceptedCauses {
		if _, err := atlas.ParseProvider(string(c.Provider)); err != nil {
			return err
		}
		if c.Reason.Class() != verdict.Invalid {
			return atlas.Fail(atlas.InvalidEnumValue, c.Reason).Hinting("The reason must be one of class INVALID.")
		}
	}
	return nil
}

// Invoke makes one run and answers with what it did. Shortly before the invocation's time is over
// it begins nothing any more; the next run goes on there.
func (f *Function) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	var e Event
	if err := json.Unmarshal(payload, &e); err != nil {
		return nil, atlas.Fail(atlas.MalformedJSON).Because(err)
	}
	if err := e.validate(); err != nil {
		return nil, err
	}
	for _, c := range e.AcceptedCauses {
		f.log.WarnContext(ctx, "the operator accepts a cause for any number of keys",
			slog.String("provider", string(c.Provider)), slog.String("reason", string(c.Reason)))
	}
	defer f.calls.Write(ctx)
	result, err := f.sweep.Run(ctx, f.now(), e.AcceptedCauses...)
	if err != nil {
		return nil, err
	}
	return json.Marshal(result)
}
