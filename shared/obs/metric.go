// Package obs is how functions tell the operator what happens inside them.
//
// Its invariant: nothing here calls a service or can fail, so that telling never harms the work.
package obs

import (
	"cmp"
	"context"
	"log/slog"
	"time"
)

// namespace is that of all metrics in CloudWatch.
const namespace = "Latchkey"

// Count is a metric that CloudWatch adds up.
type Count struct {
	Name  string
	Value int
	// Unit is one of CloudWatch's, "" for a number of things.
	Unit string
}

// The units of times.
const (
	Milliseconds = "Milliseconds"
	Seconds      = "Seconds"
)

// Dimension is what a metric is told apart by. Its values must be few: CloudWatch bills each.
type Dimension struct {
	Name  string
	Value string
}

// embedded is the CloudWatch embedded metric format: a log line that CloudWatch turns into a
// metric, without a call or a permission.
type embedded struct {
	Timestamp         int64       `json:"Timestamp"` // milliseconds
	CloudWatchMetrics []directive `json:"CloudWatchMetrics"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

// Write logs one line, with a constant message, that counts under the dimensions; none is fine.
func Write(ctx context.Context, log *slog.Logger, now time.Time, message string, dimensions []Dimension, counts ...Count) {
	d := directive{Namespace: namespace, Dimensions: [][]string{make([]string, 0, len(dimensions))}, Metrics: make([]definition, 0, len(counts))}
	var values []slog.Attr
	for _, dimension := range dimensions {
		d.Dimensions[0] = append(d.Dimensions[0], dimension.Name)
		values = append(values, slog.String(dimension.Name, dimension.Value))
	}
	for _, count := range counts {
		d.Metrics = append(d.Metrics, definition{Name: count.Name, Unit: cmp.Or(count.Unit, "Count")})
		values = append(values, slog.Int(count.Name, count.Value))
	}
	format := embedded{Timestamp: now.UnixMilli(), CloudWatchMetrics: []directive{d}}
	log.LogAttrs(ctx, slog.LevelInfo, message, append([]slog.Attr{slog.Any("_aws", format)}, values...)...) //nolint:sloglint // callers' messages are constant
}
