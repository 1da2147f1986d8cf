package authorizer_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/identity/authn"
	"latchkey/shared/suite/authorizer"
)

func TestARefusalIsCountedInTheEmbeddedMetricFormat(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	count := authorizer.CountRefusals(slog.New(slog.NewJSONHandler(&out, nil)), func() time.Time { return time.UnixMilli(1777636800123) })
	count(t.Context(), authn.NoCredentials)
	if out.Len() != 0 {
		t.Errorf("a request for a challenge was counted: %s", &out)
	}
	count(t.Context(), authn.WrongResponse)
	var line map[string]any
	if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
		t.Fatal(err)
	}
	delete(line, "time")
	want := map[string]any{
		"level": "INFO", "msg": "refusal counted", "Reason": "WRONG_RESPONSE", "Refusals": 1.0,
		"_aws": map[string]any{"Timestamp": 1777636800123.0, "CloudWatchMetrics": []any{map[string]any{
			"Namespace": "Latchkey", "Dimensions": []any{[]any{"Reason"}},
			"Metrics": []any{map[string]any{"Name": "Refusals", "Unit": "Count"}},
		}}},
	}
	if diff := cmp.Diff(want, line); diff != "" {
		t.Error(diff)
	}
}
