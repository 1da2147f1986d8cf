// Package verdict says what one check of a customer master key (CMK) concluded.
//
// Every check ends in exactly one Class with one Reason. The class alone decides whether
// anything happens to a tenant's nodes, so the table from reasons to classes lives here, in
// one place, and the provider drivers only choose reasons. The package's one invariant: a
// failure that is not evidence of the customer's own act is never INVALID, because a wrong
// INVALID stops a customer's database. It imports the standard library only; anyone may
// import it.
package verdict

import (
	"fmt"
	"time"
)

// Class is what a check means for the nodes that depend on the key.
type Class string

const (
	// Valid means the probe was decrypted with the key.
	Valid Class = "VALID"
	// Invalid means the customer took the key, or our access to it, away. Nodes stop once a
	// second check with fresh credentials agrees.
	Invalid Class = "INVALID"
	// Unreachable means the provider could not be reached or refused our address. Nodes keep
	// running: "If Atlas can't connect to your key management provider, Atlas doesn't shut
	// down your processes" (encryption-at-rest document).
	Unreachable Class = "UNREACHABLE"
	// Throttled means the provider asked us to slow down. Nodes keep running.
	Throttled Class = "THROTTLED"
	// Inconclusive means our own side failed. It never acts on a tenant; it pages the operator.
	Inconclusive Class = "INCONCLUSIVE"
)

// Reason is why a check ended as it did, in the vocabulary shared by all providers.
type Reason string

// The reasons, grouped by the class they belong to.
const (
	OK Reason = "OK"

	KeyDisabled        Reason = "KEY_DISABLED"
	KeyPendingDeletion Reason = "KEY_PENDING_DELETION" // AWS deletion scheduled, Google destroy scheduled
	KeyDeleted         Reason = "KEY_DELETED"          // gone, though its material may be recoverable elsewhere
	KeyNotFound        Reason = "KEY_NOT_FOUND"
	KeyPendingImport   Reason = "KEY_PENDING_IMPORT" // no material yet: AWS PendingImport
	KeyNotReady        Reason = "KEY_NOT_READY"      // Google PENDING_GENERATION, AWS Creating
	KeyExpired         Reason = "KEY_EXPIRED"        // Azure "exp" has passed
	KeyExpiring        Reason = "KEY_EXPIRING"       // Azure "exp" within 48 hours: refused when configuring only
	KeyNotActive       Reason = "KEY_NOT_ACTIVE"     // Azure "nbf" lies ahead
	KeyUnsuitable      Reason = "KEY_UNSUITABLE"     // wrong usage or algorithm: cannot encrypt and decrypt
	AccessDenied       Reason = "ACCESS_DENIED"      // credentials work, the key refuses them
	RoleDenied         Reason = "ROLE_DENIED"        // the tenant's role or service account cannot be assumed
	CredentialsInvalid Reason = "CREDENTIALS_INVALID"
	CredentialsExpired Reason = "CREDENTIALS_EXPIRED"

	NetworkRefused Reason = "NETWORK_REFUSED" // firewall, IP rule, private endpoint or perimeter refused us
	ConnectFailed  Reason = "CONNECT_FAILED"
	TimedOut       Reason = "TIMED_OUT"
	ProviderError  Reason = "PROVIDER_ERROR" // 5xx, or a response that makes no sense
	KeyUnavailable Reason = "KEY_UNAVAILABLE"

	RateLimited Reason = "RATE_LIMITED"

	// KeyMismatch: the key answers but does not open the ciphertext. A key cannot come to that
	// by the customer's act, so what is damaged is ours.
	KeyMismatch    Reason = "KEY_MISMATCH"
	OurCredentials Reason = "OUR_CREDENTIALS" // Latchkey's own identity was refused or is missing
	// RequestInvalid: the provider refused a request as malformed. While configuring, that is
	// the customer's to mend; later it is ours.
	RequestInvalid Reason = "REQUEST_INVALID"
	SealFailed     Reason = "SEAL_FAILED" // the tenant's stored secret could not be unsealed
	Internal       Reason = "INTERNAL"
	Cancelled      Reason = "CANCELLED" // the caller gave up
	// Implausible: so many customers' keys failed alike at once that our own fault is likelier.
	Implausible Reason = "IMPLAUSIBLE"
	// Unconfirmed: a client that only read was told that the key is invalid. The schedule of
	// checks finds out within a minute, and only then anything happens. So it is with the key of a
	// configuration that returns, of which nothing newer is known than from before it was changed.
	Unconfirmed Reason = "UNCONFIRMED"
)

