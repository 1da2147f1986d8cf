package feed_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"latchkey/local/feed"
	"latchkey/local/template"
	"latchkey/shared/store"
	"latchkey/shared/store/bolt"
)

const streamARN = "arn:aws:dynamodb:us-east-1:123456789012:table/Table/stream/2026-01-01T00:00:00.000"

// world is a mapping over a table, in virtual time. The function does what answer says, and keeps what
// it was invoked with.
type world struct {
	t       testing.TB
	table   *bolt.Table
	mapping template.EventSource
	answer  func(sks []string) (string, error)

	mu      sync.Mutex
	calls   []string // the sort keys of each batch
	at      []time.Duration
	letters []letter
	began   time.Time
	events  [][]byte
}

type letter struct {
	RequestContext struct {
		Condition, FunctionARN string
		ApproximateInvokeCount int
	} `json:"requestContext"`
	Batch struct {
		StartSequenceNumber, EndSequenceNumber string
		BatchSize                              int
	} `json:"DDBStreamBatchInfo"`
}

// memory is a directory in memory where there is one: nothing crashes here that a disk would have to survive.
func memory(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("/dev/shm", "latchkey") //nolint:usetesting // t.TempDir is on the disk
	if err != nil {
		return t.TempDir()
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

func inWorld(t *testing.T, change func(*template.EventSource), test func(w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		test(newWorld(t, filepath.Join(memory(t), "table.db"), change))
	})
}

func newWorld(t testing.TB, path string, change func(*template.EventSource)) *world {
	t.Helper()
	table, err := bolt.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { table.Close() }) //nolint:errcheck // the file is gone in a moment
	w := &world{t: t, table: table, began: time.Now(), mapping: template.EventSource{
		ID: "NotifyStream", StreamARN: streamARN, BatchSize: 10, Lanes: 1, MaxAge: -1, MaxRetries: -1, OnFailure: "arn:queue",
	}}
	if change != nil {
		change(&w.mapping)
	}
	return w
}

// Invoke is the function.
func (w *world) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	var batch events.DynamoDBEvent
	if err := json.Unmarshal(payload, &batch); err != nil {
		return nil, err
	}
	var sks []string
	for _, r := range batch.Records {
		sks = append(sks, r.Change.Keys["sk"].String())
	}
	w.mu.Lock()
	w.calls, w.at, w.events = append(w.calls, strings.Join(sks, " ")), append(w.at, time.Since(w.began)), append(w.events, payload)
	w.mu.Unlock()
	if w.answer == nil {
		return nil, nil
	}
	answer, err := w.answer(sks)
	return []byte(answer), err
}

// Send is the queue for dead letters.
func (w *world) Send(_ context.Context, _ string, body []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var l letter
	err := json.Unmarshal(body, &l)
	w.letters = append(w.letters, l)
	return err
}

