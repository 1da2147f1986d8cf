package validate

import (
	"context"
	"runtime/debug"
	"runtime/metrics"

	"github.com/aws/aws-lambda-go/lambda"
)

// How much of a heap may be garbage before it is collected: this much, but at least so many per cent of what is
// in use and at most so many.
const (
	garbage                   = 48 << 20
	leastGarbage, mostGarbage = 33, 400
)

// growth is what a heap may grow by before garbage is collected, in per cent of the bytes in use.
func growth(inUse uint64) (percent int) {
	return int(min(max(garbage*100/max(inUse, 1), leastGarbage), mostGarbage))
}

// Collecting is the function in a process of its own, which has garbage collected as it suits what it keeps. That is the
// sessions of all roles, 1.1 kB each: little in most deployments, which collect late then like every function,
// and 110 MB when there are a hundred thousand, of which four times as much would lie about. Collecting early is
// cheap then, for sessions are text, in which nothing has to be looked for. A limit of the memory would do the same
// only while it is well above what is in use, and below that collect without end; and how long tokens are is up to
// AWS.
type Collecting struct{ lambda.Handler }

// Invoke implements lambda.Handler.
func (c Collecting) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	inUse := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // as of the last collection
	metrics.Read(inUse)
	debug.SetGCPercent(growth(inUse[0].Value.Uint64()))
	return c.Handler.Invoke(ctx, event)
}
