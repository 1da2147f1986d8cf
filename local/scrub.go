package main

import (
	"context"
	"log/slog"
	"time"

	"latchkey/shared/store/bolt"
)

// scrubbing overwrites what was deleted from a table's file, every minute, so that a secret that is said
// to be destroyed is.
func scrubbing(table *bolt.Table, log *slog.Logger) func(context.Context) {
	return func(ctx context.Context) {
		minute := time.NewTicker(time.Minute)
		defer minute.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-minute.C:
			}
			if err := table.Scrub(); err != nil {
				log.LogAttrs(ctx, slog.LevelError, "deleted items are still in the table's file", slog.Any("error", err))
			}
		}
	}
}
