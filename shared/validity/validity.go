// Package validity checks whether customer master keys still open what they sealed, and
// concludes a verdict.
//
// A healthy check is one call to the tenant's KMS with cached credentials. Its invariant: no
// verdict of class INVALID without a second check, with fresh credentials, that agrees.
package validity

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"latchkey/shared/kms"
	"latchkey/shared/verdict"
)

// Keyring opens keys.
type Keyring interface {
	// Open reaches a key with cached credentials. It does no I/O of its own.
	Open(ref kms.Reference) (*kms.Key, error)
	// Renew reaches a key with credentials that nobody has used yet.
	Renew(ref kms.Reference) (*kms.Key, error)
}

// Subject is one key to check.
type Subject struct {
	GroupID string
	// Revision is the version of the configuration that Ref and Probe belong to.
	Revision int64
	Probe    kms.Probe
	// Expires is the key's own expiry as last seen, zero if it has none. Azure goes on
	// decrypting with an expired key, so only the key's description can tell.
	Expires time.Time
	// Ref resolves the key's name and credentials; it may unseal secrets. Its error makes the
	// check INCONCLUSIVE, unless it is a *verdict.Failure.
	Ref func(ctx context.Context) (kms.Reference, error)
	// Latest is Ref from what is stored by now, for a subject that was read some time ago: a refusal counts
	// only if it is confirmed that way. nil is Ref's answer.
	Latest func(ctx context.Context) (kms.Reference, error)
	// Former resolves the way to the key that was used before, while a change of it can still be
	// taken back; nil otherwise. What opens that way is VALID: no node stops for a change.
	Former func(ctx context.Context) (kms.Reference, error)
	// Name tells the subjects of a group apart: the provider.
	Name string
	// Fresh checks with credentials that nobody has used: for a tenant who asks. Cached ones
	// would hide for an hour that a role no longer trusts us, since a session outlives that.
	Fresh bool
	// Anew makes no use of what a check found out earlier: for a tenant who has just mended
	// something. Those who ask for that at the same time still share one check.
	Anew bool
}

// Shared is how long callers share the conclusion of one check (validation on demand).
const Shared = 5 * time.Second

// checkTimeout bounds one call to a tenant's KMS. It is long for a KMS and short enough that
// the check, its confirmation and the rest of a request fit into API Gateway's 29 seconds.
const checkTimeout = 8 * time.Second

// Checker concludes verdicts. It is safe for concurrent use; make it with New.
type Checker struct {
	keys Keyring
	now  func() time.Time

	flights singleflight.Group
	mu      sync.Mutex
	recent  map[string]verdict.Verdict
	cleared time.Time // when recent was last rid of what is not shared any more
}

// New returns a Checker.
func New(keys Keyring, now func() time.Time) *Checker {
	return &Checker{keys: keys, now: now, recent: map[string]verdict.Verdict{}}
}

// Check concludes a verdict on the subject. Calls within Shared of a check's start get that
// check's verdict, unless they want it anew. The check goes on if the caller gives up, since others may wait for it.
func (c *Checker) Check(ctx context.Context, s Subject) verdict.Verdict {
	id := s.GroupID + "/" + s.Name + "/" + strconv.FormatInt(s.Revision, 10)
	flight := id
	if s.Anew {
		flight += "/anew"
	} else if v, ok := c.shared(id); ok {
		return v
	}
	result, _, _ := c.flights.Do(flight, func() (any, error) {
		if v, ok := c.shared(id); ok && !s.Anew {
			return v, nil
		}
		v := c.check(context.WithoutCancel(ctx), s)
		c.remember(id, v)
		return v, nil
	})
	v, ok := result.(verdict.Verdict)
	if !ok {
		return verdict.Verdict{Reason: verdict.Internal, Settings: s.Revision, StartedAt: c.now()}
	}
	return v
}

func (c *Checker) check(ctx context.Context, s Subject) verdict.Verdict {
	v := verdict.Verdict{Settings: s.Revision, StartedAt: c.now().UTC(), Reason: verdict.OK}
	ref, err := s.Ref(ctx)
	if err == nil {
		open := c.keys.Open
		if s.Fresh {
			open = c.keys.Renew
		}
		err = c.probe(ctx, open, ref, s)
		if reasonOf(err).Class() == verdict.Invalid {
			err = c.confirm(ctx, ref, s)
		}
	}
	if s.Former != nil && reasonOf(err).Class() == verdict.Invalid && c.opensFormerly(ctx, s) {
		return v
	}
	if err == nil {
		return v
	}
	v.Reason = reasonOf(err)
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		v.ProviderCode, v.RequestID = f.ProviderCode, f.RequestID
	}
	return v
}

// confirm checks with fresh credentials what was refused.
func (c *Checker) confirm(ctx context.Context, ref kms.Reference, s Subject) error {
	if s.Latest != nil {
		latest, err := s.Latest(ctx)
		if err != nil {
			return err
		}
		ref = latest
	}
	return c.probe(ctx, c.keys.Renew, ref, s)
}

// opensFormerly reports whether the probe opens in the way that was used before.
func (c *Checker) opensFormerly(ctx context.Context, s Subject) bool {
	ref, err := s.Former(ctx)
	return err == nil && c.probe(ctx, c.keys.Renew, ref, s) == nil
}

// probe opens the key and decrypts the subject's probe with it. Once the expiry that is known
// has passed, the key is also asked whether it has a later one by now.
func (c *Checker) probe(ctx context.Context, open func(kms.Reference) (*kms.Key, error), ref kms.Reference, s Subject) error {
	ctx, cancel := context.WithTimeout(ctx, checkTimeout)
	defer cancel()
	key, err := open(ref)
	if err != nil {
		return err
	}
	if err := key.CheckProbe(ctx, s.GroupID, s.Probe); err != nil {
		return err
	}
	if s.Expires.IsZero() || c.now().Before(s.Expires) {
		return nil
	}
	_, err = key.Describe(ctx)
	return err
}

// reasonOf is the reason of an error; Internal for one that is no *verdict.Failure.
func reasonOf(err error) verdict.Reason {
	if err == nil {
		return verdict.OK
	}
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return verdict.Internal
}

func (c *Checker) shared(id string) (verdict.Verdict, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	v, ok := c.recent[id]
	return v, ok && isRecent(v.StartedAt, c.now())
}

// isRecent reports whether a verdict may still be shared. One from the future is not: the clock
// was set back, and would hide what becomes of the key for as long.
func isRecent(at, now time.Time) bool {
	age := now.Sub(at)
	return age >= 0 && age < Shared
}

// remember keeps a verdict for those who ask within Shared. A check that began before the one whose
// verdict is there adds nothing.
func (c *Checker) remember(id string, v verdict.Verdict) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := c.now()
	if there, ok := c.recent[id]; ok && isRecent(there.StartedAt, now) && there.StartedAt.After(v.StartedAt) {
		return
	}
	c.forget(now)
	c.recent[id] = v
}

// forget drops the verdicts that are not shared any more. A run of the schedule makes thousands of checks
// within Shared: looking through all of them at each would cost more than the checks.
func (c *Checker) forget(now time.Time) {
	if isRecent(c.cleared, now) {
		return
	}
	c.cleared = now
	maps.DeleteFunc(c.recent, func(_ string, v verdict.Verdict) bool { return !isRecent(v.StartedAt, now) })
}
