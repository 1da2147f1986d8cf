package feed

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"slices"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/uuid"

	"latchkey/local/lambdasvc"
)

// portion is a batch, or what is left of one, on its way through the function.
type portion struct {
	items    []item
	failures int // that count against the retries
	calls    int
}

// handle invokes the function until all of the batch has been handled or given up, in order, and says
// of each portion that it is. It ends with ctx.
//
// The rules are Lambda's: a failed batch comes again whole or, with Bisect, in halves, and splitting
// costs no retry. With Partial the first record that failed and all that follow come again, whatever
// became of those. What is given up is the rest of its batch; a letter says which records that was.
func (m *Mapping) handle(ctx context.Context, batch []item, handled func([]item)) {
	for queue := []portion{{items: batch}}; len(queue) > 0 && ctx.Err() == nil; {
		p := queue[0]
		queue = queue[1:]
		if old := m.old(p.items); old > 0 {
			m.giveUp(ctx, portion{items: p.items[:old], calls: p.calls}, aged)
			handled(p.items[:old])
			if p.items = p.items[old:]; len(p.items) == 0 {
				continue
			}
		}
		done := m.invoke(ctx, p.items)
		p.calls++
		if done > 0 {
			handled(p.items[:done])
			p.items = p.items[done:]
		}
		if len(p.items) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return // the rest comes again after the next start
		}
		again := m.again(ctx, p, done)
		if again == nil {
			m.giveUp(ctx, p, exhausted)
			handled(p.items)
		}
		queue = append(again, queue...)
	}
}

// again decides how what is left of a batch comes again, and waits if the same is to be repeated. No
// portion: it is to be given up.
func (m *Mapping) again(ctx context.Context, p portion, done int) []portion {
	switch {
	case done > 0 && m.Bisect: // it was split where the function said
		return []portion{p}
	case done == whole && m.Bisect && len(p.items) > 1:
		half := len(p.items) / 2
		first, second := p, p
		first.items, second.items = p.items[:half], p.items[half:]
		return []portion{first, second}
	}
	if p.failures++; m.MaxRetries >= 0 && p.failures > m.MaxRetries {
		return nil
	}
	wait(ctx, backOff(p.failures-1))
	return []portion{p}
}

// backOff is how long a batch waits that failed so often before. AWS does not say how long Lambda waits.
func backOff(failures int) time.Duration {
	const first, longest = time.Second, time.Minute
	return min(first<<min(failures, 6), longest)
}

// old counts the records at the beginning that are too old.
func (m *Mapping) old(items []item) int {
	if m.MaxAge < 0 {
		return 0
	}
	i := slices.IndexFunc(items, func(i item) bool { return m.now().Sub(i.At) <= m.MaxAge })
	if i < 0 {
		return len(items)
	}
	return i
}

// whole says that an invocation failed as a whole, and nothing is known of its records.
const whole = -1

// invoke invokes the function with a batch and returns how many records were handled before one that
// was not: all, some, or whole.
func (m *Mapping) invoke(ctx context.Context, items []item) int {
	var payload bytes.Buffer
	payload.WriteString(`{"Records":[`)
	for i, item := range items {
		if i > 0 {
			payload.WriteByte(',')
		}
		payload.Write(item.event)
	}
	payload.WriteString("]}")
	answer, err := m.function.Invoke(ctx, payload.Bytes())
	if err != nil {
		m.log.WarnContext(ctx, "a batch failed", slog.Int("records", len(items)), slog.String("error", lambdasvc.AsError(err).Type))
		return whole
	}
	if !m.Partial {
		return len(items)
	}
	first, err := firstFailure(answer, items)
	if err != nil {
		m.log.WarnContext(ctx, "a batch has an answer that is none", slog.String("error", err.Error()))
		return whole
	}
	return first
}

// firstFailure is the place of the first record that the function says failed.
func firstFailure(answer []byte, items []item) (int, error) {
	if len(bytes.TrimSpace(answer)) == 0 {
		return len(items), nil
	}
	var response *events.DynamoDBEventResponse
	if err := json.Unmarshal(answer, &response); err != nil {
		return 0, err
	}
	first := len(items)
	if response == nil {
		return first, nil
	}
	for _, f := range response.BatchItemFailures {
		i := slices.IndexFunc(items, func(i item) bool { return sequenceNumber(i.Sequence) == f.ItemIdentifier })
		if i < 0 {
			return 0, errors.New("an itemIdentifier is of no record")
		}
		first = min(first, i)
	}
	return first, nil
}

// The conditions under which records are given up.
const (
	exhausted = "RetryAttemptsExhausted"
	aged      = "RecordAgeExceeded"
)

// letter is what Lambda sends when it gives records up.
type letter struct {
	RequestContext  requestContext   `json:"requestContext"`
	ResponseContext *responseContext `json:"responseContext,omitempty"`
	Version         string           `json:"version"`
	Timestamp       string           `json:"timestamp"`
	Batch           batchInfo        `json:"DDBStreamBatchInfo"`
}

type requestContext struct {
	RequestID              string `json:"requestId"`
	FunctionARN            string `json:"functionArn"`
	Condition              string `json:"condition"`
	ApproximateInvokeCount int    `json:"approximateInvokeCount"`
}

type responseContext struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError"`
}

type batchInfo struct {
	ShardID       string `json:"shardId"`
	StartSequence string `json:"startSequenceNumber"`
	EndSequence   string `json:"endSequenceNumber"`
	FirstArrival  string `json:"approximateArrivalOfFirstRecord"`
	LastArrival   string `json:"approximateArrivalOfLastRecord"`
	BatchSize     int    `json:"batchSize"`
	StreamARN     string `json:"streamArn"`
}

// shard is the one that there is here.
const shard = "shardId-00000000000000000000-00000000"

// tries is how often a letter is sent that is not taken. Then the log has it.
const tries = 3

// giveUp sends the letter of records that are given up. It names them and does not hold them.
func (m *Mapping) giveUp(ctx context.Context, p portion, condition string) {
	first, last := p.items[0], p.items[len(p.items)-1]
	at := func(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
	l := letter{
		RequestContext: requestContext{
			RequestID: uuid.NewString(), FunctionARN: m.functionARN, Condition: condition, ApproximateInvokeCount: p.calls,
		},
		Version: "1.0", Timestamp: at(m.now()),
		Batch: batchInfo{
			ShardID: shard, StartSequence: sequenceNumber(first.Sequence), EndSequence: sequenceNumber(last.Sequence),
			FirstArrival: at(first.At), LastArrival: at(last.At), BatchSize: len(p.items), StreamARN: m.StreamARN,
		},
	}
	if p.calls > 0 {
		l.ResponseContext = &responseContext{StatusCode: 200, ExecutedVersion: "$LATEST", FunctionError: "Unhandled"}
	}
	m.log.ErrorContext(ctx, "records of a stream were given up", slog.String("condition", condition),
		slog.String("first", l.Batch.StartSequence), slog.String("last", l.Batch.EndSequence), slog.Int("records", len(p.items)))
	if m.OnFailure == "" {
		return
	}
	body, err := json.Marshal(l)
	for try := 0; err == nil; try++ {
		failed := m.queues.Send(ctx, m.OnFailure, body)
		if failed == nil || ctx.Err() != nil {
			return
		}
		if try+1 == tries || !wait(ctx, backOff(try)) {
			err = failed
		}
	}
	m.fail(ctx, "a dead letter was not taken", err)
}
