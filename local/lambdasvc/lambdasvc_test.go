package lambdasvc_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"

	"latchkey/integration/clitest"
	"latchkey/local/lambdasvc"
)

type handler func(ctx context.Context, payload []byte) ([]byte, error)

func (h handler) Invoke(ctx context.Context, payload []byte) ([]byte, error) { return h(ctx, payload) }

func echo(_ context.Context, payload []byte) ([]byte, error) { return payload, nil }

type notFoundError struct{}

func (*notFoundError) Error() string { return "it is not there" }

func TestInvoke_namesErrorsAsTheGoRuntimeDoes(t *testing.T) {
	tests := map[string]struct {
		handler handler
		want    lambdasvc.Error
	}{
		"by the type of the value": {
			func(context.Context, []byte) ([]byte, error) { return nil, &notFoundError{} },
			lambdasvc.Error{Type: "notFoundError", Message: "it is not there"},
		},
		"by the outermost type": {
			func(context.Context, []byte) ([]byte, error) { return nil, fmt.Errorf("a: %w", &notFoundError{}) },
			lambdasvc.Error{Type: "wrapError", Message: "a: it is not there"},
		},
		"freely, with the runtime's own type": {
			func(context.Context, []byte) ([]byte, error) {
				return nil, messages.InvokeResponse_Error{Type: "KEY_DISABLED", Message: "m"}
			},
			lambdasvc.Error{Type: "KEY_DISABLED", Message: "m"},
		},
		"a panic": {
			func(context.Context, []byte) ([]byte, error) { panic(errors.New("oh")) },
			lambdasvc.Error{Type: "errorString", Message: "oh"},
		},
		"too large an answer": {
			func(context.Context, []byte) ([]byte, error) { return make([]byte, lambdasvc.MaxPayload+1), nil },
			lambdasvc.Error{Type: "Function.ResponseSizeTooLarge", Message: "Response payload size exceeded maximum allowed payload size (6291456 bytes)."},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := lambdasvc.Function{Handler: tt.handler}.Invoke(t.Context(), nil)
			got := *lambdasvc.AsError(err)
			if (got.StackTrace != nil) != (name == "a panic") {
				t.Errorf("stack trace = %v", got.StackTrace)
			}
			got.StackTrace = nil
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestInvoke_endsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var cancelled error
		f := lambdasvc.Function{Timeout: 5 * time.Second, Handler: handler(func(ctx context.Context, _ []byte) ([]byte, error) {
			time.Sleep(time.Minute) // deaf to its context
			cancelled = ctx.Err()
			return nil, nil
		})}
		start := time.Now()
		_, err := f.Invoke(t.Context(), nil)
		if e := lambdasvc.AsError(err); e.Type != "Sandbox.Timedout" || time.Since(start) != 5*time.Second {
			t.Errorf("error = %v after %s", e, time.Since(start))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if !errors.Is(cancelled, context.DeadlineExceeded) {
			t.Errorf("the handler's context: %v", cancelled)
		}
	})
}

func TestInvoke_givesTheHandlerItsContextAndACopyOfThePayload(t *testing.T) {
	payload := []byte("a")
	ctx, cancel := context.WithCancel(lambdasvc.WithRequestID(t.Context(), "id-1"))
	cancel()
	f := lambdasvc.Function{ARN: "arn:x", Handler: handler(func(ctx context.Context, p []byte) ([]byte, error) {
		p[0] = 'b'
		lc, ok := lambdacontext.FromContext(ctx)
		if _, hasDeadline := ctx.Deadline(); !ok || lc.AwsRequestID != "id-1" || lc.InvokedFunctionArn != "arn:x" || !hasDeadline {
			return nil, fmt.Errorf("context: %+v", lc)
		}
		return nil, ctx.Err() // the caller's cancellation does not count
	})}
	if _, err := f.Invoke(ctx, payload); err != nil || string(payload) != "a" {
		t.Errorf("error = %v, payload = %s", err, payload)
	}
	big := make([]byte, lambdasvc.MaxPayload+1)
	if _, err := f.Invoke(ctx, big); lambdasvc.AsError(err).Type != "RequestTooLargeException" {
		t.Errorf("error = %v", err)
	}
}

func service(h handler) *lambdasvc.Service {
	return lambdasvc.New([]lambdasvc.Function{{
		ID: "OperatorFunction", Name: "operator", FunctionName: "latchkey-operator", Handler: h,
	}}, time.Now, slog.New(slog.DiscardHandler))
}

func invoke(s http.Handler, name, payload string, header ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/2015-03-31/functions/"+name+"/invocations", strings.NewReader(payload))
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	rec := httptest.NewRecorder()
	s.ServeHTTP(rec, r)
	return rec
}

func TestService_findsFunctionsByAnyOfTheirNames(t *testing.T) {
	for name, want := range map[string]int{
		"operator": 200, "OperatorFunction": 200, "latchkey-operator": 200, "operator:$LATEST": 200, "operator%3A%24LATEST": 200,
		"arn:aws:lambda:us-east-1:123456789012:function:operator":             200,
		"arn%3Aaws%3Alambda%3Aus-east-1%3A123456789012%3Afunction%3Aoperator": 200,
		"123456789012:function:operator":                                      200,
		"operator:3":                                                          404, "nobody": 404, "a/b": 404, "": 404,
	} {
		rec := invoke(service(echo), name, `{"a":1}`)
		if rec.Code != want {
			t.Errorf("%s: %d %s", name, rec.Code, rec.Body)
		}
		if want == 404 && (rec.Header().Get("X-Amzn-ErrorType") == "" || !json.Valid(rec.Body.Bytes())) {
			t.Errorf("%s: %s %s", name, rec.Header(), rec.Body)
		}
	}
}

func TestService_answersAsLambdaDoes(t *testing.T) {
	failing := func(context.Context, []byte) ([]byte, error) { return nil, errors.New("no") }
	rec := invoke(service(failing), "operator", "")
	if rec.Code != 200 || rec.Header().Get("X-Amz-Function-Error") != "Unhandled" || rec.Body.String() != `{"errorMessage":"no","errorType":"errorString"}` {
		t.Errorf("a failure: %d %s %s", rec.Code, rec.Header(), rec.Body)
	}
	rec = invoke(service(echo), "operator", "", "X-Amz-Log-Type", "Tail")
	report, _ := base64.StdEncoding.DecodeString(rec.Header().Get("X-Amz-Log-Result"))
	if rec.Body.String() != "{}" || !bytes.Contains(report, []byte("REPORT RequestId: ")) || rec.Header().Get("X-Amz-Executed-Version") != "$LATEST" {
		t.Errorf("no event: %s %s", rec.Body, report)
	}
	if rec = invoke(service(failing), "operator", "", "X-Amz-Invocation-Type", "DryRun"); rec.Code != 204 {
		t.Errorf("dry run: %d", rec.Code)
	}
	if rec = invoke(service(echo), "operator", "", "X-Amz-Invocation-Type", "Later"); rec.Code != 400 {
		t.Errorf("unknown type: %d", rec.Code)
	}
	if rec = invoke(service(echo), "operator", strings.Repeat("x", lambdasvc.MaxPayload+1)); rec.Code != 413 {
		t.Errorf("too large: %d", rec.Code)
	}
	rec = httptest.NewRecorder()
	service(echo).ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/2015-03-31/functions/operator/invocations", nil))
	if rec.Code != 405 {
		t.Errorf("GET: %d", rec.Code)
	}
}

func TestService_finishesEvents(t *testing.T) {
	got := make(chan string, 1)
	s := service(func(_ context.Context, p []byte) ([]byte, error) {
		got <- string(p)
		return nil, errors.New("logged, and nobody is told")
	})
	if rec := invoke(s, "operator", "later", "X-Amz-Invocation-Type", "Event"); rec.Code != 202 || rec.Body.Len() != 0 {
		t.Errorf("event: %d %s", rec.Code, rec.Body)
	}
	s.Wait()
	if p := <-got; p != "later" {
		t.Errorf("payload = %s", p)
	}
}

// The command line in the documentation works with the real AWS CLI.
func TestService_servesTheAWSCommandLine(t *testing.T) {
	aws := clitest.Program(t, "aws")
	server := httptest.NewServer(service(func(_ context.Context, p []byte) ([]byte, error) {
		if bytes.Contains(p, []byte("fail")) {
			return nil, &notFoundError{}
		}
		return p, nil
	}))
	defer server.Close()
	run := func(args ...string) (stdout, outfile string, err error) {
		out := filepath.Join(t.TempDir(), "out.json")
		cmd := exec.CommandContext(t.Context(), aws, append([]string{"lambda", "invoke", "--endpoint-url", server.URL}, append(args, out)...)...)
		cmd.Env = append(os.Environ(), "AWS_ACCESS_KEY_ID=x", "AWS_SECRET_ACCESS_KEY=x", "AWS_DEFAULT_REGION=us-east-1", "AWS_PAGER=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null")
		cmd.Stderr = io.Discard
		body, err := cmd.Output()
		file, _ := os.ReadFile(out)
		return string(body), string(file), err
	}
	// The older CLI takes the payload as it is, the newer wants to be told so.
	payload := []string{"--function-name", "operator", "--payload", "fileb://" + writeFile(t, `{"command":"x"}`)}
	if stdout, file, err := run(payload...); err != nil || file != `{"command":"x"}` || !strings.Contains(stdout, `"StatusCode": 200`) {
		t.Errorf("invoke: %v\n%s\n%s", err, stdout, file)
	}
	payload[3] = "fileb://" + writeFile(t, `{"command":"fail"}`)
	if stdout, file, err := run(payload...); err != nil || !strings.Contains(stdout, `"FunctionError": "Unhandled"`) || !strings.Contains(file, "notFoundError") {
		t.Errorf("failing: %v\n%s\n%s", err, stdout, file)
	}
	if _, _, err := run("--function-name", "nobody"); err == nil {
		t.Error("a function that is not there was invoked")
	}
}

func writeFile(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "payload.json")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
