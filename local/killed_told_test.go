package main

import (
	"encoding/pem"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/shared/identity"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
	"latchkey/shared/store/keys"
)

// program is the suite in a process of its own, over the same data however often it is killed.
type program struct {
	*running

	t       *testing.T
	flags   []string
	webhook string            // the file with the certificate of the receiver of webhooks
	at      map[string]string // what it printed
	kill    func()
}

// boot starts it. Its clock may be ahead, but not by more than clouds take of a signature.
func (p *program) boot(ahead time.Duration) {
	p.t.Helper()
	p.at, p.kill = startProgramIn(p.t, []string{"SSL_CERT_FILE=" + p.webhook, clockAhead + "=" + ahead.String()}, p.flags...)
	clouds := pocket.Redirect(strings.TrimPrefix(p.at["clouds"], "http://"))
	p.running = &running{
		t: p.t, base: p.at["API"], clouds: clouds, token: p.at["CLOUD_TOKEN"],
		owner: stack.Owner{GroupID: p.at["GROUP_ID"], PublicKey: p.at["PUBLIC_KEY"], PrivateKey: p.at["PRIVATE_KEY"]},
		tenant: awssdk.Config(clouds, "us-east-1", awscloud.Keys{
			AccessKeyID: p.at["AWS_ACCESS_KEY_ID"], SecretAccessKey: p.at["AWS_SECRET_ACCESS_KEY"],
		}),
	}
}

// post sends what must succeed.
func (p *program) post(url, body string) {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, url, strings.NewReader(body))
	p.must(err)
	resp, err := http.DefaultClient.Do(req)
	p.must(err)
	p.must(resp.Body.Close())
	if resp.StatusCode != http.StatusOK || resp.Header.Get("X-Amz-Function-Error") != "" {
		p.t.Fatalf("%s answers %s to %s", url, resp.Status, body)
	}
}

func (p *program) invoke(function, payload string) {
	p.t.Helper()
	p.post(p.at["Lambda"]+"/2015-03-31/functions/"+function+"/invocations", payload)
}

func (p *program) until(what string, is func() bool) {
	p.t.Helper()
	for began := time.Now(); !is(); pause(p.t, 200*time.Millisecond) {
		if time.Since(began) > 2*time.Minute {
			p.t.Fatalf("not in time: %s", what)
		}
	}
}

// state is the state of a cluster and what its nodes do.
func (p *program) state(name string) string {
	p.t.Helper()
	c, _, err := p.byKey().ClustersApi.GetCluster(p.t.Context(), p.owner.GroupID, name).Execute()
	p.must(err)
	list, _, err := p.byKey().MonitoringAndLogsApi.ListGroupProcesses(p.t.Context(), p.owner.GroupID).Execute()
	p.must(err)
	states := []string{c.GetStateName()}
	for _, n := range list.GetResults() {
		states = append(states, n.GetTypeName())
	}
	return strings.Join(states, " ")
}

// join makes somebody an owner of the project, while nothing runs.
func (p *program) join(data, id, address string) {
	p.t.Helper()
	table, err := bolt.Open(filepath.Join(data, "table.db"))
	p.must(err)
	item, err := store.Encode(keys.Member(p.owner.GroupID, id), 0, project.Member{
		PersonID: id, GroupID: p.owner.GroupID, Username: address, Roles: []identity.Role{identity.GroupOwner}, Since: time.Now(),
	})
	p.must(err)
	p.must(table.Write(p.t.Context(), store.Put(item)))
	p.must(table.Close())
}

// The program is killed (kill -9) after the nodes of a lost key have stopped and before anybody was told:
// the e-mails are on their way, and the webhook was sent but not answered. Then every owner gets one
// e-mail, and the webhook comes again under the same id.
func TestPeopleAreToldOnceWhenEverythingIsKilled(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("elsewhere Go programs do not heed SSL_CERT_FILE, by which this one trusts the receiver of webhooks")
	}
	t.Parallel()
	tenant := &receiver{hold: make(chan struct{})}
	hooks := httptest.NewTLSServer(tenant)
	defer hooks.Close()
	data := filepath.Join(t.TempDir(), "data")
	p := &program{
		t: t, webhook: filepath.Join(t.TempDir(), "hooks.pem"),
		flags: append(testFlags(data), "-parameter", "NotificationAllowList=127.0.0.1/32"),
	}
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: hooks.Certificate().Raw})
	if err := os.WriteFile(p.webhook, certificate, 0o600); err != nil {
		t.Fatal(err)
	}
	p.boot(0)
	p.kill()
	p.join(data, "64b000000000000000000001", "second@example.com")
	p.boot(0)
	update := p.bringAWS(p.byKey()).update
	_, _, err := p.byKey().EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(t.Context(), p.owner.GroupID, &update).Execute()
	p.must(err)
	p.warn(p.byKey(), hooks.URL+"/x")
	_, _, err = p.byKey().ClustersApi.CreateCluster(t.Context(), p.owner.GroupID, &admin.ClusterDescription20240805{
		Name: new("A"), ClusterType: new("REPLICASET"), EncryptionAtRestProvider: new("AWS"), ReplicationSpecs: size("M10"),
	}).Execute()
	p.must(err)
	p.until("the cluster runs", func() bool { return strings.HasPrefix(p.state("A"), "IDLE REPLICA") })

	p.post(p.at["clouds"]+"/_pocket/faults", `{"host":"email.us-east-1.amazonaws.com","fault":"timeout"}`)
	_, err = kms.NewFromConfig(p.tenant).DisableKey(t.Context(), &kms.DisableKeyInput{KeyId: update.AwsKms.CustomerMasterKeyID})
	p.must(err)
	p.until("the nodes stop", func() bool {
		_, _, err := p.byKey().EncryptionAtRestUsingCustomerKeyManagementApi.GetEncryptionAtRest(t.Context(), p.owner.GroupID).Execute()
		p.must(err)
		p.invoke("validate", `{}`)
		return p.state("A") == "IDLE "+allStopped
	})
	p.until("the webhook is told", func() bool { return len(tenant.opened()) > 0 })
	p.kill()
	close(tenant.hold)
	before := len(tenant.opened())

	p.boot(4*time.Minute + 30*time.Second) // claims last five minutes, and a busy machine may take half of one to get here
	if mails := p.lossMails(); len(mails) > 0 {
		t.Fatalf("before the end %v were told", mails)
	}
	p.until("everybody is told", func() bool { return len(p.lossMails()) == 2 && len(tenant.opened()) > before })
	p.invoke("notify", `{"retryDue":true}`) // nothing is left to tell
	for _, address := range []string{"owner@example.com", "second@example.com"} {
		if got := len(p.lossMails()[address]); got != 1 {
			t.Errorf("%s got %d e-mails", address, got)
		}
	}
	ids := tenant.opened()
	if len(ids) != before+1 {
		t.Errorf("the webhook was told %d times, and %d times by what was killed", len(ids), before)
	}
	for _, id := range ids {
		if id != ids[0] {
			t.Errorf("the webhook was told under the ids %v", ids)
		}
	}
	tenant.check(t)
	p.kill()
}
