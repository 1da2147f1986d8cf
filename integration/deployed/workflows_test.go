package deployed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sfn"
	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/lambdasvc"
	"latchkey/local/pocket"
	"latchkey/local/runtimeapi"
	"latchkey/local/stack"
	"latchkey/local/states/asl"
	"latchkey/local/states/engine"
	"latchkey/local/states/journal"
	"latchkey/local/states/statestest"
	"latchkey/shared/workflow"
)

const (
	// programsVariable is a folder with the functions' programs, built for this machine.
	programsVariable = "LATCHKEY_FUNCTIONS"
	// lambdaVariable is the address at which the Step Functions of awsVariable looks for Lambda.
	lambdaVariable = "LATCHKEY_LAMBDA_ADDRESS"
)

// run starts the functions' programs in the environment that they are deployed with. They reach AWS at front.
func (d *deployment) run(t *testing.T, front string) []lambdasvc.Function {
	t.Helper()
	var all []lambdasvc.Function
	for _, spec := range d.specs {
		environment := []string{
			"AWS_ENDPOINT_URL=" + front, "AWS_REGION=us-east-1", "AWS_ACCESS_KEY_ID=AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY=secret",
			"AWS_CONFIG_FILE=" + os.DevNull, "AWS_SHARED_CREDENTIALS_FILE=" + os.DevNull, "AWS_EC2_METADATA_DISABLED=true",
			"AWS_LAMBDA_FUNCTION_NAME=" + spec.FunctionName, "AWS_LAMBDA_FUNCTION_VERSION=$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
			"AWS_LAMBDA_LOG_FORMAT=JSON", "AWS_LAMBDA_LOG_LEVEL=WARN", "HOME=" + t.TempDir(),
		}
		for name, value := range d.functions[spec.FunctionName].Environment.Variables {
			environment = append(environment, fmt.Sprintf("%s=%v", name, value))
		}
		f := runtimeapi.New(runtimeapi.Config{
			Program: filepath.Join(os.Getenv(programsVariable), spec.Name), Name: spec.FunctionName, ARN: arn(spec.FunctionName),
			Environment: environment, Timeout: spec.Timeout, InitTimeout: time.Minute, Now: time.Now, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
		})
		t.Cleanup(func() { f.Close() }) //nolint:errcheck // its processes end with this one
		all = append(all, lambdasvc.Function{
			ID: spec.ID, Name: spec.Name, FunctionName: spec.FunctionName, ARN: arn(spec.FunctionName), Timeout: f.Longest(), Handler: f,
		})
	}
	return all
}

func arn(function string) string { return "arn:aws:lambda:us-east-1:123456789012:function:" + function }

// stand serves Lambda in the place of the AWS behind it, to which everything else goes.
func stand(t *testing.T, d *deployment) []lambdasvc.Function {
	t.Helper()
	behind, err := url.Parse(os.Getenv(awsVariable))
	if err != nil {
		t.Fatal(err)
	}
	address := os.Getenv(lambdaVariable)
	functions := d.run(t, "http://"+address)
	mux := http.NewServeMux()
	mux.Handle("/2015-03-31/functions/", lambdasvc.New(functions, time.Now, slog.New(slog.DiscardHandler)))
	mux.Handle("/", &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(behind)
		r.Out.Host = r.In.Host // it is signed
	}})
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}}
	server.Start()
	t.Cleanup(server.Close)
	return functions
}

// Executions of everything that is deployed: CloudFormation's state machines, another's interpreter of them, the
// functions' programs in their deployed environment, and the table. There is nothing to do for them, or nothing any
// more, which each finds out in the table.
func TestDeployed_workflows_go_as_they_go_here(t *testing.T) {
	d := open(t)
	if os.Getenv(programsVariable) == "" {
		t.Skipf("%s is not set; integration/template.sh sets it and runs this", programsVariable)
	}
	const group = `"groupId":"650000000000000000000001"`
	definitions := map[string]string{}
	for _, kind := range workflow.Kinds() {
		definitions[string(kind)] = d.definition(t, "latchkey-"+string(kind))
	}
	configure(t, `{"stepfunctions": {"execute_state_machine": true}}`)
	functions := stand(t, d)
	clusterID := d.createCluster(t, functions, definitions["encrypt-cluster"])
	inputs := map[string]string{
		"encrypt-cluster":    `{"clusterId":"` + clusterID + `",` + group + `,"revision":99,"attempt":99}`,
		"enforce-validity":   `{` + group + `,"provider":"AWS","revision":1}`,
		"private-endpoint":   `{` + group + `,"provider":"AZURE","endpointId":"650000000000000000000003"}`,
		"reconfigure-region": `{` + group + `,"provider":"AWS","revision":1,"attempt":1}`,
		"rotate-key":         `{` + group + `,"provider":"AWS","revision":1,"attempt":1}`,
		"rotate-master-keys": `{` + group + `,"number":1,"attempt":1}`,
		"switch-role":        `{` + group + `,"provider":"AWS","revision":1,"attempt":1}`,
	}
	ours := startEngine(t, definitions, functions)
	for kind, input := range inputs {
		t.Run(kind, func(t *testing.T) {
			theirs, err := statestest.ExecuteOn(t.Context(), os.Getenv(awsVariable), definitions[kind], input)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(ours(t, kind, input), ended(t, theirs)); diff != "" {
				t.Errorf("ours (-) and theirs (+):\n%s", diff)
			}
			t.Logf("%s: %s", theirs.Status, strings.Join(theirs.Path, " > "))
		})
	}
}

