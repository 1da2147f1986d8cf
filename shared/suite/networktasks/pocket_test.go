package networktasks_test

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdkkms "github.com/aws/aws-sdk-go-v2/service/kms"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/states/statestest"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/awsvpc"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms/keyring"
	"latchkey/shared/project"
	"latchkey/shared/suite"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/suite/networktasks"
	"latchkey/shared/verdict"
)

// hosts is a transport that remembers which hosts of KMS were asked.
type hosts struct {
	base http.RoundTripper
	mu   sync.Mutex
	kms  []string
}

func (h *hosts) RoundTrip(r *http.Request) (*http.Response, error) {
	if host := r.URL.Hostname(); strings.Contains(host, "kms.") {
		h.mu.Lock()
		h.kms = append(h.kms, host)
		h.mu.Unlock()
	}
	return h.base.RoundTrip(r)
}

func (h *hosts) took() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	all := slices.Clone(h.kms)
	h.kms = nil
	slices.Sort(all)
	return slices.Compact(all)
}

const (
	tenant   = "111122223333"
	operator = "999900001111"
	policy   = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ec2:*","sts:*"],"Resource":"*"}]}`
	use      = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"kms:*","Resource":"*"}]}`
)

var (
	tenantRoot = awscloud.Keys{AccessKeyID: "AKIATENANTROOT000000", SecretAccessKey: "tenant-root-secret"}
	tenantUser = awscloud.Keys{AccessKeyID: "AKIATENANTUSER000000", SecretAccessKey: "tenant-user-secret"}
	latchkey   = awscloud.Keys{AccessKeyID: "AKIALATCHKEY00000000", SecretAccessKey: "latchkey-secret"}
)

// TestPrivateEndpoint_overThePocketCloud goes from the configuration of a key to its traffic through an
// endpoint and back, with the real adapters, functions and definition.
func TestPrivateEndpoint_overThePocketCloud(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{
			Now: time.Now, EndpointDelay: func() time.Duration { return 3 * time.Minute },
			Accounts: []awscloud.Account{
				{ID: tenant, Root: tenantRoot, Users: []awscloud.User{{Name: "u", Keys: []awscloud.Keys{tenantUser}, Policies: map[string]string{"use": use}}}},
				{ID: operator, Users: []awscloud.User{{Name: "latchkey", Keys: []awscloud.Keys{latchkey}, Policies: map[string]string{"p": policy}}}},
			},
		})
		w := &world{t: t, table: identitytest.Table(t)}
		w.must(err)
		wire := &hosts{base: pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, cloud.Services()...))}
		made, err := sdkkms.NewFromConfig(awssdk.Config(wire.base, "us-east-1", tenantRoot)).CreateKey(t.Context(), &sdkkms.CreateKeyInput{})
		w.must(err)
		log := slog.New(slog.DiscardHandler)
		journals := audit.Journal{Table: w.table, Now: time.Now}
		ring, err := keyring.New(t.Context(), keyring.Config{Transport: wire, Now: time.Now})
		w.must(err)
		sealer := identitytest.NewSealer(t)
		settings := suite.Encryption(suite.EncryptionDeps{
			Table: w.table, Journal: journals, Sealer: sealer, Keys: ring, Policy: encryption.Policy{AllowAWSUserKeys: true}, Now: time.Now, Log: log,
		})
		network := awscloud.DefaultNetwork(operator, "us-east-1")
		vpc := awsvpc.New(awsvpc.Config{
			Credentials: credentials.NewStaticCredentialsProvider(latchkey.AccessKeyID, latchkey.SecretAccessKey, ""), Transport: wire.base,
			Networks: map[atlas.AWSRegion]endpoint.AWSNetwork{"us-east-1": {VPCID: network.VPC, SubnetIDs: network.Subnets, SecurityGroupIDs: []string{network.SecurityGroup}}},
		})
		w.api = suite.Endpoints(suite.EndpointDeps{
			Table: w.table, Journal: journals, Start: w, Now: time.Now, Log: log, Regions: map[atlas.Provider][]string{atlas.AWS: vpc.Regions()},
		})
		w.serve(map[string]statestest.Function{
			"NetworkTasksFunctionArn": statestest.Handler(networktasks.New(networktasks.Deps{
				Table: w.table, Now: time.Now, Log: log, Executions: w, Clouds: map[atlas.Provider]endpoint.Cloud{atlas.AWS: vpc},
			})),
			"KeyTasksFunctionArn": statestest.Handler(keytasks.New(keytasks.Deps{Table: w.table, Sealer: sealer, Now: time.Now, Log: log, Keys: ring})),
		})
		founded, err := (&project.Service{Table: w.table, Journal: journals, Now: time.Now}).Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
		w.must(err)
		w.groupID = founded.GroupID
		op, err := encryption.Create(w.groupID, owner.OrgID)
		w.must(err)
		w.must(w.table.Write(t.Context(), op))
		_, err = settings.Update(t.Context(), owner, w.groupID, atlas.EncryptionAtRestUpdate{AWSKMS: &atlas.AWSKMSUpdate{
			Enabled: aws.Bool(true), CustomerMasterKeyID: made.KeyMetadata.Arn, Region: aws.String("US_EAST_1"), RequirePrivateNetworking: aws.Bool(true),
			AccessKeyID: &tenantUser.AccessKeyID, SecretAccessKey: &tenantUser.SecretAccessKey,
		}})
		w.must(err)
		wire.took()

		check := func(reason verdict.Reason, want ...string) {
			t.Helper()
			time.Sleep(time.Minute) // checks within seconds are shared
			findings, err := settings.Validate(t.Context(), w.groupID)
			w.must(err)
			if findings[0].Verdict.Reason != reason || !findings[0].Valid {
				t.Errorf("found %+v, want %s", findings[0], reason)
			}
			if took := wire.took(); !slices.Equal(took, want) {
				t.Errorf("KMS was asked at %v, want %v", took, want)
			}
		}
		const public = "kms.us-east-1.amazonaws.com"
		check(verdict.OK, public)
		e := w.create(atlas.AWS)
		w.ends(atlas.AWS, e.ID, 1, "Endpoint is active", endpoint.Active)
		active, err := w.api.Get(t.Context(), w.groupID, atlas.AWS, e.ID)
		w.must(err)
		wire.took()
		check(verdict.OK, active.Address)

		// Somebody removes it in the console. Until there is another one, nothing goes another way.
		w.must(vpc.Delete(t.Context(), endpoint.Handle{EndpointID: e.ID, Region: "US_EAST_1"}))
		check(verdict.ConnectFailed, active.Address)
		w.watch()
		time.Sleep(time.Second)
		all, err := w.api.List(t.Context(), w.groupID, atlas.AWS)
		w.must(err)
		if len(all) != 2 || all[0].Status != endpoint.PendingRecreation {
			t.Fatalf("%+v", all)
		}
		check(verdict.NetworkRefused)
		w.ends(atlas.AWS, all[1].ID, 1, "Endpoint is active", endpoint.Active)
		again, err := w.api.Get(t.Context(), w.groupID, atlas.AWS, all[1].ID)
		w.must(err)
		wire.took()
		check(verdict.OK, again.Address)

		w.must(w.api.Delete(t.Context(), owner, w.groupID, atlas.AWS, again.ID))
		check(verdict.OK, public)
		w.ends(atlas.AWS, again.ID, 2, "Endpoint is gone", "")
		time.Sleep(time.Hour)
		if left, err := w.api.List(t.Context(), w.groupID, atlas.AWS); err != nil || len(left) != 0 {
			t.Errorf("left %+v, %v", left, err)
		}
	})
}
