package main

import (
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
	"latchkey/shared/alert"
	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/keys"
)

// table is the deployed table, as the operator's administrator reaches it.
func (i *isolated) table() *dynamo.Table {
	return dynamo.New(dynamodb.NewFromConfig(awssdk.Config(i.clouds, stack.Region, i.suite.secrets.OperatorRoot)), "Table")
}

// webhook has a project warned by a webhook, whose address then changes.
func (i *isolated) webhook(client *admin.APIClient, groupID string) {
	i.t.Helper()
	ctx, api := i.t.Context(), client.AlertConfigurationsApi
	config := &admin.GroupAlertsConfig{
		EventTypeName: aws.String("AWS_ENCRYPTION_KEY_INVALID"), Enabled: aws.Bool(true),
		Notifications: &[]admin.AlertsNotificationRootForGroup{{
			TypeName: aws.String("WEBHOOK"), WebhookUrl: aws.String("https://hooks.example.com/a"), WebhookSecret: aws.String("sign-with-this"),
		}},
	}
	made, _, err := api.CreateAlertConfig(ctx, groupID, config).Execute()
	i.must(err)
	(*config.Notifications)[0].NotifierId = (*made.Notifications)[0].NotifierId
	(*config.Notifications)[0].WebhookUrl = aws.String("https://hooks.example.com/b")
	_, _, err = api.UpdateAlertConfig(ctx, groupID, made.GetId(), config).Execute()
	i.must(err)
}

// reminders has a project warned of a date that comes near, and closes it while something of it is
// still due.
func (i *isolated) reminders() {
	i.t.Helper()
	ctx, client, table := i.t.Context(), i.byKey(), i.table()
	group, _, err := client.ProjectsApi.CreateGroup(ctx, &admin.Group{Name: "Reminded", OrgId: i.owner.OrgID}).Execute()
	i.must(err)
	alerts := &alert.Service{
		Table: table, Journal: audit.Journal{Table: table, Now: time.Now}, Groups: &project.Service{Table: table}, Now: time.Now,
	}
	i.must(alerts.Watch(ctx, group.GetId(), atlas.Azure, alert.Dates{
		Expiries: []alert.Expiry{{Ending: alert.KeyExpiry, Name: "k", At: time.Now().AddDate(0, 0, 14).Add(2 * time.Second)}},
	}))
	watch, err := table.Get(ctx, keys.AlertWatch(group.GetId(), "AZURE"))
	i.must(err)
	i.until("the next stage is warned of", func() bool { return strings.Contains(i.invoke("remind", `{}`), `"attended":1`) })
	list, _, err := client.AlertsApi.ListAlerts(ctx, group.GetId()).Status("OPEN").Execute()
	i.must(err)
	if len(list.GetResults()) != 1 {
		i.t.Fatalf("%d alerts are open", len(list.GetResults()))
	}
	_, err = client.ProjectsApi.DeleteGroup(ctx, group.GetId()).Execute()
	i.must(err)
	i.must(table.Write(ctx, store.Put(store.Item{Key: watch.Key, Index: watch.Index, Body: watch.Body}))) // the purge was cut short
	if answer := i.invoke("remind", `{}`); !strings.Contains(answer, `"attended":1`) {
		i.t.Fatalf("what a closed project left is not removed: %s", answer)
	}
}

func TestIsolated_reminders_need_no_more_than_the_template_gives(t *testing.T) {
	t.Parallel()
	startIsolated(t).reminders()
}
