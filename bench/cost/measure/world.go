package measure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/mongodb-forks/digest"
	"go.etcd.io/bbolt"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/local/states/journal"
	"latchkey/local/template"
	"latchkey/shared/seal"
	"latchkey/shared/seal/awsseal"
	"latchkey/shared/store/dynamo"
)

// World is the suite as it is deployed, with nobody in it but its first owner.
type World struct {
	dir       string
	db        *bbolt.DB
	later     atomic.Int64 // by how much the functions' clock is ahead
	template  *template.Template
	clouds    *stack.Clouds
	functions []lambdasvc.Function
	gateway   http.Handler
	nodes     http.Handler
	owner     stack.Owner
	known     map[string]string // what {name} stands for in paths and bodies
	token     string            // of a service account that owns the organisation and its group
	aside     aside             // what clouds and table take to answer
	metrics   *metrics          // that were written
}

const tableName = "Table"

// Open assembles a world. Close ends it.
func Open(ctx context.Context) (*World, error) {
	dir, err := os.MkdirTemp("", "latchkey-cost")
	if err != nil {
		return nil, err
	}
	w := &World{dir: dir, known: map[string]string{"none": "650000000000000000000099"}}
	if err := w.assemble(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	if err := w.settle(ctx); err != nil {
		return nil, errors.Join(err, w.Close())
	}
	return w, nil
}

// Close ends the world.
func (w *World) Close() error {
	var err error
	if w.db != nil {
		err = w.db.Close()
	}
	return errors.Join(err, os.RemoveAll(w.dir))
}

// now is the functions' time. The clouds' is the wall clock, by which the SDK signs.
func (w *World) now() time.Time { return time.Now().Add(time.Duration(w.later.Load())) }

// pass lets time pass for the functions.
func (w *World) pass(d time.Duration) { w.later.Add(int64(d)) }

func (w *World) assemble(ctx context.Context) (err error) {
	// Nothing here outlives the process, so nothing needs to be synced.
	w.db, err = bbolt.Open(filepath.Join(w.dir, "clouds.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		return err
	}
	tmpl, specs, err := stack.Resolve(nil)
	if err != nil {
		return err
	}
	w.template = tmpl
	machines, err := stack.Machines(tmpl)
	if err != nil {
		return err
	}
	w.metrics = &metrics{}
	log := slog.New(&counting{Handler: slog.DiscardHandler, metrics: w.metrics})
	workflows := stack.NewWorkflows(stack.WorkflowsConfig{Machines: machines, Journal: journal.Memory(), Now: time.Now, Log: log})
	w.clouds, err = stack.OpenClouds(ctx, stack.CloudsConfig{
		State: pocket.Memory(), DB: w.db, Now: time.Now, Workflows: workflows, Functions: specs,
		Wrap: func(http.RoundTripper) http.RoundTripper { return watched{w.served()} },
	})
	if err != nil {
		return err
	}
	if err := w.clouds.Deploy(specs); err != nil {
		return err
	}
	around, err := w.surroundings(ctx, workflows, log)
	if err != nil {
		return err
	}
	for _, spec := range specs {
		handler, err := stack.Function(ctx, spec, around)
		if err != nil {
			return err
		}
		w.functions = append(w.functions, stack.Lambda(spec, named{spec.Name, handler}))
	}
	workflows.Call(w.functions)
	if w.gateway, err = stack.Gateway(tmpl, w.functions, w.now, log); err != nil {
		return err
	}
	w.nodes, err = stack.NodesURL(tmpl, w.functions, w.now, log)
	return err
}

// served is the functions' way to the clouds.
func (w *World) served() http.RoundTripper {
	return pocket.Transport(w.aside.around(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) { w.clouds.Served.ServeHTTP(rw, r) })))
}

// surroundings are a table in DynamoDB and a seal in KMS, as they are deployed.
func (w *World) surroundings(ctx context.Context, workflows *stack.Workflows, log *slog.Logger) (stack.Surroundings, error) {
	root := w.clouds.Secrets.OperatorRoot
	client := dynamodb.NewFromConfig(awssdk.Config(w.served(), stack.Region, root), metered)
	if err := dynamo.CreateTable(ctx, client, tableName); err != nil {
		return stack.Surroundings{}, err
	}
	keys := kms.NewFromConfig(awssdk.Config(own{w.served()}, stack.Region, root))
	key, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	if err != nil {
		return stack.Surroundings{}, err
	}
	return stack.Surroundings{
		Table: dynamo.New(client, tableName), Sealer: seal.New(awsseal.New(keys, aws.ToString(key.KeyMetadata.Arn)), w.now),
		Now: w.now, Log: log, Clouds: w.clouds, Workflows: workflows, Web: pocket.Transport(http.NotFoundHandler()),
	}, nil
}

