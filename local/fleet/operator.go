package fleet

import (
	"context"
	"encoding/json"
	"fmt"

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
	var answer struct {
		Nodes []Waiting `json:"nodes"`
	}
	err := o.invoke(ctx, map[string]string{"operation": "listWaitingNodes"}, &answer)
	return answer.Nodes, err
}

// IssueToken implements Provisioner.
func (o Operator) IssueToken(ctx context.Context, clusterID, nodeID string) (string, error) {
	var answer struct {
		Token string `json:"token"`
	}
	request := map[string]string{"operation": "issueNodeToken", "clusterId": clusterID, "nodeId": nodeID}
	err := o.invoke(ctx, request, &answer)
	if atlas.AsError(err).Code == atlas.NodeNotFound {
		return "", fmt.Errorf("%w: %w", ErrGone, err)
	}
	return answer.Token, err
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
