package crashtest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/icholy/digest"
)

// tenant is a client of the suite as it runs at the moment: of the API, of the clouds, of the data.
type tenant struct {
	at   map[string]string
	http *http.Client // of the API
	keys *kms.Client
}

// requestTimeout is how long an answer may take. Whoever had to wait longer knows nothing.
const requestTimeout = 40 * time.Second

func newTenant(at map[string]string) *tenant {
	transport := &http.Transport{MaxIdleConnsPerHost: 8}
	return &tenant{
		at: at,
		http: &http.Client{
			Timeout:   requestTimeout,
			Transport: &digest.Transport{Username: at["PUBLIC_KEY"], Password: at["PRIVATE_KEY"], Transport: transport},
		},
		keys: kms.NewFromConfig(awsConfig(at), func(o *kms.Options) { o.RetryMaxAttempts = 1 }),
	}
}

func awsConfig(at map[string]string) aws.Config {
	return aws.Config{
		Region: "us-east-1", BaseEndpoint: aws.String(at["clouds"]),
		Credentials: credentials.NewStaticCredentialsProvider(at["AWS_ACCESS_KEY_ID"], at["AWS_SECRET_ACCESS_KEY"], ""),
		HTTPClient:  &http.Client{Timeout: requestTimeout},
	}
}

// answer is an answer of the API.
type answer struct {
	outcome outcome
	status  int
	text    string
	body    map[string]any
}

// validate has the keys checked at once.
func (t *tenant) validate(ctx context.Context) answer {
	return t.call(ctx, http.MethodPost, "latchkey/v1/groups/"+t.at["GROUP_ID"]+"/encryptionAtRest/validate", "")
}

// call calls the API. A path that begins with "/" is below the group.
func (t *tenant) call(ctx context.Context, method, path, body string) answer {
	url := t.at["API"] + "/api/" + path
	if strings.HasPrefix(path, "/") {
		url = t.at["API"] + "/api/atlas/v2/groups/" + t.at["GROUP_ID"] + path
	}
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return answer{outcome: unknown, text: err.Error()}
	}
	req.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	if strings.HasPrefix(path, "latchkey") {
		req.Header.Set("Accept", "application/json")
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/vnd.atlas.2024-11-13+json")
	}
	a := send(t.http, req)
	json.Unmarshal([]byte(a.text), &a.body) //nolint:errcheck // an answer without a body has no members
	return a
}

func send(client *http.Client, req *http.Request) answer {
	resp, err := client.Do(req)
	if err != nil {
		return answer{outcome: unknown, text: err.Error()}
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	text, err := io.ReadAll(resp.Body)
	a := answer{outcome: done, status: resp.StatusCode, text: string(text)}
	switch {
	case resp.StatusCode >= http.StatusInternalServerError:
		a.outcome = unknown
	case resp.StatusCode >= http.StatusBadRequest:
		a.outcome = refused
	case err != nil:
		a.text = err.Error() // the status has said it
	}
	return a
}

// results are the members of a list.
func (a answer) results() (list []map[string]any) {
	all, _ := a.body["results"].([]any)
	for _, one := range all {
		if member, ok := one.(map[string]any); ok {
			list = append(list, member)
		}
	}
	return list
}

// list reads a list of the group.
func (t *tenant) list(ctx context.Context, path string) ([]map[string]any, error) {
	a := t.call(ctx, http.MethodGet, path+"?itemsPerPage=500", "")
	if a.outcome != done {
		return nil, fmt.Errorf("%s answers %d %s", path, a.status, a.text)
	}
	return a.results(), nil
}

// value is where a value is kept in the cluster that all data is in.
func (t *tenant) value(ctx context.Context, method, key, value string) answer {
	url := t.at["DATABASES"] + "/" + t.at["GROUP_ID"] + "/" + dataCluster + "/db/" + key
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(value))
	if err != nil {
		return answer{outcome: unknown, text: err.Error()}
	}
	return send(http.DefaultClient, req)
}

// states calls Step Functions.
func (t *tenant) states(ctx context.Context, operation, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at["states"], bytes.NewBufferString(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("X-Amz-Target", "AWSStepFunctions."+operation)
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	a := send(http.DefaultClient, req)
	if a.outcome != done {
		return nil, fmt.Errorf("%s answers %d %s", operation, a.status, a.text)
	}
	var out map[string]any
	return out, json.Unmarshal([]byte(a.text), &out)
}

// invoke invokes a function as Lambda's clients do.
func (t *tenant) invoke(ctx context.Context, function, payload string) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.at["Lambda"]+"/2015-03-31/functions/"+function+"/invocations", strings.NewReader(payload))
	if err != nil {
		return answer{outcome: unknown, text: err.Error()}
	}
	return send(http.DefaultClient, req)
}

// dataCluster is the cluster whose data is written and read back.
const dataCluster = "data"

func clusterBody(name, note, encryption string) string {
	return fmt.Sprintf(`{"name":%q,"clusterType":"REPLICASET","encryptionAtRestProvider":%q,"tags":[{"key":"note","value":%q}],
		"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,
		"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`, name, encryption, note)
}

// bring brings keys, a role that may use them, the configuration, and a cluster that is encrypted.
func (t *tenant) bring(tb testing.TB) (keyIDs []string) {
	tb.Helper()
	ctx := tb.Context()
	must := func(err error) {
		if err != nil {
			tb.Fatal(err)
		}
	}
	ok := func(a answer) answer {
		if a.outcome != done {
			tb.Fatalf("%d %s", a.status, a.text)
		}
		return a
	}
	for range 3 {
		key, err := t.keys.CreateKey(ctx, &kms.CreateKeyInput{})
		must(err)
		keyIDs = append(keyIDs, *key.KeyMetadata.Arn)
	}
	access := ok(t.call(ctx, http.MethodPost, "/cloudProviderAccess", `{"providerName":"AWS"}`)).body
	roles := iam.NewFromConfig(awsConfig(t.at))
	role, err := roles.CreateRole(ctx, &iam.CreateRoleInput{
		RoleName: aws.String("latchkey"),
		AssumeRolePolicyDocument: aws.String(fmt.Sprintf(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":%q},
			"Action":"sts:AssumeRole","Condition":{"StringEquals":{"sts:ExternalId":%q}}}]}`,
			access["atlasAWSAccountArn"], access["atlasAssumedRoleExternalId"])),
	})
	must(err)
	_, err = roles.PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("latchkey"), PolicyName: aws.String("keys"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`),
	})
	must(err)
	ok(t.call(ctx, http.MethodPatch, fmt.Sprint("/cloudProviderAccess/", access["roleId"]),
		fmt.Sprintf(`{"providerName":"AWS","iamAssumedRoleArn":%q}`, *role.Role.Arn)))
	ok(t.call(ctx, http.MethodPatch, "/encryptionAtRest", fmt.Sprintf(
		`{"awsKms":{"enabled":true,"roleId":%q,"customerMasterKeyID":%q,"region":"US_EAST_1"}}`, access["roleId"], keyIDs[0])))
	ok(t.call(ctx, http.MethodPost, "/clusters", clusterBody(dataCluster, "kept", "AWS")))
	return keyIDs
}
