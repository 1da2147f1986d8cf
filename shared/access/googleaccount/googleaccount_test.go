package googleaccount_test

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/oauth2"

	"latchkey/shared/access/googleaccount"
	"latchkey/shared/atlas"
	"latchkey/shared/verdict"
)

const target = "mongodb-atlas-0123456789abcdef@p-0123456789abcdefghijklmn.iam.gserviceaccount.com"

var keyFile = sync.OnceValue(func() string {
	private, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		panic(err)
	}
	file, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "tenant-1", "private_key_id": "k1", "client_email": "cmk@tenant-1.iam.gserviceaccount.com",
		"private_key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), "token_uri": "https://evil.example/token",
	})
	if err != nil {
		panic(err)
	}
	return string(file)
})

func testKey(t testing.TB) atlas.GoogleServiceAccountKey {
	t.Helper()
	k, err := atlas.ParseGoogleServiceAccountKey(keyFile())
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// google answers by host; it is a function, so that a test says what Google does.
type google func(*http.Request) (code int, body string)

func (g google) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	code, body := g(r)
	if code == 0 {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	return &http.Response{
		StatusCode: code, Header: http.Header{"Location": {"https://evil.example/"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

func options(rt http.RoundTripper) googleaccount.Options {
	return googleaccount.Options{Transport: rt, Now: time.Now, Scope: googleaccount.ScopeKMS}
}

func reasonOf(err error) verdict.Reason {
	if f, ok := errors.AsType[*verdict.Failure](err); ok {
		return f.Reason
	}
	return ""
}

const issued = `{"access_token":"token","expires_in":3599,"token_type":"Bearer"}`

func TestATokenIsKeptUntilShortlyBeforeItExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		id := googleaccount.Tenant(testKey(t), options(google(func(r *http.Request) (int, string) {
			fetched.Add(1)
			if r.URL.String() != "https://oauth2.googleapis.com/token" {
				t.Errorf("a token is asked for at %s", r.URL)
			}
			return 200, issued
		})))
		for range 12 {
			if _, err := id.Token(t.Context()); err != nil {
				t.Fatal(err)
			}
			time.Sleep(55 * time.Minute / 12)
		}
		if got := fetched.Load(); got != 1 {
			t.Errorf("%d tokens were fetched in 55 minutes", got)
		}
		time.Sleep(2 * time.Minute) // three minutes before it expires
		if _, err := id.Token(t.Context()); err != nil || fetched.Load() != 2 {
			t.Errorf("after 57 minutes %d tokens were fetched, %v", fetched.Load(), err)
		}
	})
}

func TestCallersShareOneRequestForAToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched atomic.Int32
		id := googleaccount.Tenant(testKey(t), options(google(func(*http.Request) (int, string) {
			fetched.Add(1)
			time.Sleep(time.Second)
			return 200, issued
		})))
		hasty, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				ctx := t.Context()
				if i%2 == 1 {
					time.Sleep(time.Nanosecond) // the patient ones are first
					ctx = hasty
				}
				_, err := id.Token(ctx)
				if want := i%2 == 1; (err != nil) != want || want && !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("caller %d gets %v", i, err)
				}
			})
		}
		wg.Wait()
		if fetched.Load() != 1 {
			t.Errorf("%d requests were made", fetched.Load())
		}
	})
}

func TestAnIdentityThatIsOpenedLaterIsOpenedForAllAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var fetched, opening atomic.Int32
		inner := googleaccount.OwnKey(testKey(t), options(google(func(*http.Request) (int, string) {
			fetched.Add(1)
			return 200, issued
		})))
		trouble := verdict.Failed(verdict.OurCredentials, "no secret")
		id := googleaccount.OwnLater(func(context.Context) (*googleaccount.Identity, error) {
			opening.Add(1)
			time.Sleep(time.Second)
			if trouble != nil {
				return nil, trouble
			}
			return inner, nil
		}, time.Now)
		if opening.Load() != 0 || id.Refused() != verdict.OurCredentials {
			t.Error("it is opened before anybody needs it, or no identity of ours")
		}
		began := time.Now()
		all := func() (failed int32) {
			var n atomic.Int32
			var wg sync.WaitGroup
			for range 10 {
				wg.Go(func() {
					if _, err := id.Token(t.Context()); err != nil {
						n.Add(1)
						if reasonOf(err) != verdict.OurCredentials {
							t.Error(err)
						}
					}
				})
			}
			wg.Wait()
			return n.Load()
		}
		if failed, took := all(), time.Since(began); failed != 10 || took != time.Second {
			t.Errorf("%d fail after %s: they wait for each other", failed, took)
		}
		trouble = nil
		if failed := all(); failed != 0 || fetched.Load() != 1 {
			t.Errorf("afterwards %d fail, and %d tokens are fetched", failed, fetched.Load())
		}
	})
}

