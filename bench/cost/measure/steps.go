package measure

import (
	"context"
	"net/http"
	"strings"
)

// Where operations are.
const (
	v2      = "/api/atlas/v2"
	own1    = "/api/latchkey/v1"
	inGroup = v2 + "/groups/{group}"
	inOrg   = v2 + "/orgs/{org}"
)

// step is a request that succeeds.
type step struct {
	method, version, path, body string
	// keep is what to remember of the answer: "name=member.member,name=member".
	keep string
}

// fill replaces {name} by what it stands for.
func (w *World) fill(text string) string {
	for name, value := range w.known {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// take takes a step, and counts what it takes of AWS.
func (w *World) take(ctx context.Context, way http.RoundTripper, s step) (*Tally, error) {
	ctx, tally := counted(ctx)
	r, err := http.NewRequestWithContext(ctx, s.method, "http://127.0.0.1"+w.fill(s.path), strings.NewReader(w.fill(s.body)))
	if err != nil {
		return nil, err
	}
	media := "application/json"
	if s.version != "" {
		media = "application/vnd.atlas." + s.version + "+json"
	}
	r.Header.Set("Accept", media)
	if s.body != "" {
		r.Header.Set("Content-Type", media)
	}
	body, err := send(way, r)
	if err != nil {
		return nil, err
	}
	for kept := range strings.SplitSeq(s.keep, ",") {
		if name, path, ok := strings.Cut(kept, "="); ok {
			w.known[name] = pick(body, path)
		}
	}
	return tally, nil
}
