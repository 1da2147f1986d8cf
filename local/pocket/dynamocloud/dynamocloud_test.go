package dynamocloud_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/shared/store/dynamo"
)

const (
	name  = "Table"
	table = "arn:aws:dynamodb:us-east-1:123456789012:table/Table"
)

var (
	root   = awscloud.Keys{AccessKeyID: "AKIAROOT", SecretAccessKey: "root-secret"}
	limits = awscloud.Keys{AccessKeyID: "AKIALIMITED", SecretAccessKey: "limited-secret"}
)

// world is a pocket DynamoDB with one table, a caller who may everything and one who may what
// the policy says.
type world struct {
	t       *testing.T
	path    string
	policy  string
	db      *bbolt.DB
	service *dynamocloud.Service
	root    *dynamodb.Client
	user    *dynamodb.Client
}

func newWorld(t *testing.T, policy string) *world {
	t.Helper()
	w := &world{t: t, path: filepath.Join(t.TempDir(), "clouds.db"), policy: policy}
	w.open()
	t.Cleanup(func() { w.db.Close() }) //nolint:errcheck // the file is gone in a moment
	if err := dynamo.CreateTable(t.Context(), w.root, name); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.db, err = bbolt.Open(w.path, 0o600, nil); err != nil {
		w.t.Fatal(err)
	}
	account := awscloud.Account{ID: "123456789012", Root: root}
	if w.policy != "" {
		account.Users = []awscloud.User{{Name: "u", Keys: []awscloud.Keys{limits}, Policies: map[string]string{"p": w.policy}}}
	}
	cloud, err := awscloud.New(pocket.Bolt(w.db), awscloud.Config{Now: time.Now, Accounts: []awscloud.Account{account}})
	if err != nil {
		w.t.Fatal(err)
	}
	service, err := dynamocloud.New(w.db, cloud)
	if err != nil {
		w.t.Fatal(err)
	}
	w.service = service
	transport := pocket.Transport(pocket.New(&pocket.Faults{}, awscloud.Alias, service))
	client := func(keys awscloud.Keys) *dynamodb.Client {
		return dynamodb.NewFromConfig(awssdk.Config(transport, "us-east-1", keys), func(o *dynamodb.Options) { o.RetryMaxAttempts = 1 })
	}
	w.root, w.user = client(root), client(limits)
}

func text(s string) types.AttributeValue { return &types.AttributeValueMemberS{Value: s} }
func number(n int) types.AttributeValue {
	return &types.AttributeValueMemberN{Value: strconv.Itoa(n)}
}

type attributes = map[string]types.AttributeValue

func key(pk, sk string) attributes { return attributes{"pk": text(pk), "sk": text(sk)} }

func item(pk, sk string, version int) attributes {
	i := key(pk, sk)
	i["version"] = number(version)
	return i
}

func putIfNew(pk, sk string) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: aws.String(name), Item: item(pk, sk, 1), ConditionExpression: aws.String("attribute_not_exists(#pk)"),
		ExpressionAttributeNames: map[string]string{"#pk": "pk"},
	}}
}

func (w *world) transact(token string, items ...types.TransactWriteItem) error {
	_, err := w.root.TransactWriteItems(w.t.Context(), &dynamodb.TransactWriteItemsInput{
		ClientRequestToken: aws.String(token), TransactItems: items,
	})
	return err
}

func (w *world) exists(pk, sk string) bool {
	w.t.Helper()
	out, err := w.root.GetItem(w.t.Context(), &dynamodb.GetItemInput{TableName: aws.String(name), Key: key(pk, sk)})
	if err != nil {
		w.t.Fatal(err)
	}
	return out.Item != nil
}

