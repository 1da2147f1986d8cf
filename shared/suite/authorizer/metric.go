package authorizer

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/identity/authn"
)

// metrics is the CloudWatch embedded metric format: a log line that CloudWatch turns into a
// metric, without a call or a permission.
type metrics struct {
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

// CountRefusals returns a Config.Refused that writes the metric Latchkey/Refusals by reason.
// Requests without credentials are left out: every Digest exchange begins with one.
func CountRefusals(log *slog.Logger, now func() time.Time) func(context.Context, authn.Reason) {
	refusals := []directive{{
		Namespace: "Latchkey", Dimensions: [][]string{{"Reason"}}, Metrics: []definition{{Name: "Refusals", Unit: "Count"}},
	}}
	return func(ctx context.Context, why authn.Reason) {
		if why == authn.NoCredentials {
			return
		}
		log.LogAttrs(ctx, slog.LevelInfo, "refusal counted",
			slog.Any("_aws", metrics{Timestamp: now().UnixMilli(), CloudWatchMetrics: refusals}),
			slog.String("Reason", string(why)), slog.Int("Refusals", 1))
	}
}
