package latchkey_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/store/keys"
)

// mapping is what the tests read of an AWS::Lambda::EventSourceMapping.
type mapping struct {
	FunctionName, EventSourceArn, StartingPosition  string
	Enabled                                         *bool
	BisectBatchOnFunctionError                      bool
	MaximumRecordAgeInSeconds, MaximumRetryAttempts int
	FunctionResponseTypes                           []string
	FilterCriteria                                  struct{ Filters []struct{ Pattern string } }
	DestinationConfig                               struct{ OnFailure struct{ Destination string } }
}

// pattern is a filter for records of the stream.
type pattern struct {
	EventName []string `json:"eventName"`
	Change    struct {
		Keys map[string]struct {
			S []struct {
				Prefix string `json:"prefix"`
			}
		}
	} `json:"dynamodb"`
}

// What the stream brings are the kinds of items that the function handles, by the names that their keys
// have in the code. A shard has room for two readers.
func TestStreams_bringWhatIsHandled(t *testing.T) {
	tmpl, _, _ := load(t)
	mappings := tmpl.OfType("AWS::Lambda::EventSourceMapping")
	if len(mappings) > 2 {
		t.Errorf("%d readers of a stream", len(mappings))
	}
	var got []string
	for _, r := range mappings {
		var m mapping
		if err := r.Decode(&m); err != nil {
			t.Fatal(err)
		}
		isBounded := m.MaximumRecordAgeInSeconds > 0 && m.MaximumRetryAttempts > 0 && m.BisectBatchOnFunctionError && strings.HasSuffix(m.DestinationConfig.OnFailure.Destination, "NotifyDeadLetters")
		if !isBounded || !slices.Equal(m.FunctionResponseTypes, []string{"ReportBatchItemFailures"}) || m.FunctionName != "NotifyFunction" {
			t.Errorf("%s: %+v", r.ID, m)
		}
		for _, f := range m.FilterCriteria.Filters {
			var p pattern
			if err := json.Unmarshal([]byte(f.Pattern), &p); err != nil {
				t.Fatalf("%s: %v", r.ID, err)
			}
			if diff := cmp.Diff([]string{"INSERT"}, p.EventName); diff != "" {
				t.Errorf("%s: %s", r.ID, diff)
			}
			for name, key := range p.Change.Keys {
				got = append(got, name+" "+key.S[0].Prefix)
			}
		}
	}
	want := []string{"pk " + keys.EventPartition(""), "sk " + keys.MailPrefix, "sk " + keys.AlertNoticePrefix}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(got))); diff != "" {
		t.Errorf("handled (-) and brought (+):\n%s", diff)
	}
}

// Nobody listens by default, so the stream of events is not read.
func TestStreams_ofEventsIsOffWithoutABus(t *testing.T) {
	tmpl, _, _ := load(t)
	r, ok := tmpl.Resource("NotifyEventStream")
	var m mapping
	if err := r.Decode(&m); err != nil || !ok || m.Enabled == nil || *m.Enabled {
		t.Errorf("%+v, %v", m, err)
	}
}
