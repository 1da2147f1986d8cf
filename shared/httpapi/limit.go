package httpapi

import (
	"math"
	"net/netip"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"latchkey/shared/atlas"
)

// EndpointSet is a group of operations that share a token bucket (CONTRACT 1.6).
type EndpointSet struct {
	ID       string
	Name     string
	Scope    LimitScope
	Capacity int
	Refill   int // tokens per minute
}

// Exceeded is the answer to a request for which no token is left.
func (s EndpointSet) Exceeded(req *Request, retry time.Duration) error {
	e := atlas.Fail(atlas.RateLimited, strings.TrimPrefix(req.Path, "/"), int(retry.Seconds()), s.Capacity, s.Refill, 60)
	e.RetryAfter = retry
	return e
}

// LimitScope is what each bucket of an endpoint set is kept for.
type LimitScope string

// The scopes.
const (
	PerGroup LimitScope = "GROUP"
	PerOrg   LimitScope = "ORG"
	PerUser  LimitScope = "USER"
	PerIP    LimitScope = "IP"
)

// The endpoint sets that exist here, with capacities from CONTRACT 1.6.
var (
	LimitEncryption   = EndpointSet{"encryptionAtRest", "Encryption at Rest using Customer Key Management", PerGroup, 2000, 1000}
	LimitAccess       = EndpointSet{"cloudProviderAccess", "Cloud Provider Access", PerGroup, 2000, 1000}
	LimitClusters     = EndpointSet{"clusters", "Clusters", PerGroup, 10000, 5000}
	LimitGroup        = EndpointSet{"projects", "Projects", PerGroup, 1200, 500}
	LimitAlerts       = EndpointSet{"alerts", "Alerts", PerGroup, 1200, 500}
	LimitAlertConfigs = EndpointSet{"alertConfigs", "Alert Configurations", PerGroup, 1200, 500}
	LimitMaintenance  = EndpointSet{"maintenanceWindows", "Maintenance Windows", PerGroup, 1200, 500}
	LimitEvents       = EndpointSet{"events", "Events", PerGroup, 300, 100}
	LimitOrg          = EndpointSet{"organizations", "Organizations", PerOrg, 500, 250}
	LimitOrgs         = EndpointSet{"listOrganizations", "List Organizations", PerUser, 300, 100}
	LimitGroups       = EndpointSet{"listProjects", "List Projects", PerUser, 1200, 500}
	LimitBackups      = EndpointSet{"cloudBackups", "Cloud Backups", PerGroup, 1200, 500}
	LimitOpen         = EndpointSet{"unauthenticated", "Unauthenticated", PerIP, 300, 100}
)

// limitRefused bounds the attempts of one caller that the gate refuses. It is no endpoint set of
// the API: nobody who may do what they ask for meets it.
var limitRefused = EndpointSet{"refused", "Refused attempts", PerUser, 300, 100}

// EndpointSets lists the endpoint sets, for clients that ask what limits they have.
func EndpointSets() []EndpointSet {
	return []EndpointSet{
		LimitEncryption, LimitAccess, LimitClusters, LimitGroup, LimitAlerts, LimitAlertConfigs, LimitMaintenance,
		LimitEvents, LimitOrg, LimitOrgs, LimitGroups, LimitBackups, LimitOpen,
	}
}

// Neighbourhood is what counts as one address where requests are counted by where they come from: of IPv6,
// everybody has 2^64.
func Neighbourhood(address string) string {
	ip, err := netip.ParseAddr(address)
	if err != nil {
		return address
	}
	if ip = ip.Unmap(); ip.Is4() {
		return ip.String()
	}
	prefix, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return address
	}
	return prefix.String()
}

// maxBuckets bounds the limiter's memory. When it is reached, full buckets, which say no more
// than a missing one, are dropped.
const maxBuckets = 50_000

// Limiter keeps token buckets in the memory of one function instance. It protects the table
// and the tenants' KMS quotas from one caller's loop; it is no billing meter, so instances
// don't share buckets and no request pays a write for it.
type Limiter struct {
	now func() time.Time

	mu      sync.Mutex
	buckets map[string]*rate.Limiter
}

// NewLimiter returns a Limiter with full buckets.
func NewLimiter(now func() time.Time) *Limiter {
	return &Limiter{now: now, buckets: map[string]*rate.Limiter{}}
}

// Take draws a token from the bucket that the endpoint set keeps for the subject. It returns
// the tokens left, and when none was left, how long until the next.
func (l *Limiter) Take(set EndpointSet, subject string) (left int, retryAfter time.Duration, ok bool) {
	now := l.now()
	b := l.bucket(set, subject, now)
	if b.AllowN(now, 1) {
		return int(b.TokensAt(now)), 0, true
	}
	missing := 1 - b.TokensAt(now)
	seconds := math.Ceil(missing / float64(b.Limit()))
	return 0, time.Duration(seconds) * time.Second, false
}

// Left reports whether the bucket has a token, without drawing it, and if not, how long until it has.
func (l *Limiter) Left(set EndpointSet, subject string) (retryAfter time.Duration, ok bool) {
	now := l.now()
	b := l.bucket(set, subject, now)
	missing := 1 - b.TokensAt(now)
	if missing <= 0 {
		return 0, true
	}
	return time.Duration(math.Ceil(missing/float64(b.Limit()))) * time.Second, false
}

func (l *Limiter) bucket(set EndpointSet, subject string, now time.Time) *rate.Limiter {
	l.mu.Lock()
	defer l.mu.Unlock()
	key := set.ID + "|" + subject
	if b, ok := l.buckets[key]; ok {
		return b
	}
	if len(l.buckets) >= maxBuckets {
		for k, b := range l.buckets {
			if b.TokensAt(now) >= float64(b.Burst()) {
				delete(l.buckets, k)
			}
		}
	}
	b := rate.NewLimiter(rate.Limit(float64(set.Refill)/60), set.Capacity)
	l.buckets[key] = b
	return b
}
