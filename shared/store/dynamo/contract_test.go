package dynamo_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
	"latchkey/shared/store/storetest"
)

// pocketClient is a client of a pocket DynamoDB without tables.
func pocketClient(t *testing.T) *dynamodb.Client {
	t.Helper()
	// Nothing here crashes, so nothing needs to be synced.
	db, err := bbolt.Open(filepath.Join(t.TempDir(), "clouds.db"), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() }) //nolint:errcheck // the file is gone in a moment
	root := awscloud.Keys{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: "secret"}
	cloud, err := awscloud.New(pocket.Memory(), awscloud.Config{
		Now: time.Now, Accounts: []awscloud.Account{{ID: "123456789012", Root: root}},
	})
	if err != nil {
		t.Fatal(err)
	}
	service, err := dynamocloud.New(db, cloud)
	if err != nil {
		t.Fatal(err)
	}
	clouds := pocket.New(&pocket.Faults{}, awscloud.Alias, service)
	return dynamodb.NewFromConfig(awssdk.Config(pocket.Transport(clouds), "us-east-1", root))
}

func TestTable_keeps_the_contract_over_the_pocket_DynamoDB(t *testing.T) {
	storetest.Run(t, func(t *testing.T) store.Table {
		client := pocketClient(t)
		return dynamo.New(client, newTable(t, client))
	})
}