func TestATokenThatTheAPIRefusesIsReplacedOnce(t *testing.T) {
	for name, tc := range map[string]struct {
		accepted string
		want     int
	}{"revoked": {"second", 200}, "the account is refused": {"none", 401}} {
		var tokens, calls int
		id := googleaccount.Tenant(testKey(t), options(google(func(*http.Request) (int, string) {
			tokens++
			value := map[int]string{1: "first", 2: "second"}[tokens]
			return 200, `{"access_token":"` + value + `","expires_in":3599}`
		})))
		hc := &http.Client{Transport: id.Transport(google(func(r *http.Request) (int, string) {
			calls++
			if body, err := io.ReadAll(r.Body); err != nil || string(body) != "payload" {
				t.Errorf("%s: call %d has the body %q, %v", name, calls, body, err)
			}
			if r.Header.Get("Authorization") == "Bearer "+tc.accepted {
				return 200, ""
			}
			return 401, ""
		}))}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://cloudkms.googleapis.com/", strings.NewReader("payload"))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := hc.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close() != nil || resp.StatusCode != tc.want || tokens != 2 || calls != 2 {
			t.Errorf("%s: %d after %d calls with %d tokens", name, resp.StatusCode, calls, tokens)
		}
		if r.Header.Get("Authorization") != "" {
			t.Error("the caller's request was changed")
		}
	}
}

func TestRefusalsOfATenantsKey(t *testing.T) {
	grant := func(description string) string {
		return `{"error":"invalid_grant","error_description":"` + description + `"}`
	}
	for name, tc := range map[string]struct {
		code      int
		body      string
		want, own verdict.Reason
	}{
		"a deleted key":       {400, grant("Invalid JWT Signature."), verdict.CredentialsInvalid, verdict.OurCredentials},
		"a deleted account":   {400, grant("Invalid grant: account not found"), verdict.CredentialsInvalid, verdict.OurCredentials},
		"unauthorized":        {401, `{"error":"unauthorized_client"}`, verdict.CredentialsInvalid, verdict.OurCredentials},
		"a shut down project": {401, `{"error":"disabled_client"}`, verdict.CredentialsInvalid, verdict.OurCredentials},
		"our clock is wrong":  {400, grant("Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe."), verdict.Internal, verdict.Internal},
		"a scope of ours":     {400, `{"error":"invalid_scope"}`, verdict.Internal, verdict.Internal},
		"something new":       {400, `{"error":"never_heard_of"}`, verdict.Internal, verdict.Internal},
		"throttled":           {429, `{"error":"rate_limit_exceeded"}`, verdict.RateLimited, verdict.RateLimited},
		"throttled as 403":    {403, `{"error":"rate_limit_exceeded"}`, verdict.RateLimited, verdict.RateLimited},
		"a fault":             {500, `{"error":"internal_failure"}`, verdict.ProviderError, verdict.ProviderError},
		"invalid_grant, 503":  {503, grant("Backend Error"), verdict.ProviderError, verdict.ProviderError},
		"a proxy":             {403, "<html>", verdict.NetworkRefused, verdict.NetworkRefused},
		"a redirect":          {302, "", verdict.ProviderError, verdict.ProviderError},
		"nonsense":            {200, "<html>", verdict.ProviderError, verdict.ProviderError},
		"no token":            {200, `{"access_token":"","expires_in":3599}`, verdict.ProviderError, verdict.ProviderError},
		"an expired token":    {200, `{"access_token":"t","expires_in":-1}`, verdict.ProviderError, verdict.ProviderError},
	} {
		rt := google(func(*http.Request) (int, string) { return tc.code, tc.body })
		for _, identity := range []struct {
			id   *googleaccount.Identity
			want verdict.Reason
		}{{googleaccount.Tenant(testKey(t), options(rt)), tc.want}, {googleaccount.OwnKey(testKey(t), options(rt)), tc.own}} {
			_, err := identity.id.Token(t.Context())
			if got := reasonOf(err); got != identity.want {
				t.Errorf("%s gives %s (%v), want %s", name, got, err, identity.want)
			}
			if err != nil && strings.Contains(err.Error(), "eyJ") {
				t.Errorf("%s: the error holds the assertion: %v", name, err)
			}
		}
	}
}

