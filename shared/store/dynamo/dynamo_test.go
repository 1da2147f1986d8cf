package dynamo_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket"
	"latchkey/shared/store"
	"latchkey/shared/store/dynamo"
)

// object is a JSON object.
type object = map[string]any

func s(v string) object { return object{"S": v} }
func n(v string) object { return object{"N": v} }

// request is one request as it went over the wire.
type request struct {
	Operation string
	Body      object
}

// service answers requests from a script, in order. The last answer is given again and again.
type service struct {
	t       *testing.T
	answers []answer

	mu       sync.Mutex
	requests []request
}

// answer writes a response; it sees all requests so far.
type answer func(w http.ResponseWriter, requests []request)

func (v *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	raw, err := io.ReadAll(r.Body)
	if err != nil {
		panic(err)
	}
	var body object
	if err := json.Unmarshal(raw, &body); err != nil {
		panic(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.requests = append(v.requests, request{strings.TrimPrefix(r.Header.Get("X-Amz-Target"), "DynamoDB_20120810."), body})
	w.Header().Set("Content-Type", "application/x-amz-json-1.0")
	v.answers[min(len(v.requests), len(v.answers))-1](w, v.requests)
}

func write(w http.ResponseWriter, body object) {
	if err := json.NewEncoder(w).Encode(body); err != nil {
		panic(err)
	}
}

func ok(body object) answer {
	return func(w http.ResponseWriter, _ []request) { write(w, body) }
}

func refuse(exception string, status int, more object) answer {
	return func(w http.ResponseWriter, _ []request) {
		body := object{"__type": "com.amazonaws.dynamodb.v20120810#" + exception, "message": "no"}
		maps.Copy(body, more)
		w.WriteHeader(status)
		write(w, body)
	}
}

// lost breaks the connection without an answer.
func lost(http.ResponseWriter, []request) { panic(http.ErrAbortHandler) }

func open(t *testing.T, answers ...answer) (*dynamo.Table, *service) {
	v := &service{t: t, answers: answers}
	client := newClient(&http.Client{Transport: pocket.Transport(v)}, "https://dynamodb.us-east-1.amazonaws.com")
	return dynamo.New(client, "latchkey"), v
}

// want compares the requests. Random texts must be there and are not compared.
func (v *service) want(want ...request) {
	v.t.Helper()
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, r := range v.requests {
		mask(r.Body)
	}
	if diff := cmp.Diff(want, v.requests); diff != "" {
		v.t.Errorf("requests (-want +got):\n%s", diff)
	}
}

const random = "(random)"

func mask(body object) {
	for name, value := range body {
		switch value := value.(type) {
		case object:
			if name == "write" && value["S"] != "" {
				value["S"] = random
			}
			mask(value)
		case []any:
			for _, element := range value {
				if o, ok := element.(object); ok {
					mask(o)
				}
			}
		case string:
			if name == "ClientRequestToken" && value != "" {
				body[name] = random
			}
		}
	}
}

var (
	key    = store.Key{PK: "GROUP#1", SK: "ENCRYPTION"}
	keyed  = object{"pk": s("GROUP#1"), "sk": s("ENCRYPTION")}
	expiry = time.Date(2030, 1, 2, 3, 4, 5, 0, time.UTC)
	full   = store.Item{
		Key: key, Version: 6, Body: []byte(`{"a":1}`), Expires: expiry, Index: store.Key{PK: "ORG#1", SK: "GROUP#x"},
	}
	fullStored = object{
		"pk": s("GROUP#1"), "sk": s("ENCRYPTION"), "gsi1pk": s("ORG#1"), "gsi1sk": s("GROUP#x"), "version": n("7"),
		"expires": n("1893553445"), "body": s(`{"a":1}`), "write": s(random),
	}
)

func TestGet_reads_with_strong_consistency(t *testing.T) {
	table, v := open(t, ok(object{"Item": fullStored}))
	got, err := table.Get(t.Context(), key)
	want := full
	want.Version = 7
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("get: %v (-want +got):\n%s", err, diff)
	}
	v.want(request{"GetItem", object{"TableName": "latchkey", "ConsistentRead": true, "Key": keyed}})
}

func TestGet_tells_a_missing_item_from_a_failure(t *testing.T) {
	for name, c := range map[string]struct {
		answer answer
		want   string
	}{
		"no item":         {ok(object{}), store.ErrNotFound.Error()},
		"no table":        {refuse("ResourceNotFoundException", 400, nil), "ResourceNotFoundException"},
		"denied":          {refuse("AccessDeniedException", 400, nil), "AccessDeniedException"},
		"foreign version": {ok(object{"Item": object{"pk": s("p"), "sk": s("s"), "version": s("7"), "body": s("")}}), `"version"`},
		"no version":      {ok(object{"Item": object{"pk": s("p"), "sk": s("s"), "body": s("")}}), `"version"`},
		"no body":         {ok(object{"Item": object{"pk": s("p"), "sk": s("s"), "version": n("7")}}), `"body"`},
		"foreign expiry":  {ok(object{"Item": object{"pk": s("p"), "sk": s("s"), "version": n("7"), "body": s(""), "expires": n("1.5")}}), `"expires"`},
	} {
		t.Run(name, func(t *testing.T) {
			table, _ := open(t, c.answer)
			_, err := table.Get(t.Context(), key)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %s", err, c.want)
			}
			if isMissing := errors.Is(err, store.ErrNotFound); isMissing != (name == "no item") {
				t.Errorf("the error %v is ErrNotFound: %t", err, isMissing)
			}
		})
	}
}

