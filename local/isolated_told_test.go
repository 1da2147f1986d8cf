package main

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/mongodb-forks/digest"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/messagecloud"
)

// hooksNetwork is where isolated functions may reach receivers of webhooks.
const hooksNetwork = "127.0.0.1/32"

// told has people told that a key is not valid, in every way there is.
func (i *isolated) told() {
	i.t.Helper()
	tenant := &receiver{}
	hooks := httptest.NewServer(tenant)
	defer hooks.Close()
	client := i.byKey()
	j := i.bringAWS(client)
	_, _, err := client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(i.t.Context(), i.owner.GroupID, &j.update).Execute()
	i.must(err)
	i.warn(client, hooks.URL+"/x")
	_, _, err = client.AlertConfigurationsApi.CreateAlertConfig(i.t.Context(), i.owner.GroupID, &admin.GroupAlertsConfig{
		EventTypeName: aws.String("AWS_ENCRYPTION_KEY_INVALID"), Enabled: aws.Bool(true),
		Notifications: &[]admin.AlertsNotificationRootForGroup{
			{TypeName: aws.String("GROUP"), EmailEnabled: aws.Bool(true), SmsEnabled: aws.Bool(false)},
			{TypeName: aws.String("SMS"), MobileNumber: aws.String("+15550100")},
		},
	}).Execute()
	i.must(err)
	j.take()
	about := func(kind string) func() bool {
		return func() bool {
			return slices.ContainsFunc(i.mailbox(kind), func(m messagecloud.Message) bool {
				text := m.Subject + m.Text
				return strings.Contains(text, "AWS_ENCRYPTION_KEY_INVALID") || strings.Contains(text, "AWS encryption key invalid")
			})
		}
	}
	i.until("the key is not valid", func() bool {
		i.readKey()
		return strings.Contains(i.invoke("validate", `{}`), `"INVALID":1`)
	})
	i.until("the webhook is told", func() bool { return len(tenant.opened()) == 1 })
	for _, kind := range []string{"", "/sms", "/topic", "/bus"} {
		i.until("the mailbox"+kind+" has it", about(kind))
	}
	tenant.check(i.t)
	i.invoke("notify", `{"retryDue":true}`)
}

func TestIsolated_telling_people_needs_no_more_than_the_template_gives(t *testing.T) {
	t.Parallel()
	startIsolated(t).told()
}

// rotate has the project's key in AWS KMS replaced by another one while clusters run.
func (i *isolated) rotate(j journey) {
	i.t.Helper()
	ctx, keys := i.t.Context(), kms.NewFromConfig(i.tenant)
	made, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	i.must(err)
	_, err = iam.NewFromConfig(i.tenant).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("atlas-kms"), PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":"*"}]}`),
	})
	i.must(err)
	former := *j.update.AwsKms.CustomerMasterKeyID
	change := func(key string) {
		i.t.Helper()
		_, _, err := i.byKey().EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(ctx, i.owner.GroupID,
			&admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{CustomerMasterKeyID: &key}}).Execute()
		i.must(err)
		i.until("the key is rotated", func() bool {
			r := i.report()
			return r.LastChange != nil && r.LastChange.Kind == "rotate-key" && r.LastChange.State == "FINISHED" &&
				r.KeyInUse != nil && r.KeyInUse.Key == key
		})
	}
	change(*made.KeyMetadata.Arn)
	i.workflowEnded("rotate-key")
	change(former) // which is what the rest of the test takes and gives
}

// report is what the tenant reads of the project's key.
func (i *isolated) report() reported {
	i.t.Helper()
	var page struct{ Results []reported }
	if body := i.read("/encryptionAtRest/keys", &page); len(page.Results) != 1 {
		i.t.Fatalf("the reports are %s", body)
	}
	return page.Results[0]
}

// workflowEnded demands that the tenant is shown an execution that ended well, with its steps.
func (i *isolated) workflowEnded(kind string) {
	i.t.Helper()
	var page struct {
		Results []struct {
			Kind, Status string
			Steps        []struct{ State string }
		}
	}
	i.until("the end of "+kind+" is shown", func() bool {
		page.Results = nil
		body := i.read("/workflows", &page)
		for _, w := range page.Results {
			if w.Status == "UNKNOWN" {
				i.t.Fatalf("Step Functions does not tell: %s", body)
			}
			if w.Kind == kind && w.Status == "SUCCEEDED" && len(w.Steps) > 0 {
				return true
			}
		}
		return false
	})
}

// read is what the owner reads of the project in Latchkey's own API.
func (i *isolated) read(path string, into any) (body []byte) {
	i.t.Helper()
	address := i.base + "/api/latchkey/v1/groups/" + i.owner.GroupID + path
	req, err := http.NewRequestWithContext(i.t.Context(), http.MethodGet, address, http.NoBody)
	i.must(err)
	resp, err := (&http.Client{Transport: digest.NewTransport(i.owner.PublicKey, i.owner.PrivateKey)}).Do(req)
	i.must(err)
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err = io.ReadAll(resp.Body)
	i.must(err)
	if err := json.Unmarshal(body, into); err != nil || resp.StatusCode != http.StatusOK {
		i.t.Fatalf("%s: %s %s", path, resp.Status, body)
	}
	return body
}
