package sim

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"time"
)

// trace is the history of a world: a line for each step. Equal seeds make equal traces, to the byte.
type trace struct {
	sum hash.Hash
	out io.Writer
}

func newTrace(out io.Writer) *trace { return &trace{sum: sha256.New(), out: out} }

// epoch is when synctest's clocks begin.
var epoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)

func (t *trace) step(n int, s *step, f fault) {
	line := fmt.Sprintf("%d %s %s", n, time.Since(epoch), s)
	if f.kind != none {
		line += " → " + f.kind.String()
		if f.kind == late {
			line += " " + f.delay.String()
		}
	}
	t.line(line)
}

// say notes what happens to the world.
func (t *trace) say(format string, args ...any) {
	t.line(fmt.Sprintf("* %s ", time.Since(epoch)) + fmt.Sprintf(format, args...))
}

func (t *trace) line(line string) {
	io.WriteString(t.sum, line+"\n") //nolint:errcheck // hashes don't fail
	if t.out != nil {
		io.WriteString(t.out, line+"\n") //nolint:errcheck // whoever reads it sees that it ends
	}
}

func (t *trace) digest() string { return hex.EncodeToString(t.sum.Sum(nil))[:16] }
