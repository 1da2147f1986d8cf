package node

import (
	"context"
	"errors"
	"net/http"

	"latchkey/shared/atlas"
	"latchkey/shared/obs"
)

// Outcome is how a request for the release of a master key ended.
type Outcome string

// The outcomes.
const (
	// Granted: the node got its key.
	Granted Outcome = "GRANTED"
	// Refused: the tenant has taken the customer key away, or the cluster is stopped for it.
	Refused Outcome = "REFUSED"
	// Unavailable: the tenant's key service could not be reached or throttled; the agent asks again.
	Unavailable Outcome = "UNAVAILABLE"
	// Rejected: the node asked for what it has no right to, or what does not exist.
	Rejected Outcome = "REJECTED"
	// Failed: the fault is the operator's.
	Failed Outcome = "FAILED"
)

// Outcomes are all of them.
func Outcomes() []Outcome { return []Outcome{Granted, Refused, Unavailable, Rejected, Failed} }

// outcomeOf is how a request for a release ended that returned err. An agent that went away meanwhile
// did not get its key, which is nobody's fault but still one that was not released.
func outcomeOf(err error) Outcome {
	if err == nil {
		return Granted
	}
	switch code := atlas.CodeOf(err); {
	case code == atlas.NodeDisabled:
		return Refused
	case code == atlas.NodeKMSUnreachable, errors.Is(err, context.Canceled):
		return Unavailable
	case code.Status() < http.StatusInternalServerError:
		return Rejected
	}
	return Failed
}

// countRelease counts a request for a release that ended.
func (s *Service) countRelease(ctx context.Context, err error) {
	obs.Write(ctx, s.Log, s.Now(), "master key asked for", []obs.Dimension{{Name: "Outcome", Value: string(outcomeOf(err))}},
		obs.Count{Name: "MasterKeyReleases", Value: 1})
}