// run starts the mapping; what it returns ends it.
func (w *world) run() (stop func()) {
	w.t.Helper()
	changes, err := w.table.Subscribe(time.Now, w.mapping.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	m, err := feed.New(feed.Config{
		Mapping: w.mapping, Source: feed.Bolt(changes), Function: w, FunctionARN: "arn:function", Queues: w, Now: time.Now, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(w.t.Context())
	var running sync.WaitGroup
	running.Go(func() { m.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// pass lets time pass, and what began meanwhile come to rest.
func (w *world) pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// put writes new items, all in one transaction.
func (w *world) put(sks ...string) {
	w.t.Helper()
	var ops []store.Op
	for _, sk := range sks {
		ops = append(ops, store.Put(store.Item{Key: store.Key{PK: "P", SK: sk}, Body: []byte(`{"a":1}`)}))
	}
	if err := w.table.Write(w.t.Context(), ops...); err != nil {
		w.t.Fatal(err)
	}
}

// called are the records of every invocation.
func (w *world) called() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.calls)
}

func (w *world) want(calls ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if diff := cmp.Diff(calls, w.calls); diff != "" {
		w.t.Errorf("invocations (-want +got):\n%s", diff)
	}
}

func TestRun_gives_the_function_what_DynamoDB_and_Lambda_would(t *testing.T) {
	inWorld(t, nil, func(w *world) {
		expires := time.Now().Add(time.Hour)
		item := store.Item{Key: store.Key{PK: "P", SK: "S"}, Index: store.Key{PK: "I", SK: "J"}, Expires: expires, Body: []byte(`{"a":"ü"}`)}
		defer w.run()()
		for _, op := range []store.Op{store.Put(item), store.Delete(item.Key, 1), store.Put(item)} {
			if err := w.table.Write(w.t.Context(), op); err != nil {
				t.Fatal(err)
			}
			synctest.Wait()
		}
		if _, err := w.table.Expire(w.t.Context(), expires.Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(w.events) != 4 {
			t.Fatalf("%d invocations", len(w.events))
		}
		const keys = `"Keys":{"pk":{"S":"P"},"sk":{"S":"S"}}`
		const image = `"NewImage":{"body":{"S":"{\"a\":\"ü\"}"},"expires":{"N":"946688400"},"gsi1pk":{"S":"I"},"gsi1sk":{"S":"J"},` +
			`"pk":{"S":"P"},"sk":{"S":"S"},"version":{"N":"1"},"write":{"S":""}},`
		for i, want := range []string{
			`"INSERT","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":946684800,` +
				keys + `,` + image + `"SequenceNumber":"000000000000000000001","SizeBytes":65,"StreamViewType":"NEW_IMAGE"},"eventSourceARN":"` + streamARN + `"}]}`,
			`"REMOVE","eventVersion":"1.1","eventSource":"aws:dynamodb","awsRegion":"us-east-1","dynamodb":{"ApproximateCreationDateTime":946684800,` +
				keys + `,"SequenceNumber":"000000000000000000002","SizeBytes":6,"StreamViewType":"NEW_IMAGE"},"eventSourceARN":"` + streamARN + `"}]}`,
		} {
			if _, got, _ := strings.Cut(string(w.events[i]), `"eventName":`); got != want {
				t.Errorf("event %d:\n%s\nwant\n%s", i, got, want)
			}
		}
		if last := string(w.events[3]); !strings.Contains(last, `"userIdentity":{"type":"Service","principalId":"dynamodb.amazonaws.com"}`) {
			t.Errorf("an item that expired: %s", last)
		}
	})
}

func TestRun_hands_over_what_the_filters_let_through(t *testing.T) {
	inWorld(t, func(m *template.EventSource) {
		gathered(m, 2)
		m.Patterns = []string{
			`{"eventName":["INSERT"],"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"NOTICE#"}]}}}}`,
			`{"eventName":["INSERT"],"dynamodb":{"Keys":{"sk":{"S":[{"prefix":"MAIL#"}]}}}}`,
		}
	}, func(w *world) {
		defer w.run()()
		w.put("NOTICE#1", "EVENT#1", "MAIL#1", "XNOTICE#")
		synctest.Wait()
		item := store.Item{Key: store.Key{PK: "P", SK: "NOTICE#1"}, Version: 1, Body: []byte(`{}`)}
		if err := w.table.Write(w.t.Context(), store.Put(item)); err != nil { // a modification
			t.Fatal(err)
		}
		w.pass(time.Hour)
		w.want("NOTICE#1 MAIL#1")
	})
}

func TestRun_gathers_batches(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { m.BatchSize, m.Window = 3, 2*time.Second }, func(w *world) {
		defer w.run()()
		w.put("a")
		w.pass(time.Second)
		w.put("b")
		synctest.Wait()
		w.want()
		w.pass(2 * time.Second)
		w.put("c", "d", "e", "f")
		w.pass(time.Minute)
		w.want("a b", "c d e", "f")
	})
}

func failing(sk string) func([]string) (string, error) {
	return func(sks []string) (string, error) {
		if slices.Contains(sks, sk) {
			return "", errors.New("no")
		}
		return "", nil
	}
}

// gathered has batches of one size. Without a window it depends on who is faster which records come together.
func gathered(m *template.EventSource, size int) { m.BatchSize, m.Window = size, time.Minute }

func TestRun_repeats_a_batch_that_failed(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { gathered(m, 2); m.MaxRetries = 2 }, func(w *world) {
		w.answer = failing("b")
		defer w.run()()
		w.put("a", "b")
		w.pass(time.Minute)
		w.put("c", "d")
		synctest.Wait()
		w.want("a b", "a b", "a b", "c d")
		if diff := cmp.Diff([]time.Duration{0, time.Second, 3 * time.Second, time.Minute}, w.at); diff != "" {
			t.Errorf("times:\n%s", diff)
		}
		w.wantLetter("RetryAttemptsExhausted", 1, 2, 3)
	})
}

func (w *world) wantLetter(condition string, from, to, calls int) {
	w.t.Helper()
	var want letter
	want.RequestContext.Condition, want.RequestContext.FunctionARN, want.RequestContext.ApproximateInvokeCount = condition, "arn:function", calls
	want.Batch.StartSequenceNumber, want.Batch.EndSequenceNumber = fmt.Sprintf("%021d", from), fmt.Sprintf("%021d", to)
	want.Batch.BatchSize = to - from + 1
	if diff := cmp.Diff([]letter{want}, w.letters); diff != "" {
		w.t.Errorf("letters:\n%s", diff)
	}
}

func TestRun_bisects_a_batch_that_failed_at_no_cost(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { gathered(m, 4); m.MaxRetries, m.Bisect = 1, true }, func(w *world) {
		w.answer = failing("c")
		defer w.run()()
		w.put("a", "b", "c", "d")
		w.pass(time.Minute)
		w.want("a b c d", "a b", "c d", "c", "c", "d")
		w.wantLetter("RetryAttemptsExhausted", 3, 3, 4)
	})
}

// partly answers that records failed.
func partly(failed ...int) string {
	var r events.DynamoDBEventResponse
	for _, n := range failed {
		r.BatchItemFailures = append(r.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: fmt.Sprintf("%021d", n)})
	}
	answer, err := json.Marshal(r)
	if err != nil {
		panic(err)
	}
	return string(answer)
}

func TestRun_repeats_from_the_first_record_that_failed(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { gathered(m, 4); m.MaxRetries, m.Bisect, m.Partial = 1, true, true }, func(w *world) {
		w.answer = func(sks []string) (string, error) {
			switch {
			case slices.Contains(sks, "a"):
				return partly(4, 2), nil // in any order
			case slices.Contains(sks, "b"):
				return partly(2), nil
			}
			return partly(), nil
		}
		defer w.run()()
		w.put("a", "b", "c", "d")
		w.pass(time.Minute)
		w.want("a b c d", "b c d", "b c d")
		w.wantLetter("RetryAttemptsExhausted", 2, 4, 3) // all of the rest, as in AWS
	})
}

