package fleet_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-lambda-go/lambda/messages"
	"github.com/google/go-cmp/cmp"

	"latchkey/local/fleet"
	"latchkey/shared/atlas"
)

// function is the operator's, with answers by payload.
type function map[string]any

func (f function) Invoke(_ context.Context, payload []byte) ([]byte, error) {
	switch answer := f[string(payload)].(type) {
	case string:
		return []byte(answer), nil
	case error:
		return nil, answer
	}
	return nil, fmt.Errorf("unexpected payload %s", payload)
}

func TestOperator_listsAllPages(t *testing.T) {
	t.Parallel()
	got, err := fleet.Operator{Function: function{
		`{"operation":"listWaitingNodes"}`:             `{"created":false,"nodes":[{"nodeId":"a","shard":1,"port":27017}],"next":"x"}`,
		`{"after":"x","operation":"listWaitingNodes"}`: `{"created":false,"nodes":[{"nodeId":"b","clusterName":"c"}]}`,
	}}.Waiting(t.Context())
	want := []fleet.Waiting{{NodeID: "a", Shard: 1, Port: 27017}, {NodeID: "b", ClusterName: "c"}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Error(diff, err)
	}
}

func TestOperator_tellsNodesThatAreGone(t *testing.T) {
	t.Parallel()
	const request = `{"clusterId":"c","nodeId":"n","operation":"issueNodeToken"}`
	gone := atlas.Fail(atlas.NodeNotFound, "n")
	for name, c := range map[string]struct {
		answer any
		token  string
		gone   bool
	}{
		"token":                   {`{"token":"t","expires":"2026-01-02T03:04:05Z"}`, "t", false},
		"gone, in process":        {gone, "", true},
		"gone, in another":        {messages.InvokeResponse_Error{Type: "Error", Message: gone.Error()}, "", true},
		"fails for now":           {atlas.Fail(atlas.ServiceUnavailable), "", false},
		"fails, in another":       {messages.InvokeResponse_Error{Type: "Sandbox.Timedout", Message: "it took too long"}, "", false},
		"answers what it may not": {`]`, "", false},
	} {
		token, err := fleet.Operator{Function: function{request: c.answer}}.IssueToken(t.Context(), "c", "n")
		if token != c.token || errors.Is(err, fleet.ErrGone) != c.gone || (err == nil) != (c.token != "") {
			t.Errorf("%s: %q, %v", name, token, err)
		}
	}
}
