package awskms

import (
	"context"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	awskms "github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"latchkey/shared/atlas"
)

// Clients are the clients by which credentials reach AWS. A client takes more memory than a session, and
// there may be a hundred thousand of those; so credentials that go over the same transport share their
// clients, and each call brings its credentials along. It is safe for concurrent use; the zero value is
// ready.
type Clients struct {
	mu  sync.Mutex
	kms map[target]*awskms.Client
	sts map[target]*sts.Client
}

// target is where a client leads.
type target struct {
	url    string // "" is AWS's own
	region atlas.AWSRegion
}

// kmsClient is the client of a region's KMS. o has its defaults.
func (c *Clients) kmsClient(o Options, region atlas.AWSRegion) *awskms.Client {
	return keep(c, &c.kms, target{o.Endpoint("kms", region), region}, func(to target) *awskms.Client {
		return awskms.New(awskms.Options{
			Region: string(region), HTTPClient: o.httpClient(), Retryer: newRetryer(), BaseEndpoint: to.baseEndpoint(), AppID: "latchkey",
			HTTPSignerV4: signer{},
		})
	})
}

// stsClient is the client of Latchkey's own region's STS. o has its defaults.
func (c *Clients) stsClient(o Options) *sts.Client {
	return keep(c, &c.sts, target{o.Endpoint("sts", o.Region), o.Region}, func(to target) *sts.Client {
		return sts.New(sts.Options{
			Region: string(o.Region), HTTPClient: o.httpClient(), Retryer: newRetryer(), BaseEndpoint: to.baseEndpoint(), AppID: "latchkey",
			HTTPSignerV4: signer{},
		})
	})
}

// keep returns the client that leads to a target, which is made if there is none.
func keep[C any](c *Clients, all *map[target]*C, to target, create func(target) *C) *C {
	c.mu.Lock()
	defer c.mu.Unlock()
	client, ok := (*all)[to]
	if !ok {
		client = create(to)
		if *all == nil {
			*all = map[target]*C{}
		}
		(*all)[to] = client
	}
	return client
}

// baseEndpoint is the override of an endpoint as the SDK takes it.
func (t target) baseEndpoint() *string {
	if t.url == "" {
		return nil
	}
	return &t.url
}

// httpClient follows no redirects: AWS sends none.
func (o Options) httpClient() attempts {
	return attempts{&http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// attempts bounds each attempt, until all of its answer was read. http.Client's own Timeout does the same, but starts a
// goroutine for every request that goes over another transport than net/http's.
type attempts struct{ client *http.Client }

// Do implements aws.HTTPClient.
func (a attempts) Do(r *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithTimeout(r.Context(), attemptDuration)
	resp, err := a.client.Do(r.WithContext(ctx)) //nolint:gosec // G704: the SDK made the URL, of a region from a fixed list or an endpoint of ours
	if err != nil {
		cancel()
		return nil, err
	}
	resp.Body = ending{resp.Body, cancel}
	return resp, nil
}

// ending is a body with which an attempt ends.
type ending struct {
	io.ReadCloser

	cancel context.CancelFunc
}

// Close closes the body.
func (e ending) Close() error {
	defer e.cancel()
	return e.ReadCloser.Close()
}

// signer signs each request with the secret that it comes with. The SDK's own keeps what it derived from a secret under the
// access key's id alone: through a shared client whoever names another one's id would sign as that one.
type signer struct{}

// SignHTTP implements kms.HTTPSignerV4 and sts.HTTPSignerV4.
func (signer) SignHTTP(
	ctx context.Context, c aws.Credentials, r *http.Request, payload, service, region string, at time.Time, options ...func(*v4.SignerOptions),
) error {
	return v4.NewSigner().SignHTTP(ctx, c, r, payload, service, region, at, options...) //nolint:wrapcheck // for the SDK
}

// newRetryer bounds the attempts of each call. There is no bound on those of all calls together: tenants share
// the client, and one whose KMS does not answer must not use up what the others may try.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts, o.MaxBackoff, o.RateLimiter = maxAttempts, maxBackoff, ratelimit.None
	})
}

// assumer asks STS for sessions as Latchkey itself.
type assumer struct {
	client *sts.Client
	who    ownIdentity
}

// AssumeRole implements stscreds.AssumeRoleAPIClient.
func (a assumer) AssumeRole(ctx context.Context, in *sts.AssumeRoleInput, _ ...func(*sts.Options)) (*sts.AssumeRoleOutput, error) {
	return a.client.AssumeRole(ctx, in, as(a.who))
}

// as makes a call of STS that of whoever the credentials are for.
func as(who aws.CredentialsProvider) func(*sts.Options) {
	return func(o *sts.Options) { o.Credentials = who }
}
