package sim

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/shared/suite/operator"
)

// populate founds the tenants.
func (w *World) populate() error {
	founded := make(chan error, 1)
	go func() {
		var failed error
		for n := range w.cfg.Groups {
			t, err := w.found(n)
			if err != nil {
				failed = errors.Join(failed, err)
				break
			}
			w.tenants = append(w.tenants, t)
		}
		founded <- failed
	}()
	for {
		w.conductor.run(time.Now().Add(time.Second))
		select {
		case err := <-founded:
			return err
		default:
		}
	}
}

// found founds a tenant: an organisation with a project, or one more project of a customer who has several.
func (w *World) found(n int) (*tenant, error) {
	t := &tenant{world: w, n: n, name: fmt.Sprintf("tenant %d", n), rng: stream(w.cfg.Seed, 100+uint64(n))} //nolint:gosec // n is small and positive
	t.proc = &process{name: t.name, lasting: true}
	if w.crowd != nil && 0 < n && n < w.crowd.customers {
		return t, w.crowd.join(t, w.tenants[0])
	}
	public, private := fmt.Sprintf("public%02d", n), fmt.Sprintf("5ec2e700-0000-4000-8000-%012d", n)
	w.secrets.add("the API key of "+t.name, []byte(private))
	request, err := json.Marshal(operator.Request{ //nolint:gosec // that is how an organisation gets its API key
		Operation: operator.CreateOrganization, Name: t.name, ProjectName: "Project", OwnerEmail: "owner@example.com",
		PublicKey: public, PrivateKey: private,
	})
	if err != nil {
		return nil, err
	}
	answer, err := w.functions["operator"].Invoke(within(w.ctx, t.proc), request)
	if err != nil {
		return nil, err
	}
	var made operator.Result
	if err := json.Unmarshal(answer, &made); err != nil {
		return nil, err
	}
	t.org, t.group = made.OrgID, made.GroupID
	t.client, err = w.official(public, private)
	t.keep(newKey(t))
	return t, err
}

// official is the official SDK with an API key.
func (w *World) official(public, private string) (*admin.APIClient, error) {
	api := &wire{to: pocket.Transport(w.gateway), kind: asking, conductor: w.conductor, cut: func() bool { return w.apart }}
	return admin.NewClient(admin.UseBaseURL("https://api.latchkey.example"), admin.UseHTTPClient(&http.Client{
		Transport: digest.NewTransportWithHTTPRoundTripper(public, private, &listener{api, w.secrets}),
	}))
}
