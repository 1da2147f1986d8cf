package main

import (
	"context"
	"fmt"
	"log/slog"

	"latchkey/local/feed"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/local/stack"
	"latchkey/shared/store/bolt"
)

// openStreams makes the event source mappings of the template. Nothing may have been written before that
// a function is to hear of.
func (s *suite) openStreams(cfg config, d *deployment, log *slog.Logger) error {
	mappings, err := stack.EventSourceMappings(stack.MappingsConfig{
		Template: d.template, Functions: d.functions, Clouds: d.clouds, Now: cfg.now, Log: log,
		Stream: func(table string, consumers []string) (feed.Source, error) { return s.stream(cfg, d, table, consumers) },
	})
	for _, m := range mappings {
		s.background = append(s.background, m.Run)
	}
	return err
}

// stream is the stream of a table: of that in a file, or in the pocket DynamoDB if functions are isolated.
func (s *suite) stream(cfg config, d *deployment, table string, consumers []string) (feed.Source, error) {
	if t, ok := s.table.(*bolt.Table); ok {
		changes, err := t.Subscribe(cfg.now, consumers...)
		if err != nil {
			return nil, fmt.Errorf("-data: %w", err)
		}
		return feed.Bolt(changes), nil
	}
	stream, err := d.clouds.Tables.Subscribe(stack.OperatorAccount, stack.Region, table, cfg.now, consumers...)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	return pocketStream{stream}, nil
}

// pocketStream is the stream of a table in the pocket DynamoDB.
type pocketStream struct{ *dynamocloud.Stream }

// Read implements feed.Source.
func (s pocketStream) Read(ctx context.Context, after uint64, limit int) ([]feed.Record, error) {
	changes, err := s.Stream.Read(ctx, after, limit)
	records := make([]feed.Record, len(changes))
	for i, c := range changes {
		records[i] = feed.Record{
			Sequence: c.Sequence, At: c.At, Kind: feed.Kind(c.Kind), Expired: c.Expired, Keys: c.Keys, NewImage: c.New, Size: c.Size,
		}
	}
	return records, err
}