func TestQuery_states_prefix_and_bounds_as_one_condition(t *testing.T) {
	for name, c := range map[string]struct {
		query     store.Query
		condition string
		values    object
	}{
		"a whole partition":        {store.Query{}, "", object{}},
		"a prefix":                 {store.Query{Prefix: "ROLE#"}, " AND begins_with(#sk, :prefix)", object{":prefix": s("ROLE#")}},
		"a prefix within bounds":   {store.Query{Prefix: "T#", From: "A", Until: "Z"}, " AND begins_with(#sk, :prefix)", object{":prefix": s("T#")}},
		"a prefix without end":     {store.Query{Prefix: "\U0010FFFF"}, " AND begins_with(#sk, :prefix)", object{":prefix": s("\U0010FFFF")}},
		"from":                     {store.Query{From: "b"}, " AND #sk >= :low", object{":low": s("b")}},
		"until":                    {store.Query{Until: "b"}, " AND #sk < :high", object{":high": s("b")}},
		"from and until":           {store.Query{From: "a", Until: "b"}, " AND #sk BETWEEN :low AND :high", object{":low": s("a"), ":high": s("b")}},
		"a prefix and from":        {store.Query{Prefix: "T#", From: "T#5"}, " AND #sk BETWEEN :low AND :high", object{":low": s("T#5"), ":high": s("T$")}},
		"a prefix and until":       {store.Query{Prefix: "T#", Until: "T#5"}, " AND #sk BETWEEN :low AND :high", object{":low": s("T#"), ":high": s("T#5")}},
		"the last letter of a row": {store.Query{Prefix: "ÿ", From: "ÿ1"}, " AND #sk BETWEEN :low AND :high", object{":low": s("ÿ1"), ":high": s("Ā")}},
		"the gap in Unicode":       {store.Query{Prefix: "\ud7ff", From: "\ud7ff1"}, " AND #sk BETWEEN :low AND :high", object{":low": s("\ud7ff1"), ":high": s("\ue000")}},
		"a prefix at the very end": {store.Query{Prefix: "\U0010FFFF", From: "\U0010FFFF1"}, " AND #sk >= :low", object{":low": s("\U0010FFFF1")}},
	} {
		t.Run(name, func(t *testing.T) {
			table, v := open(t, ok(object{"Items": []any{}}))
			q := c.query
			q.PK = "GROUP#1"
			if _, err := table.Query(t.Context(), q); err != nil {
				t.Fatal(err)
			}
			names := object{"#pk": "pk"}
			if len(c.values) > 0 {
				names["#sk"] = "sk"
			}
			c.values[":pk"] = s("GROUP#1")
			v.want(request{"Query", object{
				"TableName": "latchkey", "ConsistentRead": true, "ScanIndexForward": true, "KeyConditionExpression": "#pk = :pk" + c.condition,
				"ExpressionAttributeNames": names, "ExpressionAttributeValues": c.values,
			}})
		})
	}
}

func TestQuery_that_can_match_nothing_asks_nobody(t *testing.T) {
	table, v := open(t, lost)
	for _, q := range []store.Query{{From: "b", Until: "a"}, {From: "a", Until: "a"}, {Prefix: "B", Until: "A"}, {Prefix: "A", From: "B"}} {
		q.PK = "GROUP#1"
		if page, err := table.Query(t.Context(), q); err != nil || len(page.Items) > 0 || page.Next != "" {
			t.Errorf("query %+v = %+v, %v", q, page, err)
		}
	}
	v.want()
}

