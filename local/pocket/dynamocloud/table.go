package dynamocloud

import (
	"errors"
	"regexp"
	"slices"
	"time"

	"github.com/google/uuid"
	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"latchkey/local/pocket/awscloud"
)

var tableName = regexp.MustCompile(`^[a-zA-Z0-9_.-]{3,255}$`)

// table is a table's description as it is kept.
type table struct {
	Name      string
	ARN       string
	ID        string
	Created   time.Time
	Key       schema
	Indexes   []index
	Stream    *stream `json:",omitempty"`
	StreamARN string  `json:",omitempty"`
	Protected bool    `json:",omitempty"` // against deletion
	Expires   string  `json:",omitempty"` // the attribute that says when an item goes
}

// schema names the two attributes of a key. All key attributes are strings.
type schema struct{ Hash, Range string }

type index struct {
	Name string
	Key  schema
}

// index finds an index by its name.
func (t *table) index(name string) (index, bool) {
	i := slices.IndexFunc(t.Indexes, func(x index) bool { return x.Name == name })
	if i < 0 {
		return index{}, false
	}
	return t.Indexes[i], true
}

type attributeDefinition struct{ AttributeName, AttributeType string }

type keyElement struct{ AttributeName, KeyType string }

type projection struct{ ProjectionType string }

type stream struct {
	StreamEnabled  bool
	StreamViewType string `json:",omitempty"`
}

type indexIn struct {
	IndexName  string
	KeySchema  []keyElement
	Projection projection
}

type createTableIn struct {
	TableName                 string
	AttributeDefinitions      []attributeDefinition
	KeySchema                 []keyElement
	GlobalSecondaryIndexes    []indexIn
	BillingMode               string
	StreamSpecification       *stream
	DeletionProtectionEnabled bool
}

// tableIn is the request of an operation on a table as a whole.
type tableIn struct{ TableName string }

func (d *dynamo) createTable(r *awscloud.Request) (any, error) {
	var in createTableIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return nil, err
	}
	arn := r.ARN("table/" + in.TableName)
	if err := r.Allow("CreateTable", arn, nil); err != nil {
		return nil, err
	}
	if a.table != nil {
		return nil, tableExists(in.TableName)
	}
	t, err := in.table(arn, r.Now)
	if err != nil {
		return nil, err
	}
	err = d.db.Update(func(tx *bbolt.Tx) error {
		b, err := tables(tx).CreateBucket(tableID(r, t.Name))
		if err != nil {
			return err
		}
		names := []string{itemsBucket, expiryBucket}
		for _, x := range t.Indexes {
			names = append(names, indexPrefix+x.Name)
		}
		for _, name := range names {
			if _, err := b.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return writeTable(b, t)
	})
	if errors.Is(err, bolterrors.ErrBucketExists) {
		return nil, tableExists(t.Name)
	}
	return map[string]any{"TableDescription": t.describe()}, err
}

func tableExists(name string) error {
	return &awscloud.Failure{Code: "ResourceInUseException", Message: "Table already exists: " + name}
}

// table checks the request and makes the description.
func (in createTableIn) table(arn string, now time.Time) (*table, error) {
	if in.BillingMode != "PAY_PER_REQUEST" {
		return nil, invalid("One or more parameter values were invalid: the pocket DynamoDB has BillingMode PAY_PER_REQUEST only")
	}
	t := &table{
		Name: in.TableName, ARN: arn, ID: uuid.NewString(), Created: now,
		Stream: in.StreamSpecification, Protected: in.DeletionProtectionEnabled,
	}
	if t.Stream != nil && t.Stream.StreamEnabled {
		t.StreamARN = arn + "/stream/" + now.UTC().Format("2006-01-02T15:04:05.000")
	}
	var err error
	if t.Key, err = in.schema(in.KeySchema); err != nil {
		return nil, err
	}
	used := map[string]bool{t.Key.Hash: true, t.Key.Range: true}
	for _, x := range in.GlobalSecondaryIndexes {
		key, err := in.schema(x.KeySchema)
		if err != nil {
			return nil, err
		}
		if _, twice := t.index(x.IndexName); twice || !tableName.MatchString(x.IndexName) || x.Projection.ProjectionType != "ALL" {
			return nil, invalid("One or more parameter values were invalid: index %q must have a name of its own and the projection ALL", x.IndexName)
		}
		used[key.Hash], used[key.Range] = true, true
		t.Indexes = append(t.Indexes, index{x.IndexName, key})
	}
	if len(used) != len(in.AttributeDefinitions) {
		return nil, invalid("One or more parameter values were invalid: Some AttributeDefinitions are not used or defined twice")
	}
	return t, nil
}

func (in createTableIn) schema(elements []keyElement) (schema, error) {
	if len(elements) != 2 || elements[0].KeyType != "HASH" || elements[1].KeyType != "RANGE" {
		return schema{}, invalid("One or more parameter values were invalid: the pocket DynamoDB has keys of a HASH and a RANGE attribute only")
	}
	for _, e := range elements {
		if !slices.Contains(in.AttributeDefinitions, attributeDefinition{e.AttributeName, "S"}) {
			return schema{}, invalid("One or more parameter values were invalid: the key attribute %q must be defined, with type S", e.AttributeName)
		}
	}
	return schema{elements[0].AttributeName, elements[1].AttributeName}, nil
}