// createCluster has the official client create a cluster through the API, in a new organization, and waits until the
// execution that the API has started waits for the cluster's nodes. It returns the cluster's id.
func (d *deployment) createCluster(t *testing.T, functions []lambdasvc.Function, definition string) string {
	t.Helper()
	client := sfn.NewFromConfig(d.cfg)
	// CloudFormation made them where moto does not look for those that it executes.
	if _, err := client.CreateStateMachine(t.Context(), &sfn.CreateStateMachineInput{
		Name: aws.String("latchkey-encrypt-cluster"), Definition: &definition, RoleArn: aws.String("arn:aws:iam::123456789012:role/workflows"),
	}); err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(t.Output(), nil))
	operator, err := stack.Named(functions, "operator")
	if err != nil {
		t.Fatal(err)
	}
	owner, err := stack.EnsureOwner(t.Context(), pocket.Memory(), operator, stack.Owner{GroupID: "650000000000000000000001"})
	if err != nil {
		t.Fatal(err)
	}
	gateway, err := stack.Gateway(d.template, functions, time.Now, log)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gateway)
	t.Cleanup(server.Close)
	atlas, err := admin.NewClient(admin.UseBaseURL(server.URL), admin.UseDigestAuth(owner.PublicKey, owner.PrivateKey))
	if err != nil {
		t.Fatal(err)
	}
	cluster, _, err := atlas.ClustersApi.CreateCluster(t.Context(), owner.GroupID, &admin.ClusterDescription20240805{
		Name: aws.String("Deployed"), ClusterType: aws.String("REPLICASET"),
		ReplicationSpecs: &[]admin.ReplicationSpec20240805{{RegionConfigs: &[]admin.CloudRegionConfig20240805{{
			ProviderName: aws.String("AWS"), RegionName: aws.String("US_EAST_1"), Priority: aws.Int(7),
			ElectableSpecs: &admin.HardwareSpec20240805{InstanceSize: aws.String("M10"), NodeCount: aws.Int(3)},
		}}}},
	}).Execute()
	if err != nil {
		t.Fatal(err)
	}
	if cluster.GetStateName() != "CREATING" {
		t.Errorf("the cluster is %s", cluster.GetStateName())
	}
	d.awaitNodes(t, client)
	return cluster.GetId()
}

// awaitNodes waits until the one execution that there is waits for nodes, and stops it: there are none.
func (d *deployment) awaitNodes(t *testing.T, client *sfn.Client) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	machine := aws.String("arn:aws:states:us-east-1:123456789012:stateMachine:latchkey-encrypt-cluster")
	list, err := client.ListExecutions(ctx, &sfn.ListExecutionsInput{StateMachineArn: machine})
	if err != nil || len(list.Executions) != 1 {
		t.Fatalf("executions: %+v, %v", list, err)
	}
	execution := list.Executions[0].ExecutionArn
	for {
		path, err := statestest.Entered(ctx, client, *execution)
		if err != nil {
			t.Fatalf("it does not wait for nodes: %v", err)
		}
		if slices.Contains(path, "Wait for nodes") {
			t.Logf("the API's execution: %s", strings.Join(path, " > "))
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if _, err := client.StopExecution(ctx, &sfn.StopExecutionInput{ExecutionArn: execution}); err != nil {
		t.Error(err)
	}
}

// end is what executions are compared by.
type end struct {
	Status       engine.Status
	Path         []string
	Output       any
	Error, Cause string
}

func ended(t *testing.T, r statestest.Result) end {
	t.Helper()
	e := end{Status: r.Status, Path: r.Path, Error: r.Error, Cause: r.Cause}
	if r.Output != "" {
		e.Output = object(t, r.Output)
	}
	return e
}

// configure changes the configuration of moto.
func configure(t *testing.T, settings string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, os.Getenv(awsVariable)+"/moto-api/config", strings.NewReader(settings))
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close() //nolint:errcheck // nothing is read
	if answer.StatusCode != http.StatusCreated {
		t.Fatalf("moto answers %s", answer.Status)
	}
}

// startEngine starts our engine over definitions and functions. It returns what executes one of them.
func startEngine(t *testing.T, definitions map[string]string, functions []lambdasvc.Function) func(t *testing.T, kind, input string) end {
	t.Helper()
	machines := map[string]*asl.Machine{}
	for kind, text := range definitions {
		machines[kind] = statestest.Parse(t, kind, text)
	}
	e := engine.New(engine.Config{
		Journal: journal.Memory(), Machines: machines, Now: time.Now, Rand: rand.NewPCG(1, 2), Log: slog.New(slog.DiscardHandler),
		Invoke: func(ctx context.Context, name string, payload []byte) ([]byte, error) {
			for _, f := range functions {
				if strings.HasSuffix(name, f.FunctionName) {
					out, err := f.Invoke(ctx, payload)
					if err != nil {
						return nil, &engine.FunctionError{Payload: lambdasvc.AsError(err).Payload()}
					}
					return out, nil
				}
			}
			return nil, &engine.ServiceError{Code: "ResourceNotFoundException", Message: name}
		},
	})
	ctx, stop := context.WithCancel(t.Context())
	stopped := make(chan error, 1)
	go func() { stopped <- e.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-stopped; err != nil && !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
	return func(t *testing.T, kind, input string) end {
		t.Helper()
		x, err := e.Start(t.Context(), e.MachineARN(kind), "one", input)
		if err != nil {
			t.Fatal(err)
		}
		for {
			now, err := e.Describe(x.ARN)
			if err != nil {
				t.Fatal(err)
			}
			if now.Status != engine.Running {
				return ended(t, statestest.Read(t, e, x.ARN))
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
}
