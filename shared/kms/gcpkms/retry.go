package gcpkms

import (
	"errors"
	"net/http"
	"time"

	kmsapi "cloud.google.com/go/kms/apiv1"
	"github.com/googleapis/gax-go/v2"
	"google.golang.org/api/googleapi"
)

// The SDK's own options retry until the context ends, which would turn every outage into a
// time-out and hold a check for as long as its caller lets it. These try three times.
const (
	maxRetries  = 2
	callTimeout = 20 * time.Second // for callers without a deadline
)

// limit bounds the calls that this package makes.
func limit(o *kmsapi.KeyManagementCallOptions) {
	bounded := []gax.CallOption{
		gax.WithTimeout(callTimeout),
		gax.WithRetry(func() gax.Retryer {
			return &retryer{backoff: gax.Backoff{Initial: 100 * time.Millisecond, Max: 500 * time.Millisecond, Multiplier: 2}}
		}),
	}
	o.Encrypt, o.Decrypt, o.GetCryptoKeyVersion = bounded, bounded, bounded
}

// retryer retries what Google says is passing. All three calls may be repeated freely.
type retryer struct {
	backoff gax.Backoff
	retries int
}

// Retry tells whether to try again, and after how long.
func (r *retryer) Retry(err error) (time.Duration, bool) {
	e, ok := errors.AsType[*googleapi.Error](err)
	if !ok || (e.Code != http.StatusServiceUnavailable && e.Code != http.StatusBadGateway) || r.retries >= maxRetries {
		return 0, false
	}
	r.retries++
	return r.backoff.Pause(), true
}