// describe is the description as DynamoDB answers it.
func (t *table) describe() map[string]any {
	names := []string{t.Key.Hash, t.Key.Range}
	indexes := []any{}
	for _, x := range t.Indexes {
		names = append(names, x.Key.Hash, x.Key.Range)
		indexes = append(indexes, map[string]any{
			"IndexName": x.Name, "IndexArn": t.ARN + "/index/" + x.Name, "IndexStatus": "ACTIVE", "KeySchema": x.Key.elements(),
			"Projection": projection{"ALL"},
		})
	}
	slices.Sort(names)
	definitions := []attributeDefinition{}
	for _, name := range slices.Compact(names) {
		definitions = append(definitions, attributeDefinition{name, "S"})
	}
	described := map[string]any{
		"TableName": t.Name, "TableArn": t.ARN, "TableId": t.ID, "TableStatus": "ACTIVE",
		"CreationDateTime": float64(t.Created.UnixMilli()) / 1000, "AttributeDefinitions": definitions, "KeySchema": t.Key.elements(),
		"BillingModeSummary": map[string]string{"BillingMode": "PAY_PER_REQUEST"}, "DeletionProtectionEnabled": t.Protected,
	}
	if len(indexes) > 0 {
		described["GlobalSecondaryIndexes"] = indexes
	}
	if t.StreamARN != "" {
		described["StreamSpecification"], described["LatestStreamArn"] = t.Stream, t.StreamARN
	}
	return described
}

func (s schema) elements() []keyElement { return []keyElement{{s.Hash, "HASH"}, {s.Range, "RANGE"}} }

// tableOf decodes a request that names nothing but a table and checks the caller's permission.
func (d *dynamo) tableOf(r *awscloud.Request) (*table, error) {
	var in tableIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return nil, err
	}
	if a.missing != nil {
		a.missing = noTable("Requested resource not found: Table: %s not found", in.TableName)
	}
	return a.table, a.allow(r.Operation, r.ARN("table/"+in.TableName), nil)
}

func (d *dynamo) describeTable(r *awscloud.Request) (any, error) {
	t, err := d.tableOf(r)
	if err != nil {
		return nil, err
	}
	return map[string]any{"Table": t.describe()}, nil
}

func (d *dynamo) deleteTable(r *awscloud.Request) (any, error) {
	t, err := d.tableOf(r)
	if err != nil {
		return nil, err
	}
	if t.Protected {
		return nil, invalid("Resource cannot be deleted as it is currently protected against deletion. Disable deletion protection first.")
	}
	err = d.db.Update(func(tx *bbolt.Tx) error { return tables(tx).DeleteBucket(tableID(r, t.Name)) })
	if errors.Is(err, bolterrors.ErrBucketNotFound) {
		err = noTable("Requested resource not found: Table: %s not found", t.Name)
	}
	described := t.describe()
	described["TableStatus"] = "DELETING"
	return map[string]any{"TableDescription": described}, err
}

type timeToLive struct {
	AttributeName string
	Enabled       bool
}

type updateTimeToLiveIn struct {
	TableName               string
	TimeToLiveSpecification timeToLive
}

// updateTimeToLive names the attribute that says when an item may be removed, for items that are
// there and those that come.
func (d *dynamo) updateTimeToLive(r *awscloud.Request) (any, error) {
	var in updateTimeToLiveIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	a, err := d.access(r, in.TableName)
	if err != nil {
		return nil, err
	}
	if err := a.allow("UpdateTimeToLive", r.ARN("table/"+in.TableName), nil); err != nil {
		return nil, err
	}
	spec := in.TimeToLiveSpecification
	if spec.AttributeName == "" || !spec.Enabled && a.Expires != spec.AttributeName || spec.Enabled && a.Expires != "" {
		return nil, invalid("TimeToLive is already enabled, or disabled, or on another attribute than %q", spec.AttributeName)
	}
	err = d.update(r, in.TableName, func(s *storage) error {
		s.table.Expires = ""
		if spec.Enabled {
			s.table.Expires = spec.AttributeName
		}
		if err := writeTable(s.bucket, s.table); err != nil {
			return err
		}
		return s.scheduleAll()
	})
	return map[string]any{"TimeToLiveSpecification": spec}, err
}

func (d *dynamo) describeTimeToLive(r *awscloud.Request) (any, error) {
	t, err := d.tableOf(r)
	if err != nil {
		return nil, err
	}
	described := map[string]string{"TimeToLiveStatus": "DISABLED"}
	if t.Expires != "" {
		described = map[string]string{"TimeToLiveStatus": "ENABLED", "AttributeName": t.Expires}
	}
	return map[string]any{"TimeToLiveDescription": described}, nil
}