func stored(pk, sk, indexPK, indexSK string) object {
	return object{"pk": s(pk), "sk": s(sk), "gsi1pk": s(indexPK), "gsi1sk": s(indexSK), "version": n("1"), "body": s("{}"), "write": s("w")}
}

func TestQuery_goes_on_in_the_index_from_a_place_in_this_partition(t *testing.T) {
	last := object{"pk": s("GROUP#2"), "sk": s("GROUP"), "gsi1pk": s("ORG#1"), "gsi1sk": s("GROUP#b")}
	table, v := open(t,
		ok(object{"Items": []any{stored("GROUP#1", "GROUP", "ORG#1", "GROUP#a"), stored("GROUP#2", "GROUP", "ORG#1", "GROUP#b")}, "LastEvaluatedKey": last}),
		ok(object{"Items": []any{}}))
	q := store.Query{PK: "ORG#1", Prefix: "GROUP#", Index: true, Limit: 2, Descending: true}
	page, err := table.Query(t.Context(), q)
	if err != nil || len(page.Items) != 2 || page.Next == "" {
		t.Fatalf("first page = %+v, %v", page, err)
	}
	q.After = page.Next
	if page, err = table.Query(t.Context(), q); err != nil || len(page.Items) != 0 || page.Next != "" {
		t.Fatalf("second page = %+v, %v", page, err)
	}
	want := func() object {
		return object{
			"TableName": "latchkey", "IndexName": "gsi1", "ScanIndexForward": false, "Limit": 2.0,
			"KeyConditionExpression":    "#pk = :pk AND begins_with(#sk, :prefix)",
			"ExpressionAttributeNames":  object{"#pk": "gsi1pk", "#sk": "gsi1sk"},
			"ExpressionAttributeValues": object{":pk": s("ORG#1"), ":prefix": s("GROUP#")},
		}
	}
	second := want()
	second["ExclusiveStartKey"] = last
	v.want(request{"Query", want()}, request{"Query", second})
}

func TestQuery_leaves_the_end_of_the_range_out(t *testing.T) {
	item := func(sk string) object { return stored("P", sk, "I", sk) }
	at := func(sk string) object { return object{"pk": s("P"), "sk": s(sk)} }
	q := store.Query{PK: "P", From: "a", Until: "c"}
	t.Run("ascending it is the end", func(t *testing.T) {
		table, v := open(t, ok(object{"Items": []any{item("a"), item("c")}, "LastEvaluatedKey": at("c")}))
		page, err := table.Query(t.Context(), q)
		if err != nil || len(page.Items) != 1 || page.Next != "" || len(v.requests) != 1 {
			t.Errorf("page = %+v, %v after %d requests; want one item, no next", page, err, len(v.requests))
		}
	})
	t.Run("descending it is the start", func(t *testing.T) {
		q := q
		q.Descending, q.Limit = true, 1
		table, v := open(t,
			ok(object{"Items": []any{item("c")}, "LastEvaluatedKey": at("c")}),
			ok(object{"Items": []any{item("b")}, "LastEvaluatedKey": at("b")}))
		page, err := table.Query(t.Context(), q)
		if err != nil || len(page.Items) != 1 || page.Items[0].SK != "b" || page.Next == "" || len(v.requests) != 2 {
			t.Errorf("page = %+v, %v after %d requests; want b and a next after two", page, err, len(v.requests))
		}
	})
}

func notExists() object {
	return object{"ConditionExpression": "attribute_not_exists(#pk)", "ExpressionAttributeNames": object{"#pk": "pk"}}
}

func versionIs(v string) object {
	return object{
		"ConditionExpression": "#version = :version", "ExpressionAttributeNames": object{"#version": "version"},
		"ExpressionAttributeValues": object{":version": n(v)},
	}
}

func with(base object, more object) object {
	maps.Copy(base, more)
	base["TableName"] = "latchkey"
	return base
}

func TestWrite_of_the_next_version_is_a_conditional_PutItem(t *testing.T) {
	table, v := open(t, ok(object{}))
	if err := table.Write(t.Context(), store.Put(full)); err != nil {
		t.Fatal(err)
	}
	v.want(request{"PutItem", with(versionIs("6"), object{"Item": fullStored, "ReturnValuesOnConditionCheckFailure": "ALL_OLD"})})
}

