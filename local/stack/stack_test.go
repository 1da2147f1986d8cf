package stack_test

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/stack"
	"latchkey/local/states/asl"
	"latchkey/local/states/journal"
	"latchkey/local/template"
	"latchkey/shared/seal"
	"latchkey/shared/seal/fileseal"
	"latchkey/shared/store/bolt"
	"latchkey/shared/suite/operator"
)

// What people are told leads to where they can open it.
func TestMessagesLeadToTheAPIWhereItIsServed(t *testing.T) {
	t.Parallel()
	_, deployed, err := stack.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	_, before, err := stack.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	told := 0
	for _, spec := range stack.WithAPI(deployed, "http://127.0.0.1:8080") {
		if url, knows := spec.Environment["API_URL"]; knows {
			if told++; url != "http://127.0.0.1:8080" {
				t.Errorf("functions/%s is told %s", spec.Name, url)
			}
		}
	}
	if told == 0 {
		t.Error("no function leads to the API")
	}
	if diff := cmp.Diff(before, deployed); diff != "" {
		t.Errorf("what others are made of has changed: %s", diff)
	}
}

// parts are what many stacks are made of.
type parts struct {
	template *template.Template
	specs    []template.Function
	machines map[string]*asl.Machine
}

func read(t *testing.T) parts {
	t.Helper()
	tmpl, specs, err := stack.Resolve(nil)
	if err != nil {
		t.Fatal(err)
	}
	machines, err := stack.Machines(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return parts{tmpl, specs, machines}
}

// deployed is one stack, with how many requests its functions have sent to the clouds.
type deployed struct {
	functions []lambdasvc.Function
	around    stack.Surroundings
	state     pocket.State
	sent      atomic.Int64
}

// counting is a way that counts what takes it.
type counting struct {
	http.RoundTripper

	count *atomic.Int64
}

func (c counting) RoundTrip(r *http.Request) (*http.Response, error) {
	c.count.Add(1)
	return c.RoundTripper.RoundTrip(r)
}

func deploy(t *testing.T, p parts, secrets *stack.Secrets) *deployed {
	t.Helper()
	d := &deployed{state: pocket.Memory()}
	table, err := bolt.Open(filepath.Join(t.TempDir(), "table.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := table.Close(); err != nil {
			t.Error(err)
		}
	})
	wrapper, err := fileseal.Open(filepath.Join(t.TempDir(), "seal.key"))
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	workflows := stack.NewWorkflows(stack.WorkflowsConfig{Machines: p.machines, Journal: journal.Memory(), Now: time.Now, Log: log})
	clouds, err := stack.OpenClouds(t.Context(), stack.CloudsConfig{
		State: d.state, Now: time.Now, Workflows: workflows, Functions: p.specs, Secrets: secrets,
		Wrap: func(next http.RoundTripper) http.RoundTripper { return counting{next, &d.sent} },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := clouds.Deploy(p.specs); err != nil {
		t.Fatal(err)
	}
	d.around = stack.Surroundings{
		Table: table, Sealer: seal.New(wrapper, time.Now), Now: time.Now, Log: log, Clouds: clouds, Workflows: workflows,
	}
	if d.functions, err = stack.Functions(t.Context(), p.specs, d.around); err != nil {
		t.Fatal(err)
	}
	workflows.Call(d.functions)
	return d
}

// signIn has Latchkey ask Google who it is.
func (d *deployed) signIn(t *testing.T) {
	t.Helper()
	accounts := d.around.Clouds.Accounts
	if err := accounts.Create(t.Context(), accounts.NewEmail()); err != nil {
		t.Errorf("Google does not know Latchkey: %v", err)
	}
}

// One template and one set of secrets make as many stacks as are wanted, at the same time, each with
// clouds and tables of its own.
func TestManyStacksAreMadeOfTheSameParts(t *testing.T) {
	t.Parallel()
	p := read(t)
	first := deploy(t, p, nil)
	first.signIn(t)
	if first.sent.Load() == 0 {
		t.Error("what the functions send to the clouds can't be counted")
	}
	secrets, firstOwner := first.around.Clouds.Secrets, first.owner(t)
	var all sync.WaitGroup
	for range 3 {
		all.Go(func() {
			d := deploy(t, p, &secrets)
			if diff := cmp.Diff(secrets, d.around.Clouds.Secrets); diff != "" {
				t.Errorf("the secrets are others: %s", diff)
			}
			d.signIn(t)
			owner := d.owner(t)
			if d.owner(t) != owner || owner == firstOwner {
				t.Error("the owner is not the stack's own")
			}
		})
	}
	all.Wait()
	again := read(t)
	if diff := cmp.Diff(again.specs, p.specs); diff != "" {
		t.Errorf("the parts have changed: %s", diff)
	}
}

func (d *deployed) owner(t *testing.T) stack.Owner {
	t.Helper()
	f, err := stack.Named(d.functions, "operator")
	if err != nil {
		t.Error(err)
	}
	owner, err := stack.EnsureOwner(t.Context(), d.state, f, stack.Owner{})
	if err != nil {
		t.Error(err)
	}
	return owner
}

// A function that is made anew goes on with what is in the table.
func TestAFunctionStartsCold(t *testing.T) {
	t.Parallel()
	p := read(t)
	d := deploy(t, p, nil)
	owner := d.owner(t)
	for _, spec := range p.specs {
		cold, err := stack.Function(t.Context(), spec, d.around)
		if err != nil {
			t.Fatal(err)
		}
		if spec.Name != "operator" {
			continue
		}
		payload, err := json.Marshal(operator.Request{
			Operation: operator.CreateOrganization, Name: "Latchkey", ProjectName: "Project 0", OwnerEmail: "owner@example.com",
			PublicKey: owner.PublicKey, PrivateKey: owner.PrivateKey,
		})
		if err != nil {
			t.Fatal(err)
		}
		answer, err := stack.Lambda(spec, cold).Invoke(t.Context(), payload)
		if err != nil {
			t.Fatal(err)
		}
		var made operator.Result
		if err := json.Unmarshal(answer, &made); err != nil || made.OrgID != owner.OrgID {
			t.Errorf("the organization is %s after a cold start, and was %s: %v", made.OrgID, owner.OrgID, err)
		}
	}
}

// Parameters that the template has no place for are refused.
func TestUnknownParametersAreRefused(t *testing.T) {
	t.Parallel()
	if _, _, err := stack.Resolve(map[string]string{"NoSuchParameter": "1"}); err == nil {
		t.Error("it is taken")
	}
}
