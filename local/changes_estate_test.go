package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
	"latchkey/shared/ledger"
)

// cable is what leads from the agents to the control plane. Single nodes can be cut off.
type cable struct {
	http.RoundTripper

	cut *sync.Map
}

var errCut = errors.New("the cable is cut")

// RoundTrip implements http.RoundTripper. An agent's token tells which node it is of.
func (c cable) RoundTrip(r *http.Request) (*http.Response, error) {
	if parts := strings.Split(r.Header.Get("Authorization"), "."); len(parts) == 3 {
		var claims struct {
			Node string `json:"sub"`
		}
		text, err := base64.RawURLEncoding.DecodeString(parts[1])
		if err == nil {
			err = json.Unmarshal(text, &claims)
		}
		if _, isCut := c.cut.Load(claims.Node); isCut || err != nil {
			return nil, errors.Join(errCut, err)
		}
	}
	return c.RoundTripper.RoundTrip(r)
}

// whereUp is a client of the tenant's KMS in a region that is not down for good, and the name that a key
// has there.
func (e *estate) whereUp(key string) (*kms.Client, string) {
	const home, other = "us-east-1", "eu-west-1"
	if !slices.Contains(e.lasting, "kms."+home+".amazonaws.com") {
		return kms.NewFromConfig(e.tenant), key
	}
	return e.kmsIn(other), strings.Replace(key, home, other, 1)
}

func (e *estate) kmsIn(region string) *kms.Client {
	return kms.NewFromConfig(e.tenant, func(o *kms.Options) { o.Region = region })
}

// byUser brings a key with an access key of an IAM user. The role that bringAWS made may be switched to.
func (e *estate) byUser() journey {
	e.t.Helper()
	j := e.bringAWS(e.client)
	e.allow(anyKey)
	users, ctx := iam.NewFromConfig(e.tenant), e.t.Context()
	_, err := users.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("atlas")})
	e.must(err)
	_, err = users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("key"), PolicyDocument: aws.String(anyKey),
	})
	e.must(err)
	made, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("atlas")})
	e.must(err)
	j.update.AwsKms.RoleId = nil
	j.update.AwsKms.AccessKeyID, j.update.AwsKms.SecretAccessKey = made.AccessKey.AccessKeyId, made.AccessKey.SecretAccessKey
	return j
}