func TestWrite_of_anything_else_is_one_transaction(t *testing.T) {
	table, v := open(t, ok(object{}))
	gone, guard := store.Key{PK: "P", SK: "gone"}, store.Key{PK: "P", SK: "guard"}
	if err := table.Write(t.Context(), store.Put(full), store.Delete(gone, 3), store.Check(guard, 0)); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), store.Delete(gone, 3)); err != nil {
		t.Fatal(err)
	}
	if err := table.Write(t.Context(), store.Put(store.Item{Key: gone, Body: []byte(`{}`)})); err != nil {
		t.Fatal(err)
	}
	created := object{"pk": s("P"), "sk": s("gone"), "version": n("1"), "body": s("{}"), "write": s(random)}
	deletion := func() object {
		return object{"Delete": with(versionIs("3"), object{"Key": object{"pk": s("P"), "sk": s("gone")}})}
	}
	v.want(
		request{"TransactWriteItems", object{"ClientRequestToken": random, "TransactItems": []any{
			object{"Put": with(versionIs("6"), object{"Item": fullStored})},
			deletion(),
			object{"ConditionCheck": with(notExists(), object{"Key": object{"pk": s("P"), "sk": s("guard")}})},
		}}},
		request{"TransactWriteItems", object{"ClientRequestToken": random, "TransactItems": []any{deletion()}}},
		request{"TransactWriteItems", object{"ClientRequestToken": random, "TransactItems": []any{
			object{"Put": with(notExists(), object{"Item": created})},
		}}},
	)
}

func cancelled(codes ...string) answer {
	reasons := []any{}
	for _, code := range codes {
		reasons = append(reasons, object{"Code": code, "Message": "no"})
	}
	return refuse("TransactionCanceledException", 400, object{"CancellationReasons": reasons})
}

func TestWrite_translates_refusals(t *testing.T) {
	one := []store.Op{store.Put(full)}
	other := store.Key{PK: "P", SK: "other"}
	two := []store.Op{store.Put(full), store.Check(other, 1)}
	for name, c := range map[string]struct {
		ops      []store.Op
		answers  []answer
		conflict store.Key // of a *ConflictError; zero if it is none
		contains string    // of any other error; "" if there is none
		requests int
	}{
		"a failed condition":           {one, []answer{refuse("ConditionalCheckFailedException", 400, nil)}, key, "", 1},
		"a failed condition on others": {one, []answer{refuse("ConditionalCheckFailedException", 400, object{"Item": fullStored})}, key, "", 1},
		"a failed check":               {two, []answer{cancelled("None", "ConditionalCheckFailed")}, other, "", 1},
		"a failed put":                 {two, []answer{cancelled("ConditionalCheckFailed", "None")}, key, "", 1},
		"a condition beside a race":    {two, []answer{cancelled("TransactionConflict", "ConditionalCheckFailed")}, other, "", 1},
		"a race that passes":           {two, []answer{cancelled("None", "TransactionConflict"), ok(object{})}, store.Key{}, "", 2},
		"a race that stays":            {two, []answer{cancelled("ThrottlingError", "TransactionConflict")}, other, "", 5},
		"a put in a race that passes":  {one, []answer{refuse("TransactionConflictException", 400, nil), ok(object{})}, store.Key{}, "", 2},
		"a put in a race that stays":   {one, []answer{refuse("TransactionConflictException", 400, nil)}, key, "", 5},
		"throttled inside, passes":     {two, []answer{cancelled("ThrottlingError", "None"), ok(object{})}, store.Key{}, "", 2},
		"throttled inside, stays":      {two, []answer{cancelled("ProvisionedThroughputExceeded", "None")}, store.Key{}, "TransactionCanceledException", 5},
		"throttled, passes":            {one, []answer{refuse("ThrottlingException", 400, nil), ok(object{})}, store.Key{}, "", 2},
		"throttled, stays":             {one, []answer{refuse("ThrottlingException", 400, nil)}, store.Key{}, "ThrottlingException", 3},
		"another reason":               {two, []answer{cancelled("ItemCollectionSizeLimitExceeded", "None")}, store.Key{}, "TransactionCanceledException", 1},
		"no reasons":                   {two, []answer{cancelled()}, store.Key{}, "TransactionCanceledException", 1},
		"too many reasons":             {two, []answer{cancelled("None", "None", "ConditionalCheckFailed")}, store.Key{}, "TransactionCanceledException", 1},
		"invalid":                      {one, []answer{refuse("ValidationException", 400, nil)}, store.Key{}, "ValidationException", 1},
		"denied":                       {two, []answer{refuse("AccessDeniedException", 400, nil)}, store.Key{}, "AccessDeniedException", 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { // the pauses cost no time
				table, v := open(t, c.answers...)
				err := table.Write(t.Context(), c.ops...)
				conflict, isConflict := errors.AsType[*store.ConflictError](err)
				switch {
				case c.conflict != store.Key{}:
					if !isConflict || conflict.Key != c.conflict {
						t.Errorf("error %v, want a conflict on %s", err, c.conflict)
					}
				case c.contains == "" && err != nil, c.contains != "" && (err == nil || !strings.Contains(err.Error(), c.contains)), isConflict:
					t.Errorf("error %v, want one with %q", err, c.contains)
				}
				if len(v.requests) != c.requests {
					t.Errorf("%d requests, want %d", len(v.requests), c.requests)
				}
			})
		})
	}
}

