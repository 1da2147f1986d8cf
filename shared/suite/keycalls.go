package suite

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/obs"
)

// KeyCalls is a keyring whose keys' calls to providers are counted, until Write tells the operator.
type KeyCalls struct {
	Keyring

	tally kms.Tally
	now   func() time.Time
	log   *slog.Logger
}

// CountKeyCalls counts the calls of keys from a keyring. Whoever serves an invocation calls Write at
// its end, so that calls cost no line each.
func CountKeyCalls(keys Keyring, now func() time.Time, log *slog.Logger) *KeyCalls {
	return &KeyCalls{Keyring: keys, now: now, log: log}
}

// Open implements Keyring.
func (c *KeyCalls) Open(ref kms.Reference) (*kms.Key, error) { return c.counted(ref, c.Keyring.Open) }

// Renew implements Keyring.
func (c *KeyCalls) Renew(ref kms.Reference) (*kms.Key, error) { return c.counted(ref, c.Keyring.Renew) }

func (c *KeyCalls) counted(ref kms.Reference, open func(kms.Reference) (*kms.Key, error)) (*kms.Key, error) {
	key, err := open(ref)
	if err != nil {
		return nil, err
	}
	return key.Counted(&c.tally, providerOf(ref)), nil
}

func providerOf(ref kms.Reference) atlas.Provider {
	switch {
	case ref.AWS != nil:
		return atlas.AWS
	case ref.Azure != nil:
		return atlas.Azure
	}
	return atlas.GCP
}

// Write tells the operator what was counted since it was called last.
func (c *KeyCalls) Write(ctx context.Context) {
	for call, n := range c.tally.Take() {
		obs.Write(ctx, c.log, c.now(), "calls to tenants' key services", []obs.Dimension{
			{Name: "Provider", Value: string(call.Provider)}, {Name: "Operation", Value: string(call.Operation)}, {Name: "Class", Value: string(call.Class)},
		}, obs.Count{Name: "KeyServiceCalls", Value: n})
	}
}
