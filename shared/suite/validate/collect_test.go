package validate_test

import (
	"context"
	"runtime"
	"runtime/debug"
	"testing"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/shared/suite/validate"
)

// percents remembers when garbage was collected while it was invoked.
type percents struct{ seen []int }

func (p *percents) Invoke(context.Context, []byte) ([]byte, error) {
	now := debug.SetGCPercent(100)
	debug.SetGCPercent(now)
	p.seen = append(p.seen, now)
	return nil, nil
}

var _ lambda.Handler = (*percents)(nil)

func TestCollecting_collectsEarlierTheMoreIsInUse(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(100))
	p := &percents{}
	f := validate.Collecting{Handler: p}
	invoke := func() {
		t.Helper()
		runtime.GC()
		if _, err := f.Invoke(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	invoke()
	some := make([]byte, 40<<20)
	invoke()
	runtime.KeepAlive(some)
	many := make([]byte, 400<<20)
	invoke()
	runtime.KeepAlive(many)
	if few, more, most := p.seen[0], p.seen[1], p.seen[2]; few <= 200 || more >= few || more <= 33 || most != 33 {
		t.Errorf("garbage may be %v per cent", p.seen)
	}
}
