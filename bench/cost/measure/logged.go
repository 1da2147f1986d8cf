package measure

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"slices"
	"strings"
	"sync"
)

// counting counts what is logged.
type counting struct {
	slog.Handler
	attrs   []slog.Attr
	metrics *metrics
}

// Enabled implements slog.Handler: functions log from level INFO on.
func (c *counting) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelInfo }

// Handle implements slog.Handler.
func (c *counting) Handle(ctx context.Context, r slog.Record) error {
	var line bytes.Buffer
	if err := slog.NewJSONHandler(&line, nil).WithAttrs(c.attrs).Handle(ctx, r); err != nil {
		return err
	}
	add(ctx, Usage{Logged: line.Len(), Lines: 1})
	return c.metrics.read(line.Bytes())
}

// WithAttrs implements slog.Handler.
func (c *counting) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &counting{c.Handler, slices.Concat(c.attrs, attrs), c.metrics}
}

// metrics are the custom metrics that lines in CloudWatch's embedded format make, as CloudWatch bills them: each name
// with each value of its dimensions is one.
type metrics struct {
	mu   sync.Mutex
	seen map[string]bool
}

// read notes the metrics of a line.
func (m *metrics) read(line []byte) error {
	if !bytes.Contains(line, []byte(`"CloudWatchMetrics"`)) {
		return nil
	}
	var format struct {
		Embedded struct {
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	var values map[string]any
	if err := json.Unmarshal(line, &format); err != nil {
		return err
	}
	if err := json.Unmarshal(line, &values); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.seen == nil {
		m.seen = map[string]bool{}
	}
	for _, directive := range format.Embedded.CloudWatchMetrics {
		for _, dimensions := range directive.Dimensions {
			place := make([]string, 0, len(dimensions))
			for _, name := range dimensions {
				value, _ := values[name].(string)
				place = append(place, name+"="+value)
			}
			for _, metric := range directive.Metrics {
				m.seen[metric.Name+" "+strings.Join(place, " ")] = true
			}
		}
	}
	return nil
}

// reset forgets what was seen, and returns how many metrics that were.
func (m *metrics) reset() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := len(m.seen)
	clear(m.seen)
	return n
}