func TestRun_takes_an_unknown_record_for_a_failure_of_the_batch(t *testing.T) {
	for name, answer := range map[string]string{"of none": partly(77), "no JSON": "oops"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(m *template.EventSource) { m.MaxRetries, m.Partial = 1, true }, func(w *world) {
				w.answer = func([]string) (string, error) { return answer, nil }
				defer w.run()()
				w.put("a")
				w.pass(time.Minute)
				w.want("a", "a")
			})
		})
	}
}

func TestRun_gives_up_what_is_too_old(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { m.MaxAge = time.Minute }, func(w *world) {
		w.answer = failing("a")
		defer w.run()()
		w.put("a")
		w.pass(5 * time.Minute)
		if last := w.at[len(w.at)-1]; last > time.Minute {
			t.Errorf("invoked after %v", last)
		}
		w.wantLetter("RecordAgeExceeded", 1, 1, len(w.calls))
	})
}

func TestRun_goes_on_where_it_was_stopped(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { m.BatchSize = 1 }, func(w *world) {
		w.answer = failing("b")
		stop := w.run()
		w.put("a", "b", "c")
		w.pass(time.Second / 2)
		stop()
		w.want("a", "b")
		w.put("d")
		w.answer = nil
		defer w.run()()
		w.pass(time.Second)
		w.want("a", "b", "b", "c", "d")
	})
}

func TestRun_lets_one_lane_wait_and_not_the_others(t *testing.T) {
	inWorld(t, func(m *template.EventSource) { m.Lanes, m.BatchSize = 10, 1 }, func(w *world) {
		w.answer = func(sks []string) (string, error) {
			if sks[0] == "item-0" {
				time.Sleep(time.Hour)
			}
			return "", nil
		}
		defer w.run()()
		for i := range 40 {
			w.put(fmt.Sprint("item-", i))
		}
		w.pass(time.Minute)
		if n := len(w.called()); n < 25 {
			t.Errorf("while one hangs %d are handled", n)
		}
		w.pass(2 * time.Hour)
		if n := len(slices.Compact(slices.Sorted(slices.Values(w.called())))); n != 40 {
			t.Errorf("%d of 40 were handled", n)
		}
	})
}

// Whatever the function answers, and whenever all of it is stopped: what comes in is handled or given up,
// nothing is left out, and the versions of an item come in order.
func TestRun_omits_nothing_whatever_happens(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t, filepath.Join(memory(t), "table.db"), func(m *template.EventSource) {
				m.Lanes, m.BatchSize = rapid.IntRange(1, 4).Draw(rt, "lanes"), rapid.IntRange(1, 5).Draw(rt, "batch")
				m.Bisect, m.Partial = rapid.Bool().Draw(rt, "bisect"), rapid.Bool().Draw(rt, "partial")
				m.MaxRetries = -1
			})
			outcomes := rapid.SliceOfN(rapid.IntRange(0, 3), 1, 30).Draw(rt, "outcomes")
			handled, n := map[string]bool{}, 0
			var mu sync.Mutex
			w.answer = func(sks []string) (string, error) {
				mu.Lock()
				defer mu.Unlock()
				n++
				if n < len(outcomes) && outcomes[n] == 0 {
					return "", errors.New("no")
				}
				for _, sk := range sks {
					handled[sk] = true
				}
				return "", nil
			}
			stop := w.run()
			for i := 0; i < 20; i += 5 {
				w.put(fmt.Sprint("item-", i), fmt.Sprint("item-", i+1), fmt.Sprint("item-", i+2), fmt.Sprint("item-", i+3), fmt.Sprint("item-", i+4))
				if rapid.IntRange(0, 3).Draw(rt, "stop") == 0 {
					stop()
					stop = w.run()
				}
			}
			time.Sleep(time.Hour)
			stop()
			if len(handled) != 20 {
				rt.Errorf("%d of 20 were handled", len(handled))
			}
		})
	})
}
