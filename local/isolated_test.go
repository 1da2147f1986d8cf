package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/local/states/engine"
	"latchkey/local/template"
)

// functionsVariable names the folder of the functions' programs; integration/isolated.sh builds
// them, since that takes longer than all other tests of this package.
const functionsVariable = "LATCHKEY_FUNCTIONS"

// isolated is the suite over the functions' own programs. Each invocation has a process of its
// own, so nothing works because of what a process remembers.
type isolated struct {
	running
	suite *suite
	log   *logBook
}

func startIsolated(t *testing.T) *isolated {
	t.Helper()
	programs := os.Getenv(functionsVariable)
	if programs == "" {
		t.Skipf("%s is not set; integration/isolated.sh sets it and runs this", functionsVariable)
	}
	cfg := testConfig(t)
	cfg.isolated, cfg.functions, cfg.invocations, cfg.data = true, programs, 1, t.TempDir()
	nodes := httptest.NewUnstartedServer(nil) // its address must be known to the agents
	cfg.parameters["NotificationAllowList"] = hooksNetwork
	cfg.endpointDelay = func() time.Duration { return time.Second }
	cfg.owner = stack.Owner{
		OrgID: "650000000000000000000002", GroupID: "650000000000000000000001",
		PublicKey: "abcdefgh", PrivateKey: "00000000-0000-4000-8000-000000000060",
	}
	i := &isolated{log: &logBook{}}
	begin := time.Now()
	var err error
	at := addresses{nodes: nodes.Listener.Addr().String()}
	if i.suite, err = open(t.Context(), cfg, at, slog.New(slog.NewJSONHandler(i.log, nil))); err != nil {
		t.Fatal(err)
	}
	t.Logf("ready after %s", time.Since(begin))
	nodes.Config.Handler = i.suite.nodes
	nodes.Start()
	api := httptest.NewServer(i.suite.gateway)
	stops := []func(){inBackground(t.Context(), func(ctx context.Context) {
		if err := i.suite.workflows.Engine.Run(ctx); err != nil {
			t.Error(err)
		}
	})}
	for _, act := range i.suite.background { // not the schedules: the tests say when
		stops = append(stops, inBackground(t.Context(), act))
	}
	t.Cleanup(func() {
		for _, stop := range slices.Backward(stops) {
			stop()
		}
		nodes.Close()
		api.Close()
		if err := i.suite.close(); err != nil {
			t.Errorf("close: %v", err)
		}
		if t.Failed() {
			t.Log(i.log.tail())
		}
	})
	clouds := pocket.Transport(i.suite.clouds)
	i.running = running{
		t: t, base: api.URL, owner: cfg.owner, clouds: clouds, token: i.suite.secrets.Admin, ahead: &atomic.Int64{},
		tenant: awssdk.Config(clouds, stack.Region, i.suite.secrets.TenantAWS),
	}
	return i
}

// operate invokes the operator's function.
func (i *isolated) operate(request string) { i.invoke("operator", request) }

// invoke invokes a function, which must succeed.
func (i *isolated) invoke(function, request string) (answer string) {
	i.t.Helper()
	r := httptest.NewRequestWithContext(i.t.Context(), http.MethodPost, "/2015-03-31/functions/"+function+"/invocations", strings.NewReader(request))
	w := httptest.NewRecorder()
	i.suite.lambda.ServeHTTP(w, r)
	if w.Code != http.StatusOK || w.Header().Get("X-Amz-Function-Error") != "" {
		i.t.Fatalf("%s answers %d %s", request, w.Code, w.Body)
	}
	return w.Body.String()
}

