package main

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/store/bolt"
)

// housekeeping removes the items whose time has come from a table's file, as DynamoDB does from its tables,
// and overwrites what was removed, so that a secret that is said to be destroyed is: both once a minute.
func housekeeping(table *bolt.Table, now func() time.Time, log *slog.Logger) func(context.Context) {
	return func(ctx context.Context) {
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-minute.C:
			}
			if _, err := table.Expire(ctx, now()); err != nil && ctx.Err() == nil {
				log.LogAttrs(ctx, slog.LevelError, "items whose time has come are still in the table", slog.Any("error", err))
			}
			if err := table.Scrub(); err != nil {
				log.LogAttrs(ctx, slog.LevelError, "deleted items are still in the table's file", slog.Any("error", err))
			}
		}
	}
}
