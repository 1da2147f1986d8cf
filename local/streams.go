package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/local/feed"
	"latchkey/local/lambdasvc"
	"latchkey/local/pocket/dynamocloud"
	"latchkey/local/template"
	"latchkey/shared/store/bolt"
)

// What the suite tells people and operators through, as a template is deployed here that nobody gave
// other parameters for.
const (
	mailFrom   = "alerts@latchkey.example"
	alertTopic = "arn:aws:sns:" + deployedRegion + ":" + operatorAccount + ":latchkey-alerts"
	eventBus   = "latchkey"
)

// told are the parameters of the template that have people told, in the pocket clouds.
func told() map[string]string {
	return map[string]string{"MailFrom": mailFrom, "AlertTopicArn": alertTopic, "EventBusName": eventBus, "SmsNotifications": "true"}
}

// openStreams makes the event source mappings of the template. Nothing may have been written before that
// a function is to hear of.
func (s *suite) openStreams(cfg config, d *deployment, log *slog.Logger) error {
	all, err := d.template.EventSources()
	if err != nil {
		return err
	}
	enabled := slices.DeleteFunc(all, func(e template.EventSource) bool { return !e.Enabled })
	for table, mappings := range byTable(enabled) {
		var consumers []string
		for _, m := range mappings {
			consumers = append(consumers, m.ID)
		}
		source, err := s.stream(cfg, d, table, consumers)
		if err != nil {
			return err
		}
		for _, m := range mappings {
			if err := s.openMapping(cfg, d, m, source, log); err != nil {
				return err
			}
		}
	}
	return nil
}

func byTable(mappings []template.EventSource) map[string][]template.EventSource {
	tables := map[string][]template.EventSource{}
	for _, m := range mappings {
		tables[m.Table] = append(tables[m.Table], m)
	}
	return tables
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
	stream, err := d.clouds.tables.Subscribe(operatorAccount, deployedRegion, table, cfg.now, consumers...)
	if err != nil {
		return nil, fmt.Errorf("-data: %w", err)
	}
	return pocketStream{stream}, nil
}

func (s *suite) openMapping(cfg config, d *deployment, e template.EventSource, source feed.Source, log *slog.Logger) error {
	i := slices.IndexFunc(d.functions, func(f lambdasvc.Function) bool { return f.ID == e.Function })
	if i < 0 {
		return fmt.Errorf("%s: there is no function %s", e.ID, e.Function)
	}
	if e.OnFailure != "" {
		if err := d.clouds.messages.EnsureQueue(e.OnFailure); err != nil {
			return fmt.Errorf("%s: %w", e.ID, err)
		}
	}
	mapping, err := feed.New(feed.Config{
		Mapping: e, Source: source, Function: d.functions[i], FunctionARN: d.functions[i].ARN, Queues: queues{d.clouds}, Now: cfg.now, Log: log,
	})
	if err != nil {
		return err
	}
	s.background = append(s.background, mapping.Run)
	return nil
}

// queues sends to the pocket SQS.
type queues struct{ clouds *clouds }

// Send implements feed.Queues.
func (q queues) Send(ctx context.Context, queueARN string, body []byte) error {
	account, name := operatorAccount, queueARN[strings.LastIndexByte(queueARN, ':')+1:]
	url, text := "https://sqs."+deployedRegion+".amazonaws.com/"+account+"/"+name, string(body)
	_, err := sqs.NewFromConfig(q.clouds.operator()).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text})
	return err
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