// classes is the one table from reason to class.
var classes = map[Reason]Class{
	OK: Valid,

	KeyDisabled: Invalid, KeyPendingDeletion: Invalid, KeyDeleted: Invalid, KeyNotFound: Invalid,
	KeyPendingImport: Invalid, KeyNotReady: Invalid, KeyExpired: Invalid, KeyExpiring: Invalid,
	KeyNotActive: Invalid, KeyUnsuitable: Invalid, AccessDenied: Invalid,
	RoleDenied: Invalid, CredentialsInvalid: Invalid, CredentialsExpired: Invalid,

	NetworkRefused: Unreachable, ConnectFailed: Unreachable, TimedOut: Unreachable,
	ProviderError: Unreachable, KeyUnavailable: Unreachable,

	RateLimited: Throttled,

	KeyMismatch: Inconclusive, OurCredentials: Inconclusive, RequestInvalid: Inconclusive, SealFailed: Inconclusive, Internal: Inconclusive, Cancelled: Inconclusive,
	Implausible: Inconclusive, Unconfirmed: Inconclusive,
}

// Class reports the class a reason belongs to. An unknown reason is Inconclusive: it must
// never act on a tenant.
func (r Reason) Class() Class {
	if c, ok := classes[r]; ok {
		return c
	}
	return Inconclusive
}

// Reasons lists every reason, for tests that must cover each one.
func Reasons() []Reason {
	all := make([]Reason, 0, len(classes))
	for r := range classes {
		all = append(all, r)
	}
	return all
}

// Failure is the error of one failed operation on a customer's key: why, and what the
// provider said. Its text is for operators and logs; clients see a documented error code.
type Failure struct {
	Reason       Reason
	ProviderCode string // the provider's own error code, for example "AccessDeniedException"
	RequestID    string // the provider's request id, which its support asks for
	Err          error  // the SDK's error; logged, never shown
}

// Error names the reason, the provider's code and request id.
func (f *Failure) Error() string {
	s := string(f.Reason)
	if f.ProviderCode != "" {
		s += " (" + f.ProviderCode + ")"
	}
	if f.RequestID != "" {
		s += " request " + f.RequestID
	}
	if f.Err != nil {
		s += ": " + f.Err.Error()
	}
	return s
}

// Unwrap returns the provider's error.
func (f *Failure) Unwrap() error { return f.Err }

// Class is the class of the failure's reason.
func (f *Failure) Class() Class { return f.Reason.Class() }

// Failed builds a Failure from a formatted cause of our own making.
func Failed(r Reason, format string, args ...any) *Failure {
	return &Failure{Reason: r, Err: fmt.Errorf(format, args...)}
}

// Verdict is the stored conclusion of one check.
type Verdict struct {
	Reason       Reason    `json:"reason"`
	ProviderCode string    `json:"providerCode,omitempty"`
	RequestID    string    `json:"requestId,omitempty"`
	Settings     int64     `json:"settings"`  // the version of the key's configuration that was checked
	StartedAt    time.Time `json:"startedAt"` // when the check started, not when it ended
	Since        time.Time `json:"since"`     // when the class last changed
}

// Class is the class of the verdict's reason.
func (v Verdict) Class() Class { return v.Reason.Class() }

// Supersedes reports whether v may replace old: a verdict never overwrites one that started
// later or that saw newer settings.
func (v Verdict) Supersedes(old Verdict) bool {
	if v.Settings != old.Settings {
		return v.Settings > old.Settings
	}
	return v.StartedAt.After(old.StartedAt)
}

// SameConclusion reports whether both say the same thing, so that storing v would only
// change its time.
func (v Verdict) SameConclusion(old Verdict) bool {
	return v.Reason == old.Reason && v.Settings == old.Settings && v.ProviderCode == old.ProviderCode
}