func code(err error) string {
	if e, ok := errors.AsType[smithy.APIError](err); ok {
		return e.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestTransactWriteItems_happens_once_per_token(t *testing.T) {
	synctest.Test(t, testTokens)
}

func testTokens(t *testing.T) {
	w := newWorld(t, "")
	for range 2 { // the condition would fail the second time
		if err := w.transact("token", putIfNew("p", "a")); err != nil {
			t.Fatal(err)
		}
	}
	if got := code(w.transact("token", putIfNew("p", "b"))); got != "IdempotentParameterMismatchException" {
		t.Errorf("another transaction under the token: %s", got)
	}
	time.Sleep(11 * time.Minute)
	if got := code(w.transact("token", putIfNew("p", "a"))); got != "TransactionCanceledException" {
		t.Errorf("the token after its life: %s", got)
	}
	if err := w.transact("token", putIfNew("p", "b")); err != nil {
		t.Errorf("a token that is free again: %v", err)
	}
}

func TestTransactWriteItems_gives_a_reason_per_write(t *testing.T) {
	w := newWorld(t, "")
	if err := w.transact("1", putIfNew("p", "a")); err != nil {
		t.Fatal(err)
	}
	failing := putIfNew("p", "a")
	failing.Put.ReturnValuesOnConditionCheckFailure = types.ReturnValuesOnConditionCheckFailureAllOld
	err := w.transact("2", putIfNew("p", "b"), failing)
	cancelled, ok := errors.AsType[*types.TransactionCanceledException](err)
	if !ok {
		t.Fatalf("error = %v", err)
	}
	want := []string{"None", "ConditionalCheckFailed"}
	var got []string
	for _, r := range cancelled.CancellationReasons {
		got = append(got, *r.Code)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("reasons (-want +got):\n%s", diff)
	}
	if stored := cancelled.CancellationReasons[1].Item; stored["version"].(*types.AttributeValueMemberN).Value != "1" {
		t.Errorf("the reason's item = %v", stored)
	}
	if !strings.HasSuffix(cancelled.ErrorMessage(), "[None, ConditionalCheckFailed]") {
		t.Errorf("message = %s", cancelled.ErrorMessage())
	}
	if w.exists("p", "b") {
		t.Error("a part of the transaction happened")
	}
}

func TestRequests_that_are_not_understood_are_refused(t *testing.T) {
	w := newWorld(t, "")
	long := strings.Repeat("x", 400<<10)
	query := func(change func(*dynamodb.QueryInput)) func() error {
		return func() error {
			in := &dynamodb.QueryInput{
				TableName: aws.String(name), KeyConditionExpression: aws.String("pk = :pk"), ExpressionAttributeValues: attributes{":pk": text("p")},
			}
			change(in)
			_, err := w.root.Query(t.Context(), in)
			return err
		}
	}
	put := func(change func(*dynamodb.PutItemInput)) func() error {
		return func() error {
			in := &dynamodb.PutItemInput{TableName: aws.String(name), Item: item("p", "a", 1)}
			change(in)
			_, err := w.root.PutItem(t.Context(), in)
			return err
		}
	}
	for what, do := range map[string]func() error{
		"another measure of capacity": query(func(in *dynamodb.QueryInput) { in.ReturnConsumedCapacity = "ALL" }),
		"a filter":                    query(func(in *dynamodb.QueryInput) { in.FilterExpression = aws.String("version = :pk") }),
		"two conditions on the sort key": query(func(in *dynamodb.QueryInput) {
			in.KeyConditionExpression = aws.String("pk = :pk AND sk > :pk AND sk < :pk")
		}),
		"an OR":                   query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("pk = :pk OR sk = :pk") }),
		"no partition":            query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("sk = :pk") }),
		"a range of partitions":   query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("pk > :pk") }),
		"half an expression":      query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("pk = ") }),
		"an undefined value":      query(func(in *dynamodb.QueryInput) { in.KeyConditionExpression = aws.String("pk = :x") }),
		"an unused value":         query(func(in *dynamodb.QueryInput) { in.ExpressionAttributeValues[":x"] = text("y") }),
		"an unused name":          query(func(in *dynamodb.QueryInput) { in.ExpressionAttributeNames = map[string]string{"#x": "y"} }),
		"an index that is none":   query(func(in *dynamodb.QueryInput) { in.IndexName = aws.String("none") }),
		"a start elsewhere":       query(func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = key("q", "a") }),
		"half a start":            query(func(in *dynamodb.QueryInput) { in.ExclusiveStartKey = attributes{"pk": text("p")} }),
		"a limit of nothing":      query(func(in *dynamodb.QueryInput) { in.Limit = aws.Int32(0) }),
		"an item that is too big": put(func(in *dynamodb.PutItemInput) { in.Item["body"] = text(long) }),
		"an empty key":            put(func(in *dynamodb.PutItemInput) { in.Item["pk"] = text("") }),
		"a key of a wrong type":   put(func(in *dynamodb.PutItemInput) { in.Item["sk"] = number(1) }),
		"an index key of a wrong type": put(func(in *dynamodb.PutItemInput) {
			in.Item["gsi1pk"] = number(1)
		}),
		"a key that is too long": put(func(in *dynamodb.PutItemInput) { in.Item["sk"] = text(strings.Repeat("x", 1025)) }),
		"no key":                 put(func(in *dynamodb.PutItemInput) { delete(in.Item, "sk") }),
		"a list":                 put(func(in *dynamodb.PutItemInput) { in.Item["l"] = &types.AttributeValueMemberL{} }),
		"a fraction":             put(func(in *dynamodb.PutItemInput) { in.Item["n"] = &types.AttributeValueMemberN{Value: "1.5"} }),
		"a condition on a range": put(func(in *dynamodb.PutItemInput) {
			in.ConditionExpression, in.ExpressionAttributeValues = aws.String("version > :v"), attributes{":v": number(1)}
		}),
		"the same item twice": func() error { return w.transact("t", putIfNew("p", "a"), putIfNew("p", "a")) },
		"an update": func() error {
			return w.transact("t", types.TransactWriteItem{Update: &types.Update{
				TableName: aws.String(name), Key: key("p", "a"), UpdateExpression: aws.String("SET x = y"),
			}})
		},
		"more than 4 MB": func() error {
			var items []types.TransactWriteItem
			for n := range 11 {
				one := putIfNew("p", strconv.Itoa(n))
				one.Put.Item["body"] = text(long[:400_000])
				items = append(items, one)
			}
			return w.transact("t", items...)
		},
	} {
		t.Run(what, func(t *testing.T) {
			if got := code(do()); got != "ValidationException" {
				t.Errorf("answer = %s", got)
			}
		})
	}
	if _, err := w.root.Scan(t.Context(), &dynamodb.ScanInput{TableName: aws.String(name)}); code(err) != "UnknownOperationException" {
		t.Errorf("scan: %v", err)
	}
}

