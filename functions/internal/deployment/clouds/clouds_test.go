package clouds_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"latchkey/functions/internal/deployment"
	"latchkey/functions/internal/deployment/clouds"
	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
)

// wire is Secrets Manager and Azure. It has no private endpoint, and counts requests by their host.
type wire struct {
	down  bool // Secrets Manager
	asked map[string]int
}

// RoundTrip implements http.RoundTripper.
func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.asked[r.URL.Host]++
	status, answer := http.StatusOK, map[string]any{}
	switch r.URL.Host {
	case "secretsmanager.us-east-1.amazonaws.com":
		if w.down {
			return nil, errors.New("connection refused")
		}
		answer["SecretString"] = "s3cret"
	case "login.microsoftonline.com":
		const authority = "https://login.microsoftonline.com/6f1b0000-0000-4000-8000-0000000000aa/"
		answer = map[string]any{
			"access_token": "t", "expires_in": 3600, "token_type": "Bearer", // as for a token, and as for its configuration
			"issuer": authority + "v2.0", "token_endpoint": authority + "oauth2/v2.0/token", "authorization_endpoint": authority + "oauth2/v2.0/authorize",
		}
	case "management.azure.com":
		status, answer["error"] = http.StatusNotFound, map[string]string{"code": "ResourceNotFound"}
	}
	body, err := json.Marshal(answer)
	return &http.Response{
		StatusCode: status, Header: http.Header{"Content-Type": {"application/json"}}, Body: io.NopCloser(bytes.NewReader(body)), Request: r,
	}, err
}

// connect starts the function with its environment, but for what differs.
func connect(w *wire, differs map[string]string) (endpoint.Cloud, error) {
	variables := map[string]string{
		"AZURE_APP_ID":         "9efedfcc-2eca-4b27-a613-0cad1e114cb7",
		"AZURE_HOME_TENANT_ID": "6f1b0000-0000-4000-8000-0000000000aa",
		"AZURE_APP_SECRET_ARN": "arn:aws:secretsmanager:us-east-1:123456789012:secret:latchkey/azure-AbCdEf",
	}
	maps.Copy(variables, differs)
	role := aws.Config{
		Region: "us-east-1", HTTPClient: &http.Client{Transport: w}, Credentials: credentials.NewStaticCredentialsProvider("ASIA1", "secret", "token"),
	}
	env := deployment.New(role, func(name string) string { return variables[name] }, time.Now, slog.New(slog.DiscardHandler))
	env.Transport = w
	all, err := clouds.Connect(env, endpoint.Networks{Azure: &endpoint.AzureNetworks{
		SubscriptionID: "6f1b0000-0000-4000-8000-000000000009", Regions: map[string]endpoint.AzureNetwork{"US_EAST_2": {ResourceGroup: "rg"}},
	}})
	return all[atlas.Azure], errors.Join(env.Err(), err)
}

var handle = endpoint.Handle{EndpointID: "1", Region: "US_EAST_2"}

func TestAzuresSecretIsReadWhenAnEndpointIsLookedFor(t *testing.T) {
	w := &wire{asked: map[string]int{}}
	azure, err := connect(w, nil)
	if err != nil || len(w.asked) != 0 {
		t.Fatalf("at the start %v is asked, %v", w.asked, err)
	}
	for range 2 {
		if found, err := azure.Find(t.Context(), handle); err != nil || found.State != endpoint.Missing {
			t.Errorf("%+v, %v", found, err)
		}
	}
	if got := w.asked["secretsmanager.us-east-1.amazonaws.com"]; got != 1 {
		t.Errorf("the secret is read %d times", got)
	}
}

func TestASecretThatCannotBeReadIsWorthAnotherTry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // the SDK waits between its attempts
		w := &wire{down: true, asked: map[string]int{}}
		azure, err := connect(w, nil)
		if err != nil {
			t.Fatal(err)
		}
		_, err = azure.Find(t.Context(), handle)
		if f, ok := errors.AsType[*endpoint.Failure](err); !ok || f.Kind != endpoint.Unavailable {
			t.Errorf("%v", err)
		}
		w.down = false
		if found, err := azure.Find(t.Context(), handle); err != nil || found.State != endpoint.Missing {
			t.Errorf("afterwards: %+v, %v", found, err)
		}
	})
}

func TestConnect_failsAtTheStartIfTheEnvironmentIsWrong(t *testing.T) {
	for _, name := range []string{"AZURE_APP_ID", "AZURE_HOME_TENANT_ID", "AZURE_APP_SECRET_ARN"} {
		if _, err := connect(&wire{asked: map[string]int{}}, map[string]string{name: ""}); err == nil || !strings.Contains(err.Error(), name+":") {
			t.Errorf("%s is not missed: %v", name, err)
		}
	}
	if _, err := connect(&wire{asked: map[string]int{}}, map[string]string{"AZURE_APP_ID": "no UUID"}); err == nil {
		t.Error("an application id that is none is taken")
	}
}