// A put whose answer was lost is repeated by the SDK and then meets itself.
func TestWrite_recognises_itself_when_its_answer_was_lost(t *testing.T) {
	ours := func(w http.ResponseWriter, requests []request) {
		refuse("ConditionalCheckFailedException", 400, object{"Item": requests[0].Body["Item"]})(w, requests)
	}
	for name, first := range map[string]answer{"connection": lost, "server error": refuse("InternalServerError", 500, nil)} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, v := open(t, first, ours)
				if err := table.Write(t.Context(), store.Put(full)); err != nil || len(v.requests) != 2 {
					t.Errorf("write = %v after %d requests, want success after 2", err, len(v.requests))
				}
			})
		})
	}
}

// What the SDK repeats may meet somebody who has written upon what the first attempt stored. That is no
// conflict, which would say that nothing has happened.
func TestWrite_does_not_guess_when_its_answer_was_lost(t *testing.T) {
	theirs := refuse("ConditionalCheckFailedException", 400, object{"Item": fullStored})
	for name, c := range map[string]struct {
		answers  []answer
		conflict bool
	}{
		"a lost connection":               {[]answer{lost, theirs}, false},
		"a server error":                  {[]answer{refuse("InternalServerError", 500, nil), theirs}, false},
		"an item that is gone":            {[]answer{lost, refuse("ConditionalCheckFailedException", 400, nil)}, false},
		"a race after a lost connection":  {[]answer{lost, refuse("TransactionConflictException", 400, nil), theirs}, false},
		"a race that stays, after it":     {[]answer{lost, refuse("TransactionConflictException", 400, nil)}, false},
		"a refusal, which is no loss":     {[]answer{refuse("ThrottlingException", 400, nil), theirs}, true},
		"a race, which is no loss either": {[]answer{refuse("TransactionConflictException", 400, nil), theirs}, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				table, _ := open(t, c.answers...)
				err := table.Write(t.Context(), store.Put(full))
				if err == nil || errors.Is(err, store.ErrConflict) != c.conflict {
					t.Errorf("error %v, which is a conflict: %t", err, c.conflict)
				}
			})
		})
	}
}

// A transaction carries one token through all repetitions, by which DynamoDB knows it.
func TestWrite_repeats_a_transaction_under_its_token(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, v := open(t, lost, cancelled("TransactionConflict"), refuse("TransactionInProgressException", 400, nil), ok(object{}))
		if err := table.Write(t.Context(), store.Delete(key, 1)); err != nil {
			t.Fatal(err)
		}
		tokens := map[any]bool{}
		for _, r := range v.requests {
			tokens[r.Body["ClientRequestToken"]] = true
		}
		if len(v.requests) != 4 || len(tokens) != 1 {
			t.Errorf("%d requests with tokens %v, want 4 with one", len(v.requests), tokens)
		}
	})
}

func TestWrite_stops_waiting_when_told(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		table, _ := open(t, cancelled("TransactionConflict", "None"))
		start := time.Now()
		err := table.Write(deadline(t, time.Millisecond), store.Put(full), store.Check(store.Key{PK: "a", SK: "b"}, 0))
		if took := time.Since(start); took > time.Millisecond || err == nil {
			t.Errorf("write = %v after %v, want an error after a millisecond", err, took)
		}
	})
}

// No error shows what is stored.
func TestErrors_show_keys_and_no_bodies(t *testing.T) {
	secret := full
	secret.Body = []byte(`"top secret"`)
	for _, a := range []answer{
		refuse("ConditionalCheckFailedException", 400, object{"Item": fullStored}), refuse("ValidationException", 400, nil), cancelled("None"),
	} {
		table, _ := open(t, a)
		for _, err := range []error{
			table.Write(t.Context(), store.Put(secret)), table.Write(t.Context(), store.Put(secret), store.Check(store.Key{PK: "a", SK: "b"}, 0)),
		} {
			if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "top secret") {
				t.Errorf("the error shows the body: %v", err)
			}
		}
	}
}