func TestCallers_do_only_what_their_policies_allow(t *testing.T) {
	w := newWorld(t, `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":["dynamodb:GetItem","dynamodb:Query"],"Resource":"`+table+`"},
		{"Effect":"Allow","Action":"dynamodb:PutItem","Resource":"`+table+`","Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["own"]}}}]}`)
	put := func(pk string) error {
		_, err := w.user.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: item(pk, "a", 1)})
		return err
	}
	query := func(index *string, pk string) error {
		_, err := w.user.Query(t.Context(), &dynamodb.QueryInput{
			TableName: aws.String(name), IndexName: index, KeyConditionExpression: aws.String("#pk = :pk"),
			ExpressionAttributeNames: map[string]string{"#pk": pk}, ExpressionAttributeValues: attributes{":pk": text("own")},
		})
		return err
	}
	transact := func(items ...types.TransactWriteItem) error {
		_, err := w.user.TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: items})
		return err
	}
	check := types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: aws.String(name), Key: key("own", "c"), ConditionExpression: aws.String("attribute_not_exists(pk)"),
	}}
	for _, test := range []struct {
		what string
		err  error
		want string
	}{
		{"a put to its own partition", put("own"), "<nil>"},
		{"a put to another", put("other"), "AccessDeniedException"},
		{"a query of the table", query(nil, "pk"), "<nil>"},
		{"a query of the index", query(aws.String("gsi1"), "gsi1pk"), "AccessDeniedException"},
		{"a transaction of puts", transact(putIfNew("own", "b")), "<nil>"},
		{"a transaction with a check", transact(putIfNew("own", "d"), check), "AccessDeniedException"},
	} {
		if got := code(test.err); got != test.want {
			t.Errorf("%s: %s, want %s", test.what, got, test.want)
		}
	}
	for other, want := range map[string]string{name: "<nil>", "None": "AccessDeniedException"} {
		_, err := w.user.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String(other), Key: key("own", "a")})
		if got := code(err); got != want {
			t.Errorf("read %s: %s, want %s", other, got, want)
		}
	}
	if w.exists("own", "d") {
		t.Error("a part of a refused transaction happened")
	}
}