// named counts what a function takes under its name.
type named struct {
	name    string
	handler lambdasvc.Invoker
}

// Invoke implements lambdasvc.Invoker.
func (n named) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	ctx = context.WithValue(ctx, functionKey{}, n.name)
	out, err := n.handler.Invoke(ctx, payload)
	add(ctx, Usage{Answered: len(out)})
	return out, err
}

// settle founds the organisation, with a service account that owns it all.
func (w *World) settle(ctx context.Context) error {
	operator, err := stack.Named(w.functions, "operator")
	if err != nil {
		return err
	}
	if w.owner, err = stack.EnsureOwner(ctx, pocket.Memory(), operator, stack.Owner{}); err != nil {
		return err
	}
	w.known["org"], w.known["group"] = w.owner.OrgID, w.owner.GroupID
	for _, s := range []step{
		{"POST", "2024-08-05", v2 + "/orgs/{org}/serviceAccounts", `{"name":"all","description":"all","roles":["ORG_OWNER"],"secretExpiresAfterHours":8760}`, "all=clientId,secret=secrets.0.secret"},
		{"POST", "2024-08-05", v2 + "/groups/{group}/serviceAccounts/{all}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
	} {
		if _, err := w.take(ctx, w.digest(), s); err != nil {
			return err
		}
	}
	return w.signIn(ctx)
}

// digest is the way of the owner's API key, which asks everything twice.
func (w *World) digest() http.RoundTripper {
	return digest.NewTransportWithHTTPRoundTripper(w.owner.PublicKey, w.owner.PrivateKey, pocket.Transport(w.gateway))
}

// bearer is the way of a service account, with a token that it got before.
type bearer struct {
	http.RoundTripper
	token string
}

// RoundTrip implements http.RoundTripper.
func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r.Header.Set("Authorization", "Bearer "+b.token)
	return b.RoundTripper.RoundTrip(r)
}

func (w *World) account() http.RoundTripper { return bearer{pocket.Transport(w.gateway), w.token} }

// signIn gets a token for the service account.
func (w *World) signIn(ctx context.Context) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://127.0.0.1/api/oauth/token", strings.NewReader("grant_type=client_credentials"))
	if err != nil {
		return err
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.SetBasicAuth(w.known["all"], w.known["secret"])
	body, err := send(pocket.Transport(w.gateway), r)
	w.token = pick(body, "access_token")
	return err
}

// send sends a request, which must succeed.
func send(way http.RoundTripper, r *http.Request) ([]byte, error) {
	resp, err := way.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // read below
	body, err := io.ReadAll(resp.Body)
	if err == nil && resp.StatusCode >= http.StatusBadRequest {
		err = fmt.Errorf("%s %s is answered %d %s", r.Method, r.URL.Path, resp.StatusCode, body)
	}
	return body, err
}

// pick is a member of an answer; numbers select from lists.
func pick(body []byte, path string) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return ""
	}
	for name := range strings.SplitSeq(path, ".") {
		switch in := v.(type) {
		case map[string]any:
			v = in[name]
		case []any:
			var i int
			if _, err := fmt.Sscan(name, &i); err == nil && i < len(in) {
				v = in[i]
			}
		}
	}
	text, _ := v.(string)
	return text
}

// invoke calls a function as a schedule does, and counts what that takes.
func (w *World) invoke(ctx context.Context, name string) (Usage, error) {
	f, err := stack.Named(w.functions, name)
	if err != nil {
		return Usage{}, err
	}
	ctx, tally := counted(ctx)
	_, err = f.Invoke(ctx, []byte("{}"))
	return tally.All(), err
}

// Digest is what the authorizer takes of a request with an API key, which was challenged before.
func (w *World) Digest(ctx context.Context) (Usage, error) {
	way := w.digest()
	var last *Tally
	for range 2 { // the challenge is used again
		tally, err := w.take(ctx, way, step{"GET", "2023-01-01", v2 + "/orgs", "", ""})
		if err != nil {
			return Usage{}, err
		}
		last = tally
	}
	return last.Of("authorizer"), nil
}