func TestNoRefusalOfOurOwnIdentityIsATenantsAct(t *testing.T) {
	status := func(name, reason string) string {
		return `{"error":{"status":"` + name + `","message":"m","details":[{"@type":"type.googleapis.com/google.rpc.ErrorInfo","reason":"` + reason + `"}]}}`
	}
	for name, tc := range map[string]struct {
		code int
		body string
		want verdict.Reason
	}{
		"may not act as it":   {403, status("PERMISSION_DENIED", "IAM_PERMISSION_DENIED"), verdict.OurCredentials},
		"does not exist":      {404, status("NOT_FOUND", ""), verdict.OurCredentials},
		"is disabled":         {400, status("FAILED_PRECONDITION", ""), verdict.OurCredentials},
		"we are unknown":      {401, status("UNAUTHENTICATED", "ACCESS_TOKEN_EXPIRED"), verdict.OurCredentials},
		"a perimeter of ours": {403, status("PERMISSION_DENIED", "SECURITY_POLICY_VIOLATED"), verdict.OurCredentials},
		"malformed":           {400, status("INVALID_ARGUMENT", ""), verdict.Internal},
		"throttled":           {429, status("RESOURCE_EXHAUSTED", ""), verdict.RateLimited},
		"down":                {503, status("UNAVAILABLE", ""), verdict.ProviderError},
		"nonsense":            {200, "{", verdict.ProviderError},
		"no token":            {200, "{}", verdict.ProviderError},
	} {
		own := googleaccount.Own(oauth2.StaticTokenSource(&oauth2.Token{AccessToken: "own"}), time.Now)
		id := googleaccount.Impersonate(own, target, options(google(func(r *http.Request) (int, string) {
			if r.URL.Path != "/v1/projects/-/serviceAccounts/"+target+":generateAccessToken" || r.Header.Get("Authorization") != "Bearer own" {
				t.Errorf("%s %s with %q", r.Method, r.URL, r.Header.Get("Authorization"))
			}
			return tc.code, tc.body
		})))
		_, err := id.Token(t.Context())
		if got := reasonOf(err); got != tc.want {
			t.Errorf("%s gives %s (%v), want %s", name, got, err, tc.want)
		}
	}
}

type source func() (*oauth2.Token, error)

func (s source) Token() (*oauth2.Token, error) { return s() }

func TestAnOwnSourceThatFailsOrHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := googleaccount.Own(source(func() (*oauth2.Token, error) { return nil, errors.New("no metadata") }), time.Now)
		if _, err := id.Token(t.Context()); reasonOf(err) != verdict.OurCredentials || id.Refused() != verdict.OurCredentials {
			t.Errorf("a source that fails gives %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		id = googleaccount.Own(source(func() (*oauth2.Token, error) {
			time.Sleep(time.Hour)
			return nil, errors.New("late")
		}), time.Now)
		if _, err := id.Token(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a source that hangs gives %v", err)
		}
		time.Sleep(2 * time.Hour)
	})
}

func TestAnEndOfTheContextIsNotTheProvidersFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		id := googleaccount.Tenant(testKey(t), options(google(func(*http.Request) (int, string) { return 0, "" })))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := id.Token(ctx); !errors.Is(err, context.DeadlineExceeded) || reasonOf(err) != "" {
			t.Errorf("a deadline gives %v", err)
		}
		ctx, cancel = context.WithCancel(t.Context())
		cancel()
		if _, err := id.Token(ctx); !errors.Is(err, context.Canceled) || reasonOf(err) != "" {
			t.Errorf("a cancellation gives %v", err)
		}
	})
}
