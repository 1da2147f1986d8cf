package template_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/template"
)

// streams is a template with a table whose stream shows what a view does, and a mapping with properties.
func streams(t *testing.T, view, properties string) *template.Template {
	t.Helper()
	tmpl, err := template.Parse([]byte(`Resources:
  M: {Type: AWS::Lambda::EventSourceMapping, Properties: {`+properties+`}}
  Other: {Type: AWS::DynamoDB::Table}
  Table: {Type: AWS::DynamoDB::Table, Properties: {`+view+`}}
  Queue: {Type: AWS::SQS::Queue}
  AFunction: {Type: AWS::Serverless::Function}
`), template.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return tmpl
}

const (
	newImages = "StreamSpecification: {StreamViewType: NEW_IMAGE}"
	mapped    = "FunctionName: !Ref AFunction, EventSourceArn: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON"
)

func TestEventSources_areReadAsTheyAreDeployed(t *testing.T) {
	tests := map[string]struct {
		properties string
		want       template.EventSource
	}{
		"with what Lambda does unless it is told otherwise": {
			"", template.EventSource{Enabled: true, BatchSize: 100, Lanes: 1, MaxAge: -1, MaxRetries: -1},
		},
		"with everything": {
			`, Enabled: false, BatchSize: 25, MaximumBatchingWindowInSeconds: 2, ParallelizationFactor: 10, BisectBatchOnFunctionError: true,
			FunctionResponseTypes: [ReportBatchItemFailures], MaximumRecordAgeInSeconds: 3600, MaximumRetryAttempts: 7,
			FilterCriteria: {Filters: [{Pattern: '{"a":[1]}'}, {Pattern: '{"a":[2]}'}]},
			DestinationConfig: {OnFailure: {Destination: !GetAtt Queue.Arn}}`,
			template.EventSource{
				BatchSize: 25, Window: 2 * time.Second, Lanes: 10, Bisect: true, Partial: true, MaxAge: time.Hour, MaxRetries: 7,
				Patterns: []string{`{"a":[1]}`, `{"a":[2]}`}, OnFailure: "arn:aws:sqs:us-east-1:123456789012:Queue",
			},
		},
		"that never give up, and one that tries once": {
			", MaximumRecordAgeInSeconds: -1, MaximumRetryAttempts: 0",
			template.EventSource{Enabled: true, BatchSize: 100, Lanes: 1, MaxAge: -1, MaxRetries: 0},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			sources, err := streams(t, newImages, mapped+tt.properties).EventSources()
			if err != nil || len(sources) != 1 {
				t.Fatal(sources, err)
			}
			got := sources[0]
			if !strings.HasPrefix(got.StreamARN, "arn:aws:dynamodb:us-east-1:123456789012:table/Table/stream/") || got.Line != 2 {
				t.Errorf("it is of the stream %s, in line %d", got.StreamARN, got.Line)
			}
			tt.want.ID, tt.want.Function, tt.want.Table, tt.want.StreamARN, tt.want.Line = "M", "AFunction", "Table", got.StreamARN, 2
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEventSources_thatWouldRunOtherwiseHereAreRefusedWithTheirLine(t *testing.T) {
	const source = "EventSourceArn: !GetAtt Table.StreamArn, StartingPosition: TRIM_HORIZON"
	tests := map[string]struct{ view, properties, want string }{
		"a property that is not known": {newImages, mapped + ", TumblingWindowInSeconds: 1", `unknown field "TumblingWindowInSeconds"`},
		"only what comes from now on":  {newImages, strings.Replace(mapped, "TRIM_HORIZON", "LATEST", 1), `the StartingPosition "LATEST"`},
		"no start":                     {newImages, strings.Replace(mapped, ", StartingPosition: TRIM_HORIZON", "", 1), `the StartingPosition ""`},
		"another answer":               {newImages, mapped + ", FunctionResponseTypes: [Other]", "there is ReportBatchItemFailures only"},
		"no batches":                   {newImages, mapped + ", BatchSize: 0", "a BatchSize is 1 to 10000"},
		"large batches":                {newImages, mapped + ", BatchSize: 10001", "a BatchSize is 1 to 10000"},
		"a window without end":         {newImages, mapped + ", MaximumBatchingWindowInSeconds: 301", "is 0 to 300"},
		"a window that is over":        {newImages, mapped + ", MaximumBatchingWindowInSeconds: -1", "is 0 to 300"},
		"no lanes":                     {newImages, mapped + ", ParallelizationFactor: 0", "a ParallelizationFactor is 1 to 10"},
		"many lanes":                   {newImages, mapped + ", ParallelizationFactor: 11", "a ParallelizationFactor is 1 to 10"},
		"fewer retries than none":      {newImages, mapped + ", MaximumRetryAttempts: -2", "MaximumRetryAttempts is -1 to 10000"},
		"many retries":                 {newImages, mapped + ", MaximumRetryAttempts: 10001", "MaximumRetryAttempts is -1 to 10000"},
		"a short age":                  {newImages, mapped + ", MaximumRecordAgeInSeconds: 59", "MaximumRecordAgeInSeconds is -1, or 60 to 604800"},
		"a long age":                   {newImages, mapped + ", MaximumRecordAgeInSeconds: 604801", "MaximumRecordAgeInSeconds is -1, or 60 to 604800"},
		"no function":                  {newImages, "FunctionName: Nobody, " + source, "there is no function Nobody"},
		"no stream":                    {"", mapped, "the stream of Table is not known here"},
		"another view":                 {"StreamSpecification: {StreamViewType: KEYS_ONLY}", mapped, "the stream of Table is not known here"},
		"something else than a stream": {newImages, strings.Replace(mapped, "!GetAtt Table.StreamArn", "!GetAtt Queue.Arn", 1), "is not the stream of a table"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := streams(t, tt.view, tt.properties).EventSources()
			if err == nil || !strings.HasPrefix(err.Error(), "template: line 2: M: ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want …%s…", err, tt.want)
			}
		})
	}
}
