package messagecloud

import (
	"encoding/json"
	"fmt"
	"strings"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
)

// events is EventBridge with buses without rules. Every bus of an account exists.
func (o *Office) events(cloud *awscloud.Cloud) pocket.Service {
	return cloud.Serve(awscloud.JSONService{
		Name: "events", Target: "AWSEvents", ContentType: "application/x-amz-json-1.1", Perform: o.putEvents,
		Throttled: throttled, Broken: awscloud.Failure{Code: "InternalException", Message: broken.Message, Status: broken.Status},
	})
}

type busEntry struct {
	Time         *json.Number
	Source       string
	Resources    []string
	DetailType   string
	Detail       string
	EventBusName string
	TraceHeader  string
}

type putEventsIn struct{ Entries []busEntry }

// The limits of PutEvents.
const (
	maxEntries = 10
	maxEntry   = 256 << 10
)

// busResult is how one entry ended: with an id, or with a code.
type busResult struct {
	EventId      string `json:",omitempty"` //nolint:revive // AWS's spelling
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

func (o *Office) putEvents(r *awscloud.Request) (any, error) {
	if r.Operation != "PutEvents" {
		return nil, unknown(r)
	}
	var in putEventsIn
	if err := r.Decode(&in); err != nil {
		return nil, err
	}
	size := 0
	for _, e := range in.Entries {
		size += e.size()
	}
	if n := len(in.Entries); n == 0 || n > maxEntries {
		return nil, invalidEvents("1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length between 1 and 10")
	}
	if size > maxEntry {
		return nil, invalidEvents("Total size of the entries in the request is over the limit.")
	}
	for _, e := range in.Entries {
		if err := r.Allow("PutEvents", busARN(r, e.EventBusName), map[string][]string{
			"events:source": {e.Source}, "events:detail-type": {e.DetailType},
		}); err != nil {
			return nil, err
		}
	}
	results, failed := make([]busResult, len(in.Entries)), 0
	for i, e := range in.Entries {
		results[i] = e.check()
		if results[i].ErrorCode != "" {
			failed++
			continue
		}
		m, err := o.accept(e.message(r))
		if err != nil {
			return nil, err
		}
		results[i].EventId = m.ID
	}
	return map[string]any{"FailedEntryCount": failed, "Entries": results}, nil
}

func invalidEvents(message string) error {
	return &awscloud.Failure{Code: "ValidationException", Message: message}
}

// busARN is the ARN of a bus that is named by it or by its name; "" is the account's own bus.
func busARN(r *awscloud.Request, bus string) string {
	switch {
	case bus == "":
		bus = "default"
	case strings.HasPrefix(bus, "arn:"):
		return bus
	}
	return r.ARN("event-bus/" + bus)
}

// size is an entry's as PutEvents counts it.
func (e busEntry) size() int {
	n := len(e.Source) + len(e.DetailType) + len(e.Detail)
	if e.Time != nil {
		n += 14
	}
	for _, resource := range e.Resources {
		n += len(resource)
	}
	return n
}

func (e busEntry) check() busResult {
	var object map[string]json.RawMessage
	switch {
	case e.Source == "" || e.DetailType == "" || e.Detail == "":
		return busResult{ErrorCode: "InvalidArgument", ErrorMessage: "Parameter Source, DetailType or Detail is not valid. Reason: it is a required argument."}
	case strings.HasPrefix(e.Source, "aws."):
		return busResult{ErrorCode: "NotAuthorizedForSourceException", ErrorMessage: "Not authorized for the source."}
	case json.Unmarshal([]byte(e.Detail), &object) != nil:
		return busResult{ErrorCode: "MalformedDetail", ErrorMessage: "Detail is malformed."}
	}
	return busResult{}
}

func (e busEntry) message(r *awscloud.Request) Message {
	m := Message{
		Kind: Bus, At: r.Now, From: e.Source, To: []string{busARN(r, e.EventBusName)}, Subject: e.DetailType, Text: e.Detail,
		Headers: map[string]string{},
	}
	if e.Time != nil {
		m.Headers["time"] = e.Time.String()
	}
	for i, resource := range e.Resources {
		m.Headers[fmt.Sprintf("resource-%d", i+1)] = resource
	}
	return m
}
