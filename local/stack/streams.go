package stack

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"latchkey/local/feed"
	"latchkey/local/lambdasvc"
	"latchkey/local/template"
)

// MappingsConfig says what EventSourceMappings connects. All fields are required.
type MappingsConfig struct {
	Template  *template.Template
	Functions []lambdasvc.Function
	// Stream is the stream of a table, kept from now on for consumers, which are all that there are.
	Stream func(table string, consumers []string) (feed.Source, error)
	Clouds *Clouds // which have the queues of what could not be handled
	Now    func() time.Time
	Log    *slog.Logger
}

// EventSourceMappings makes the enabled event source mappings of the template, to be run. Nothing may have
// been written before that a function is to hear of.
func EventSourceMappings(cfg MappingsConfig) ([]*feed.Mapping, error) {
	all, err := cfg.Template.EventSources()
	if err != nil {
		return nil, err
	}
	var tables []string
	consumers := map[string][]string{}
	enabled := slices.DeleteFunc(all, func(e template.EventSource) bool { return !e.Enabled })
	for _, e := range enabled {
		if consumers[e.Table] == nil {
			tables = append(tables, e.Table)
		}
		consumers[e.Table] = append(consumers[e.Table], e.ID)
	}
	var mappings []*feed.Mapping
	for _, table := range tables {
		source, err := cfg.Stream(table, consumers[table])
		if err != nil {
			return nil, err
		}
		for _, e := range enabled {
			if e.Table != table {
				continue
			}
			m, err := cfg.mapping(e, source)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", e.ID, err)
			}
			mappings = append(mappings, m)
		}
	}
	return mappings, nil
}

func (cfg MappingsConfig) mapping(e template.EventSource, source feed.Source) (*feed.Mapping, error) {
	i := slices.IndexFunc(cfg.Functions, func(f lambdasvc.Function) bool { return f.ID == e.Function })
	if i < 0 {
		return nil, fmt.Errorf("there is no function %s", e.Function)
	}
	if e.OnFailure != "" {
		if err := cfg.Clouds.Messages.EnsureQueue(e.OnFailure); err != nil {
			return nil, err
		}
	}
	return feed.New(feed.Config{
		Mapping: e, Source: source, Function: cfg.Functions[i], FunctionARN: cfg.Functions[i].ARN, Queues: queues{cfg.Clouds},
		Now: cfg.Now, Log: cfg.Log,
	})
}

// queues sends to the pocket SQS, as Lambda itself does.
type queues struct{ clouds *Clouds }

// Send implements feed.Queues.
func (q queues) Send(ctx context.Context, queueARN string, body []byte) error {
	account, name := OperatorAccount, queueARN[strings.LastIndexByte(queueARN, ':')+1:]
	url, text := "https://sqs."+Region+".amazonaws.com/"+account+"/"+name, string(body)
	_, err := sqs.NewFromConfig(q.clouds.Operator()).SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &url, MessageBody: &text})
	return err
}
