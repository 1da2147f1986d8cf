package runtimeapi

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"sync"
)

// maxLine bounds a line of a program's output, as CloudWatch Logs does; the rest is another line.
const maxLine = 256 << 10

// output passes what a program writes on to the log, a record per line.
type output struct {
	log *slog.Logger

	mu   sync.Mutex
	rest []byte // of a line that has no end yet
}

// Write takes a part of the output.
func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.rest = append(o.rest, b...)
	for {
		end := bytes.IndexByte(o.rest, '\n')
		switch {
		case end >= 0:
			o.line(o.rest[:end])
			o.rest = o.rest[end+1:]
		case len(o.rest) > maxLine:
			o.line(o.rest[:maxLine])
			o.rest = o.rest[maxLine:]
		default:
			return len(b), nil
		}
	}
}

// flush logs a last line without an end.
func (o *output) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.line(o.rest)
	o.rest = nil
}

// line logs a line with the severity that it says it has. What says none is a panic or the
// runtime's own.
func (o *output) line(line []byte) {
	if len(bytes.TrimSpace(line)) == 0 {
		return
	}
	level, content := slog.LevelWarn, slog.String("text", string(line))
	var record struct{ Level *slog.Level }
	if json.Unmarshal(line, &record) == nil {
		content = slog.Any("record", json.RawMessage(bytes.Clone(line)))
		if record.Level != nil {
			level = *record.Level
		}
	}
	o.log.LogAttrs(context.Background(), level, "function log", content) //nolint:forbidigo // a process belongs to no request
}
