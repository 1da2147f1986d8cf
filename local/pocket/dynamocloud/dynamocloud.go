// Package dynamocloud is the pocket DynamoDB, for local/pocket: tables with string keys and
// global secondary indexes, strongly consistent reads, queries, conditional writes and
// transactions, kept in a bbolt file.
//
// Its invariant: a write that was acknowledged survives a crash, and a transaction happens whole
// or not at all, once per ClientRequestToken. What it does not understand of a request it
// refuses with a ValidationException; nothing is ignored. It has the operations and
// expressions that shared/store/dynamo sends; attributes are strings and integers; streams are
// kept for whoever subscribes, and have no API.
package dynamocloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"latchkey/local/pocket/awscloud"
)

// New returns the DynamoDB of an AWS cloud, which authenticates and authorizes its callers. The
// tables are kept in db, in buckets of their own.
func New(db *bbolt.DB, cloud *awscloud.Cloud) (*Service, error) {
	d := &dynamo{db: db}
	if err := d.prepare(); err != nil {
		return nil, fmt.Errorf("dynamocloud: %w", err)
	}
	served := cloud.Serve(awscloud.JSONService{
		Name: "dynamodb", Target: "DynamoDB_20120810", ContentType: "application/x-amz-json-1.0",
		Namespace: "com.amazonaws.dynamodb.v20120810#", Checksum: true, Perform: d.perform,
		Throttled: awscloud.Failure{
			Code: "ThrottlingException", Message: "Throughput exceeds the current capacity of your table or index.",
		},
		Broken: awscloud.Failure{
			Code: "InternalServerError", Message: "The request processing has failed because of an unknown error, exception or failure.",
			Status: http.StatusInternalServerError,
		},
	})
	return &Service{served, d}, nil
}

type dynamo struct {
	db      *bbolt.DB
	streams sync.Map // *changelog.Log by table, of those with subscribers
}

var operations = map[string]func(*dynamo, *awscloud.Request) (any, error){
	"CreateTable":        (*dynamo).createTable,
	"DescribeTable":      (*dynamo).describeTable,
	"DeleteTable":        (*dynamo).deleteTable,
	"UpdateTimeToLive":   (*dynamo).updateTimeToLive,
	"DescribeTimeToLive": (*dynamo).describeTimeToLive,
	"GetItem":            (*dynamo).getItem,
	"Query":              (*dynamo).query,
	"PutItem":            (*dynamo).putItem,
	"DeleteItem":         (*dynamo).deleteItem,
	"TransactWriteItems": (*dynamo).transactWriteItems,
}

func (d *dynamo) perform(r *awscloud.Request) (any, error) {
	operation, ok := operations[r.Operation]
	if !ok {
		return nil, &awscloud.Failure{Code: "com.amazon.coral.service#UnknownOperationException", Message: r.Operation}
	}
	return operation(d, r)
}

// invalid is the failure for a request that DynamoDB refuses as it stands.
func invalid(format string, args ...any) *awscloud.Failure {
	return &awscloud.Failure{Code: "com.amazon.coral.validate#ValidationException", Message: fmt.Sprintf(format, args...)}
}

func noTable(format string, args ...any) error {
	return &awscloud.Failure{Code: "ResourceNotFoundException", Message: fmt.Sprintf(format, args...)}
}

// accessed is a table that an operation is about, and who asks.
type accessed struct {
	*table
	request *awscloud.Request
	missing error // why the table is nil
}

// access finds the table of an operation. That it does not exist is told only to who may use it.
func (d *dynamo) access(r *awscloud.Request, name string) (accessed, error) {
	if !tableName.MatchString(name) {
		return accessed{}, invalid("1 validation error detected: Value '%s' at 'tableName' failed to satisfy constraint: "+
			"Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+", name)
	}
	a := accessed{request: r}
	err := d.db.View(func(tx *bbolt.Tx) error {
		b := tables(tx).Bucket(tableID(r, name))
		if b == nil {
			a.missing = noTable("Requested resource not found")
			return nil
		}
		var err error
		a.table, err = readTable(b)
		return err
	})
	return a, err
}

// allow checks the caller's permission for an action on the items of one partition. What is
// allowed on a table that does not exist fails all the same.
func (a accessed) allow(action, resource string, keys map[string][]string) error {
	if err := a.request.Allow(action, resource, keys); err != nil {
		return err
	}
	return a.missing
}

// leading are the condition keys of access to one partition.
func leading(pk string) map[string][]string {
	return map[string][]string{"dynamodb:leadingkeys": {pk}}
}

// The buckets. Each table has one in tablesBucket, with its description and its items.
const (
	tablesBucket    = "dynamodb/tables"
	tokensBucket    = "dynamodb/tokens"     // of transactions: account, region and token
	tokenAgesBucket = "dynamodb/token-ages" // the same by the time of the transaction
	descriptionKey  = "description"         // in a table's bucket
	itemsBucket     = "items"               // in a table's bucket: itemKey → item
	expiryBucket    = "expiry"              // in a table's bucket: time and itemKey → nothing
	indexPrefix     = "index/"              // in a table's bucket, with the index's name: entryKey → itemKey
)

func (d *dynamo) prepare() error {
	return d.db.Update(func(tx *bbolt.Tx) error {
		var failed error
		for _, name := range []string{tablesBucket, tokensBucket, tokenAgesBucket} {
			_, err := tx.CreateBucketIfNotExists([]byte(name))
			failed = errors.Join(failed, err)
		}
		return failed
	})
}

func tables(tx *bbolt.Tx) *bbolt.Bucket { return tx.Bucket([]byte(tablesBucket)) }

func tableID(r *awscloud.Request, name string) []byte {
	return []byte(strings.Join([]string{r.Account, r.Region, name}, "/"))
}

func readTable(b *bbolt.Bucket) (*table, error) {
	var t table
	if err := json.Unmarshal(b.Get([]byte(descriptionKey)), &t); err != nil {
		return nil, fmt.Errorf("dynamocloud: a table's description can't be read: %w", err)
	}
	return &t, nil
}

func writeTable(b *bbolt.Bucket, t *table) error {
	body, err := json.Marshal(t)
	if err != nil {
		return err
	}
	return b.Put([]byte(descriptionKey), body)
}
