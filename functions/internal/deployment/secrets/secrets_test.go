package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/secrets"
	"latchkey/shared/verdict"
)

const arn = "arn:aws:secretsmanager:us-east-1:123456789012:secret:latchkey/azure-AbCdEf"

// manager is Secrets Manager on the wire.
type manager struct {
	mu     sync.Mutex
	answer func(ctx context.Context) (status int, body string) // nil never answers
	asked  int
}

func (m *manager) set(status int, body string) {
	m.serve(func(context.Context) (int, string) { return status, body })
}

func (m *manager) serve(answer func(ctx context.Context) (int, string)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.answer = answer
}

func (m *manager) reads() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.asked
}

// Do implements aws.HTTPClient.
func (m *manager) Do(r *http.Request) (*http.Response, error) {
	m.mu.Lock()
	m.asked++
	answer := m.answer
	m.mu.Unlock()
	if answer == nil {
		<-r.Context().Done()
		return nil, r.Context().Err()
	}
	status, body := answer(r.Context())
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/x-amz-json-1.1"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r,
	}, nil
}

const held = `{"SecretString":"s3cret"}`

func environment(m *manager) *deployment.Environment {
	role := aws.Config{Region: "us-east-1", HTTPClient: m, Credentials: credentials.NewStaticCredentialsProvider("ASIA1", "secret", "token")}
	return deployment.New(role, func(string) string { return "" }, time.Now, slog.New(slog.DiscardHandler))
}

// wantOurs fails unless an error says that the trouble is the deployment's own.
func wantOurs(t *testing.T, err error) {
	t.Helper()
	if f, ok := errors.AsType[*verdict.Failure](err); !ok || f.Reason != verdict.OurCredentials {
		t.Errorf("%v, want %s", err, verdict.OurCredentials)
	}
}

func TestASecretIsReadOnceWhenItIsNeeded(t *testing.T) {
	m := &manager{}
	m.set(http.StatusOK, held)
	secret := secrets.Text(environment(m), arn)
	if m.reads() != 0 {
		t.Error("it is read before anybody needs it")
	}
	for range 3 {
		if got, err := secret.Value(t.Context()); got != "s3cret" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
	}
	if got := m.reads(); got != 1 {
		t.Errorf("it is read %d times", got)
	}
}

func TestAllWhoNeedASecretAtTheSameTimeShareOneRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, release := &manager{}, make(chan struct{})
		m.serve(func(context.Context) (int, string) { <-release; return http.StatusOK, held })
		secret := secrets.Text(environment(m), arn)
		var served atomic.Int32
		for range 50 {
			go func() {
				if got, err := secret.Value(t.Context()); got == "s3cret" && err == nil {
					served.Add(1)
				}
			}()
		}
		synctest.Wait()
		close(release)
		synctest.Wait()
		if served.Load() != 50 || m.reads() != 1 {
			t.Errorf("%d are served with %d reads", served.Load(), m.reads())
		}
	})
}

func TestAFailureToReadASecretIsOursAndTheNextUseTriesAgain(t *testing.T) {
	for name, trouble := range map[string]struct {
		status int
		body   string
	}{
		"denied":       {http.StatusBadRequest, `{"__type":"AccessDeniedException","Message":"not authorized"}`},
		"deleted":      {http.StatusBadRequest, `{"__type":"ResourceNotFoundException","Message":"can't find it"}`},
		"out of order": {http.StatusInternalServerError, `{"__type":"InternalServiceError"}`},
		"no JSON":      {http.StatusOK, `<html>`},
		"no text":      {http.StatusOK, `{"SecretBinary":"AAAA"}`},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the SDK waits between its attempts
				m := &manager{}
				m.set(trouble.status, trouble.body)
				secret := secrets.Text(environment(m), arn)
				_, err := secret.Value(t.Context())
				wantOurs(t, err)
				if strings.Contains(fmt.Sprint(err), "s3cret") {
					t.Errorf("%v tells the secret", err)
				}
				m.set(http.StatusOK, held)
				if got, err := secret.Value(t.Context()); got != "s3cret" || err != nil {
					t.Errorf("afterwards: %q, %v", got, err)
				}
			})
		})
	}
}

func TestASecretManagerThatDoesNotAnswerIsOursToo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &manager{}
		secret := secrets.Text(environment(m), arn)
		began := time.Now()
		_, err := secret.Value(t.Context())
		wantOurs(t, err)
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("it is waited for %s: longer than a check has", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err = secret.Value(ctx)
		wantOurs(t, err) // not a time-out, which would be the provider's
		synctest.Wait()
		time.Sleep(time.Minute)
		m.set(http.StatusOK, held)
		if got, err := secret.Value(t.Context()); got != "s3cret" || err != nil {
			t.Errorf("afterwards: %q, %v", got, err)
		}
	})
}

func TestWhoGoesAwayTakesTheSecretFromNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m, release := &manager{}, make(chan struct{})
		m.serve(func(ctx context.Context) (int, string) {
			select {
			case <-release:
				return http.StatusOK, held
			case <-ctx.Done():
				return http.StatusRequestTimeout, ""
			}
		})
		secret := secrets.Text(environment(m), arn)
		first, leave := context.WithCancel(t.Context())
		errs := make(chan error, 2)
		go func() { _, err := secret.Value(first); errs <- err }()
		synctest.Wait()
		go func() { _, err := secret.Value(t.Context()); errs <- err }()
		synctest.Wait()
		leave()
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("who left: %v", err)
		}
		close(release)
		if err := <-errs; err != nil {
			t.Errorf("who stayed: %v", err)
		}
		if got := m.reads(); got != 1 {
			t.Errorf("it is read %d times", got)
		}
	})
}

func TestASecretThatIsOfNoUseIsReadAgain(t *testing.T) {
	m := &manager{}
	m.set(http.StatusOK, `{"SecretString":"not a number"}`)
	secret := secrets.New(environment(m), arn, func(_ context.Context, text string) (int, error) {
		var n int
		_, err := fmt.Sscan(text, &n)
		return n, err
	})
	_, err := secret.Value(t.Context())
	wantOurs(t, err)
	m.set(http.StatusOK, `{"SecretString":"42"}`)
	if got, err := secret.Value(t.Context()); got != 42 || err != nil {
		t.Errorf("%d, %v", got, err)
	}
}