// anyKey lets its holder use all keys of the tenant.
const anyKey = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`

// except is anyKey for all keys but one.
func except(key string) string {
	return strings.TrimSuffix(anyKey, "]}") + `,{"Effect":"Deny","Action":"kms:*","Resource":"` + key + `"}]}`
}

// allow is what the tenant's role may do from now on.
func (e *estate) allow(policy string) {
	e.t.Helper()
	e.second(iam.NewFromConfig(e.tenant).PutRolePolicy(e.t.Context(), &iam.PutRolePolicyInput{
		RoleName: aws.String("atlas-kms"), PolicyName: aws.String("key"), PolicyDocument: &policy,
	}))
}

// newKey makes a key that the tenant's role may use.
func (e *estate) newKey(multiRegion bool) (arn string) {
	e.t.Helper()
	e.allow(anyKey)
	made, err := kms.NewFromConfig(e.tenant).CreateKey(e.t.Context(), &kms.CreateKeyInput{MultiRegion: &multiRegion})
	e.must(err)
	return *made.KeyMetadata.Arn
}

// configure updates the configuration of the key in AWS KMS.
func (e *estate) configure(update admin.AWSKMSConfiguration) error {
	_, _, err := e.client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(
		e.t.Context(), e.owner.GroupID, &admin.EncryptionAtRest{AwsKms: &update}).Execute()
	return err
}

// reported is what a tenant reads of its keys and their last change.
type reported struct {
	KeyInUse *struct {
		Key   string `json:"key"`
		Nodes int    `json:"nodes"`
	} `json:"keyInUse"`
	LastChange *struct {
		Kind   string  `json:"kind"`
		State  string  `json:"state"`
		Proved int     `json:"wrappedKeysProved"`
		Left   int     `json:"nodesLeft"`
		Reason *string `json:"reason"`
	} `json:"lastChange"`
	Former []struct {
		Key       string    `json:"key"`
		Nodes     []string  `json:"nodeIds"`
		Snapshots []string  `json:"snapshotIds"`
		Until     time.Time `json:"lastSnapshotExpiresAt"`
	} `json:"formerKeys"`
}

// report reads how the keys of the project stand.
func (e *estate) report() reported {
	e.t.Helper()
	var page struct {
		Results []reported `json:"results"`
	}
	e.must(json.Unmarshal(e.get("/api/latchkey/v1/groups/"+e.owner.GroupID+"/encryptionAtRest/keys"), &page))
	if len(page.Results) != 1 {
		e.t.Fatalf("the reports are %+v", page)
	}
	return page.Results[0]
}

// get asks the API for what the SDK does not know.
func (e *estate) get(path string) []byte {
	e.t.Helper()
	req, err := http.NewRequestWithContext(e.t.Context(), http.MethodGet, e.base+path, http.NoBody)
	e.must(err)
	req.Header.Set("Accept", "application/vnd.atlas.2024-08-05+json")
	resp, err := e.client.GetConfig().HTTPClient.Do(req)
	e.must(err)
	defer resp.Body.Close() //nolint:errcheck // read below
	body, err := io.ReadAll(resp.Body)
	e.must(err)
	if resp.StatusCode != http.StatusOK {
		e.t.Fatalf("GET %s answers %d %s", path, resp.StatusCode, body)
	}
	return body
}

// changed waits until the change that was begun has ended, which must be as it is said. Meanwhile all
// clusters take writes, but for those that are quiet, which answer reads.
func (e *estate) changed(most time.Duration, kind, state string, quiet ...string) time.Duration {
	e.t.Helper()
	took := e.meanwhile(most, kind+" is "+state, func() bool {
		e.serves(quiet...)
		now := e.report().LastChange
		return now != nil && now.Kind == kind && now.State != "UNDER_WAY"
	})
	if now := e.report().LastChange; now.State != state {
		e.t.Errorf("the change is %+v", now)
	}
	return took
}

// serves demands that every cluster takes a write, or answers reads.
func (e *estate) serves(quiet ...string) {
	e.t.Helper()
	for name := range e.written {
		if slices.Contains(quiet, name) {
			e.readable(name)
		} else {
			e.wrote(name, 1)
		}
	}
}

// populate makes clusters of three nodes with data.
func (e *estate) populate(names ...string) {
	e.t.Helper()
	for _, name := range names {
		e.ask(name, "AWS")
	}
	for _, name := range names {
		e.idle(name)
		e.until(name+" answers", func() bool { return e.answers(name) })
		e.wrote(name, 40)
	}
}

// kept is a snapshot of a cluster, complete.
func (e *estate) kept(name string) (id string) {
	e.t.Helper()
	id = e.snapshot(name)
	e.until("the snapshot is complete", func() bool { return e.snapshotOf(name, id).GetStatus() == "completed" })
	return id
}

// under counts the nodes whose master key a customer key wraps, on their disks and in the ledger.
func (e *estate) under(cmk string) (onDisk, inLedger int) {
	e.t.Helper()
	for _, d := range e.deployments() {
		for _, n := range d.Nodes {
			if e.ring(n).Current.Wrapped.CMK == cmk {
				onDisk++
			}
			entries, err := ledger.OfNode(e.t.Context(), e.suite.table, n.ClusterID, n.ID)
			e.must(err)
			for _, entry := range entries {
				if entry.CMK.Name == cmk {
					inLedger++
				}
			}
		}
	}
	return onDisk, inLedger
}

// restarted ends everything, starts it again, and demands that all nodes come back with their data.
func (e *estate) restarted() {
	e.t.Helper()
	e.reboot()
	e.until("all nodes run", func() bool { return e.statuses(agent.Running) == 3*len(e.written) })
	for name := range e.written {
		e.idle(name)
		e.until(name+" answers", func() bool { return e.answers(name) })
		e.readable(name)
	}
}

// meanwhile is until with a look every ten seconds, for what takes long.
func (e *estate) meanwhile(most time.Duration, what string, is func() bool) time.Duration {
	e.t.Helper()
	return e.untilIn(most, what, func() bool {
		if is() {
			return true
		}
		time.Sleep(9 * time.Second)
		return false
	})
}

// masterKeys are the ids of the nodes' master keys, by node.
func (e *estate) masterKeys() map[string]string {
	e.t.Helper()
	all := map[string]string{}
	for _, d := range e.deployments() {
		for _, n := range d.Nodes {
			all[n.ID] = e.ring(n).Current.KeyID
		}
	}
	return all
}

// unwritten demands that the files that hold a cluster's data are as they were, to the byte.
func (e *estate) unwritten(name string, before map[string][]byte) {
	e.t.Helper()
	now := e.stores(name)
	if len(now) != len(before) {
		e.t.Errorf("%d files were there and %d are", len(before), len(now))
	}
	for path, content := range before {
		if !bytes.Equal(content, now[path]) {
			e.t.Errorf("%s was rewritten", path)
		}
	}
}

// allStarts are when nodes last started, by node.
func (e *estate) allStarts() map[string]time.Time {
	all := map[string]time.Time{}
	for id, s := range e.fleet.Statuses() {
		all[id] = s.StartedAt
	}
	return all
}

// figures writes down how long something took, in virtual time.
func figures(t testing.TB, what string, took time.Duration) {
	t.Helper()
	t.Logf("%s: %v", what, took)
}
