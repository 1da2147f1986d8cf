package fleet

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/aws/aws-lambda-go/lambda/messages"

	"latchkey/shared/atlas"
)

// Invoker invokes a function.
type Invoker interface {
	Invoke(ctx context.Context, payload []byte) ([]byte, error)
}

// Operator is a Provisioner that invokes the operator's function, as provisioning outside does.
type Operator struct{ Function Invoker }

var _ Provisioner = Operator{}

// Waiting implements Provisioner.
func (o Operator) Waiting(ctx context.Context) ([]Waiting, error) {
	var all []Waiting
	request := map[string]string{"operation": "listWaitingNodes"}
	for {
		var answer struct {
			Nodes []Waiting `json:"nodes"`
			Next  string    `json:"next"`
		}
		if err := o.invoke(ctx, request, &answer); err != nil {
			return nil, err
		}
		all = append(all, answer.Nodes...)
		if answer.Next == "" {
			return all, nil
		}
		request["after"] = answer.Next
	}
}

// IssueToken implements Provisioner.
func (o Operator) IssueToken(ctx context.Context, clusterID, nodeID string) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	request := map[string]string{"operation": "issueNodeToken", "clusterId": clusterID, "nodeId": nodeID}
	err := o.invoke(ctx, request, &answer)
	if err != nil && codeOf(err) == atlas.NodeNotFound {
		return "", fmt.Errorf("%w: %w", ErrGone, err)
	}
	return answer.Token, err
}

// codeOf is the code of a function's failure: of a value in this process, and of a message from
// another.
func codeOf(err error) atlas.Code {
	if failed, ok := errors.AsType[messages.InvokeResponse_Error](err); ok {
		code, _, _ := strings.Cut(failed.Message, ":")
		return atlas.Code(code)
	}
	return atlas.CodeOf(err)
}

func (o Operator) invoke(ctx context.Context, request map[string]string, answer any) error {
	payload, err := json.Marshal(request)
	if err != nil {
		return err
	}
	raw, err := o.Function.Invoke(ctx, payload)
	if err != nil {
		return fmt.Errorf("fleet: %s: %w", request["operation"], err)
	}
	if err := json.Unmarshal(raw, answer); err != nil {
		return fmt.Errorf("fleet: %s: %w", request["operation"], err)
	}
	return nil
}