// bringUser brings a key that is reached with the access keys of a user, which are sealed, does
// something with it and takes it away.
func (i *isolated) bringUser(use func(keyID string)) {
	ctx, users := i.t.Context(), iam.NewFromConfig(i.tenant)
	key, err := kms.NewFromConfig(i.tenant).CreateKey(ctx, &kms.CreateKeyInput{})
	i.must(err)
	_, err = users.CreateUser(ctx, &iam.CreateUserInput{UserName: aws.String("atlas")})
	i.must(err)
	_, err = users.PutUserPolicy(ctx, &iam.PutUserPolicyInput{
		UserName: aws.String("atlas"), PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`),
	})
	i.must(err)
	made, err := users.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: aws.String("atlas")})
	i.must(err)
	ear := i.byKey().EncryptionAtRestUsingCustomerKeyManagementApi
	_, _, err = ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{
		Enabled: aws.Bool(true), AccessKeyID: made.AccessKey.AccessKeyId, SecretAccessKey: made.AccessKey.SecretAccessKey,
		CustomerMasterKeyID: key.KeyMetadata.Arn, Region: aws.String("US_EAST_1"),
	}}).Execute()
	i.must(err)
	got, _, err := ear.GetEncryptionAtRest(ctx, i.owner.GroupID).Execute()
	i.must(err)
	if !got.AwsKms.GetValid() {
		i.t.Fatal("the user's key is not valid")
	}
	use(aws.ToString(key.KeyMetadata.KeyId))
	_, _, err = ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &admin.EncryptionAtRest{
		AwsKms: &admin.AWSKMSConfiguration{Enabled: aws.Bool(false)},
	}).Execute()
	i.must(err)
}

// journey does what operators and tenants do, with every function.
func (i *isolated) journey() {
	i.operate(`{"operation":"createOrganization","name":"Second","ownerEmail":"second@example.com"}`)
	i.operate(`{"operation":"createOwnerKey","orgId":"` + i.owner.OrgID + `"}`)
	i.bringUser(func(string) {})
	client := i.byAccount()
	for _, bring := range []func(*running, *admin.APIClient) journey{
		(*running).bringAWS, (*running).bringAzure, (*running).bringGoogle,
	} {
		i.follow(client, bring(&i.running, client))
	}
	_, _, err := client.CloudProviderAccessApi.ListCloudProviderAccess(i.t.Context(), i.owner.GroupID).Execute()
	i.must(err)
	i.administer(i.byKey())
	i.operate(`{"operation":"purgeClosedProjects"}`)
	i.operate(`{"operation":"rotateSigningKeys"}`)
	i.operate(`{"operation":"rotateNodeKeys"}`)
}

// until lets some time pass until something is so: what is not as it should be is checked once a
// minute.
func (i *isolated) until(what string, is func() bool) {
	i.t.Helper()
	ctx, cancel := context.WithTimeout(i.t.Context(), 80*time.Second)
	defer cancel()
	for !is() {
		timer := time.NewTimer(300 * time.Millisecond)
		select {
		case <-timer.C:
		case <-ctx.Done():
			i.t.Fatalf("not in time: %s", what)
		}
	}
}

// state is the state of a cluster, and what its processes do.
func (i *isolated) state(name string) string {
	client := i.byKey()
	c, _, err := client.ClustersApi.GetCluster(i.t.Context(), i.owner.GroupID, name).Execute()
	if admin.IsErrorCode(err, "CLUSTER_NOT_FOUND") {
		return "GONE"
	}
	i.must(err)
	list, _, err := client.MonitoringAndLogsApi.ListGroupProcesses(i.t.Context(), i.owner.GroupID).Execute()
	i.must(err)
	types := []string{c.GetStateName()}
	for _, p := range list.GetResults() {
		types = append(types, p.GetTypeName())
	}
	slices.Sort(types[1:])
	return strings.Join(types, " ")
}

// cluster has a cluster made that is encrypted with the key that is configured at a provider, does something
// while that is under way and when it runs, and has it deleted.
func (i *isolated) cluster(name, provider string, meanwhile, use func()) {
	i.t.Helper()
	ctx := i.t.Context()
	_, _, err := i.byKey().ClustersApi.CreateCluster(ctx, i.owner.GroupID, &admin.ClusterDescription20240805{
		Name: &name, ClusterType: aws.String("REPLICASET"), EncryptionAtRestProvider: &provider, ReplicationSpecs: size("M10"),
	}).Execute()
	i.must(err)
	meanwhile()
	i.until("the cluster runs", func() bool { return i.state(name) == "IDLE "+allRun })
	use()
	_, err = i.byKey().ClustersApi.DeleteCluster(ctx, i.owner.GroupID, name).Execute()
	i.must(err)
	i.until("the cluster is gone", func() bool { return i.state(name) == "GONE" })
}

// administer opens a project with people and keys, and closes it.
func (i *isolated) administer(client *admin.APIClient) {
	ctx := i.t.Context()
	group, _, err := client.ProjectsApi.CreateGroup(ctx, &admin.Group{Name: "Project 1", OrgId: i.owner.OrgID}).Execute()
	i.must(err)
	key, _, err := client.ProgrammaticAPIKeysApi.CreateGroupApiKey(ctx, group.GetId(), &admin.CreateAtlasProjectApiKey{
		Desc: "ci", Roles: []string{"GROUP_OWNER"},
	}).Execute()
	i.must(err)
	_, err = client.ProgrammaticAPIKeysApi.AddGroupApiKey(ctx, i.owner.GroupID, key.GetId(), &[]admin.UserAccessRoleAssignment{
		{Roles: &[]string{"GROUP_READ_ONLY"}},
	}).Execute()
	i.must(err)
	_, _, err = client.ProjectsApi.UpdateGroupSettings(ctx, group.GetId(), &admin.GroupSettings{
		IsPerformanceAdvisorEnabled: aws.Bool(false),
	}).Execute()
	i.must(err)
	i.webhook(client, group.GetId())
	groups, _, err := client.ProjectsApi.ListGroups(ctx).Execute()
	i.must(err)
	if len(groups.GetResults()) != 2 {
		i.t.Fatal("there are not two projects")
	}
	_, err = client.ProjectsApi.DeleteGroup(ctx, group.GetId()).Execute()
	i.must(err)
	_, err = client.ProgrammaticAPIKeysApi.DeleteOrgApiKey(ctx, i.owner.OrgID, key.GetId()).Execute()
	i.must(err)
}

func TestIsolated_the_functions_need_no_more_than_the_template_gives_them(t *testing.T) {
	startIsolated(t).journey()
}

// estate has clusters whose nodes' keys are wrapped by tenants' keys, which are taken and given
// back.
func (i *isolated) estate() {
	i.t.Helper()
	i.bringUser(func(keyID string) {
		i.proveKey("AWS")
		keys := kms.NewFromConfig(i.tenant)
		i.cluster("user", "AWS", i.interrupt, func() {
			i.recheck(func() {
				_, err := keys.DisableKey(i.t.Context(), &kms.DisableKeyInput{KeyId: &keyID})
				i.must(err)
			}, func() {
				_, err := keys.EnableKey(i.t.Context(), &kms.EnableKeyInput{KeyId: &keyID})
				i.must(err)
			})
		})
	})
	client := i.byKey()
	j := i.bringAWS(client)
	_, _, err := client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(i.t.Context(), i.owner.GroupID, &j.update).Execute()
	i.must(err)
	i.proveKey("AWS")
	i.cluster("role", "AWS", func() {}, func() {
		i.rotate(j)
		i.recheck(j.take, j.give)
		j.take()
		i.until("nodes stop", func() bool {
			i.readKey() // makes the key urgent
			i.invoke("validate", `{}`)
			return i.state("role") == "IDLE "+allStopped
		})
		i.until("the owner is told", func() bool { return len(i.lossMails()["owner@example.com"]) == 1 })
		i.until("enforcement ends", func() bool { return len(i.executions("latchkey-enforce-validity")) == 0 })
		j.give()
		i.until("nodes run again", func() bool {
			i.readKey() // which starts them
			return i.state("role") == "IDLE "+allRun
		})
	})
	_, _, err = client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(i.t.Context(), i.owner.GroupID, &j.disable).Execute()
	i.must(err)
}

// elsewhere has clusters whose nodes' keys are wrapped by keys at Azure and Google, which functions reach with the
// deployment's secrets.
func (i *isolated) elsewhere() {
	i.t.Helper()
	client := i.byKey()
	for _, bring := range []func(*running, *admin.APIClient) journey{(*running).bringAzure, (*running).bringGoogle} {
		j := bring(&i.running, client)
		ear := client.EncryptionAtRestUsingCustomerKeyManagementApi
		_, _, err := ear.UpdateEncryptionAtRest(i.t.Context(), i.owner.GroupID, &j.update).Execute()
		i.must(err)
		i.proveKey(j.provider)
		i.cluster(strings.ToLower(j.provider), j.provider, func() {}, func() { i.recheck(j.take, j.give) })
		_, _, err = ear.UpdateEncryptionAtRest(i.t.Context(), i.owner.GroupID, &j.disable).Execute()
		i.must(err)
	}
}

func TestIsolated_keys_elsewhere_need_no_more_than_the_template_gives(t *testing.T) {
	t.Parallel()
	startIsolated(t).elsewhere()
}

// endpoints has keys reached through private endpoints.
func (i *isolated) endpoints() {
	i.t.Helper()
	i.throughEndpoint("AWS", "US_EAST_1", (*running).bringAWS, func(string) {})
	i.throughEndpoint("AZURE", "US_EAST_2", (*running).bringAzure, func(connection string) {
		i.cloud("PUT", "https://management.azure.com/subscriptions/6f1b0000-0000-4000-8000-000000000003/resourceGroups/rg-kms"+
			"/providers/Microsoft.KeyVault/vaults/kv-kms/privateEndpointConnections/"+connection+"?api-version=2023-07-01",
			`{"properties":{"privateLinkServiceConnectionState":{"status":"Approved"}}}`)
	})
}

// throughEndpoint brings a key, has it reached through a private endpoint and removes both.
func (i *isolated) throughEndpoint(provider, region string, bring func(*running, *admin.APIClient) journey, approve func(connection string)) {
	i.t.Helper()
	ctx, ear := i.t.Context(), i.byKey().EncryptionAtRestUsingCustomerKeyManagementApi
	j := bring(&i.running, i.byKey())
	if j.update.AwsKms != nil {
		j.update.AwsKms.RequirePrivateNetworking = aws.Bool(true)
	} else {
		j.update.AzureKeyVault.RequirePrivateNetworking = aws.Bool(true)
	}
	_, _, err := ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &j.update).Execute()
	i.must(err)
	made, _, err := ear.CreateRestPrivateEndpoint(ctx, i.owner.GroupID, provider, &admin.EARPrivateEndpoint{RegionName: &region}).Execute()
	i.must(err)
	status := func() string {
		i.invoke("networktasks", `{"task":"watchEndpoints"}`)
		e, _, err := ear.GetRestPrivateEndpoint(ctx, i.owner.GroupID, provider, made.GetId()).Execute()
		if admin.IsErrorCode(err, "RESOURCE_NOT_FOUND") {
			return "GONE"
		}
		i.must(err)
		if e.GetStatus() == "PENDING_ACCEPTANCE" {
			approve(e.GetPrivateEndpointConnectionName())
		}
		return e.GetStatus()
	}
	i.until("the endpoint is active", func() bool { return status() == "ACTIVE" })
	got, _, err := ear.GetEncryptionAtRest(ctx, i.owner.GroupID).Execute()
	i.must(err)
	if !j.valid(got) {
		i.t.Fatal("the key is not valid through its endpoint")
	}
	_, err = ear.RequestPrivateEndpointDeletion(ctx, i.owner.GroupID, provider, made.GetId()).Execute()
	i.must(err)
	i.until("the endpoint is gone", func() bool { return status() == "GONE" })
	_, _, err = ear.UpdateEncryptionAtRest(ctx, i.owner.GroupID, &j.disable).Execute()
	i.must(err)
}

func TestIsolated_private_endpoints_need_no_more_than_the_template_gives(t *testing.T) {
	t.Parallel()
	startIsolated(t).endpoints()
}

// readKey reads the configuration of the key, which checks it.
func (i *isolated) readKey() {
	i.t.Helper()
	_, _, err := i.byKey().EncryptionAtRestUsingCustomerKeyManagementApi.GetEncryptionAtRest(i.t.Context(), i.owner.GroupID).Execute()
	i.must(err)
}

// proveKey has the key proved as workflows have it.
func (i *isolated) proveKey(provider string) {
	i.t.Helper()
	if answer := i.invoke("keytasks", `{"task":"checkKey","groupId":"`+i.owner.GroupID+`","provider":"`+provider+`"}`); !strings.Contains(answer, `"OK"`) {
		i.t.Fatalf("the key is not proved: %s", answer)
	}
}

// recheck takes a key for a moment, so that it is checked again, and waits for that.
func (i *isolated) recheck(take, give func()) {
	i.t.Helper()
	take()
	i.readKey()
	give()
	i.until("the key is checked again", func() bool { return strings.Contains(i.invoke("validate", `{}`), `"VALID":1`) })
}

// executions are those of a state machine that are going on.
func (i *isolated) executions(machine string) []engine.Execution {
	i.t.Helper()
	e := i.suite.workflows.Engine
	running, _, err := e.List(e.MachineARN(machine), engine.Running, engine.Page{})
	i.must(err)
	return running
}

// interrupt ends the execution that carries out a plan, which is then carried on by another.
func (i *isolated) interrupt() {
	i.t.Helper()
	running := i.executions("latchkey-encrypt-cluster")
	for _, x := range running {
		_, err := i.suite.workflows.Engine.Stop(i.t.Context(), x.ARN, "Test", "")
		i.must(err)
	}
	if answer := i.invoke("fleettasks", `{"task":"resumePlans"}`); len(running) != 1 || !strings.Contains(answer, `"restarted":1`) {
		i.t.Fatalf("%d executions were ended, and then %s", len(running), answer)
	}
}

func TestIsolated_clusters_need_no_more_than_the_template_gives(t *testing.T) {
	t.Parallel()
	startIsolated(t).estate()
}

// The template's canary tells the functions' own programs, under the template's policies, a
// permission that they lost from a trust that the tenant withdrew.
func TestIsolated_a_lost_permission_stops_nothing_and_a_withdrawn_trust_does(t *testing.T) {
	t.Parallel()
	i := startIsolated(t)
	client := i.byKey()
	j := i.bringAWS(client)
	_, _, err := client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(t.Context(), i.owner.GroupID, &j.update).Execute()
	i.must(err)
	validate := i.suite.specs[slices.IndexFunc(i.suite.specs, func(f template.Function) bool { return f.Name == "validate" })]
	i.cluster("A", "AWS", func() {}, func() {
		j.take()
		i.readKey() // makes the key urgent
		j.give()
		i.permit(validate, without(validate.Statements, "AssumeTenantRoles", "sts:AssumeRole"))
		i.until("a check is inconclusive", func() bool { return strings.Contains(i.invoke("validate", `{}`), `"INCONCLUSIVE":1`) })
		if got := i.state("A"); got != "IDLE "+allRun {
			t.Errorf("the cluster is %s", got)
		}
		i.permit(validate, validate.Statements)
		i.until("the key is valid", func() bool { return strings.Contains(i.invoke("validate", `{}`), `"VALID":1`) })
		give := i.distrust()
		i.until("nodes stop", func() bool {
			i.readKey()
			i.invoke("validate", `{}`)
			return i.state("A") == "IDLE "+allStopped
		})
		give()
		i.until("nodes run again", func() bool {
			i.readKey()
			return i.state("A") == "IDLE "+allRun
		})
	})
}