func TestTables_survive_a_restart(t *testing.T) {
	w := newWorld(t, "")
	if err := w.transact("token", putIfNew("p", "a")); err != nil {
		t.Fatal(err)
	}
	if err := w.db.Close(); err != nil {
		t.Fatal(err)
	}
	w.open()
	if !w.exists("p", "a") {
		t.Error("the item is gone")
	}
	if err := w.transact("token", putIfNew("p", "a")); err != nil {
		t.Errorf("the transaction is not known any more: %v", err)
	}
	_, err := w.root.GetItem(t.Context(), &dynamodb.GetItemInput{TableName: aws.String("None"), Key: key("p", "a")})
	if got := code(err); got != "ResourceNotFoundException" {
		t.Errorf("a table that does not exist: %s", got)
	}
}

func TestItems_go_after_their_time(t *testing.T) {
	synctest.Test(t, testExpiry)
}

func testExpiry(t *testing.T) {
	w := newWorld(t, "")
	for sk, seconds := range map[string]int64{"soon": 60, "later": 3600} {
		one := item("p", sk, 1)
		one["expires"] = number(int(time.Now().Unix() + seconds))
		one["gsi1pk"], one["gsi1sk"] = text("i"), text(sk)
		if _, err := w.root.PutItem(t.Context(), &dynamodb.PutItemInput{TableName: aws.String(name), Item: one}); err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(2 * time.Minute)
	if err := w.transact("t", putIfNew("p", "x")); err != nil {
		t.Fatal(err)
	}
	out, err := w.root.Query(t.Context(), &dynamodb.QueryInput{
		TableName: aws.String(name), IndexName: aws.String("gsi1"), KeyConditionExpression: aws.String("gsi1pk = :i"),
		ExpressionAttributeValues: attributes{":i": text("i")},
	})
	if err != nil || len(out.Items) != 1 || w.exists("p", "soon") || !w.exists("p", "later") {
		t.Errorf("index = %v, %v; want what goes later", out.Items, err)
	}
}

func TestQuery_knows_every_comparison(t *testing.T) {
	w := newWorld(t, "")
	for _, sk := range []string{"a", "ab", "b", "c"} {
		if err := w.transact(sk, putIfNew("p", sk)); err != nil {
			t.Fatal(err)
		}
	}
	for condition, want := range map[string]string{
		"sk = :x": "ab", "sk < :x": "a", "sk <= :x": "a ab", "sk > :x": "b c", "sk >= :x": "ab b c",
		"sk between :x and :y": "ab b", "begins_with ( sk , :x )": "ab",
	} {
		values := attributes{":pk": text("p"), ":x": text("ab")}
		if strings.Contains(condition, ":y") {
			values[":y"] = text("b")
		}
		out, err := w.root.Query(t.Context(), &dynamodb.QueryInput{
			TableName: aws.String(name), KeyConditionExpression: aws.String(condition + " AND pk = :pk"), ExpressionAttributeValues: values,
		})
		if err != nil {
			t.Fatalf("%s: %v", condition, err)
		}
		var got []string
		for _, i := range out.Items {
			got = append(got, i["sk"].(*types.AttributeValueMemberS).Value)
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %v, want %s", condition, got, want)
		}
	}
}
