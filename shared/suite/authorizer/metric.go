package authorizer

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/identity/authn"
	"latchkey/shared/obs"
)

// CountRefusals returns a Config.Refused that writes the metric Latchkey/Refusals by reason.
// Requests without credentials are left out: every Digest exchange begins with one.
func CountRefusals(log *slog.Logger, now func() time.Time) func(context.Context, authn.Reason) {
	return func(ctx context.Context, why authn.Reason) {
		if why == authn.NoCredentials {
			return
		}
		obs.Write(ctx, log, now(), "refusal counted",
			[]obs.Dimension{{Name: "Reason", Value: string(why)}}, obs.Count{Name: "Refusals", Value: 1})
	}
}
