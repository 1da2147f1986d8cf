package obs_test

import (
	"encoding/json"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/obs"
)

func TestCountsAreWrittenInTheEmbeddedMetricFormat(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		dimensions []obs.Dimension
		want       []any
	}{
		"without a dimension": {nil, []any{}},
		"with dimensions":     {[]obs.Dimension{{Name: "Class", Value: "VALID"}, {Name: "Provider", Value: "AWS"}}, []any{"Class", "Provider"}},
	} {
		var out strings.Builder
		obs.Write(t.Context(), slog.New(slog.NewJSONHandler(&out, nil)), time.UnixMilli(1777636800123), "keys checked",
			c.dimensions, obs.Count{Name: "Checks", Value: 7}, obs.Count{Name: "Left", Value: 0, Unit: obs.Milliseconds})
		var line map[string]any
		if err := json.Unmarshal([]byte(out.String()), &line); err != nil {
			t.Fatal(err)
		}
		delete(line, "time")
		want := map[string]any{
			"level": "INFO", "msg": "keys checked", "Checks": 7.0, "Left": 0.0,
			"_aws": map[string]any{"Timestamp": 1777636800123.0, "CloudWatchMetrics": []any{map[string]any{
				"Namespace": "Latchkey", "Dimensions": []any{c.want},
				"Metrics": []any{map[string]any{"Name": "Checks", "Unit": "Count"}, map[string]any{"Name": "Left", "Unit": "Milliseconds"}},
			}}},
		}
		for _, d := range c.dimensions {
			want[d.Name] = d.Value
		}
		if diff := cmp.Diff(want, line); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}
