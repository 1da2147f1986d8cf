package suite

import (
	"context"
	"time"

	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

// MasterKeyDeps are what the rotation of master keys needs. Fields without a comment are required.
type MasterKeyDeps struct {
	Table   store.Table
	Journal audit.Journal
	Start   Executions // only who rotates needs it
	Now     func() time.Time
}

// MasterKeys assembles the service that has master keys rotated. It uses no customer key.
func MasterKeys(d MasterKeyDeps) *masterkey.Service {
	return &masterkey.Service{
		Table: d.Table, Journal: d.Journal, Nodes: &cluster.Service{Table: d.Table}, Settings: &encryption.Service{Table: d.Table},
		Windows:    Maintenance(AlertDeps{Table: d.Table, Journal: d.Journal, Now: d.Now}),
		Executions: RotationExecutions{d.Start}, Now: d.Now,
	}
}

// RotationExecutions starts the workflows of rotations, and knows which have ended.
type RotationExecutions struct{ Executions Executions }

var _ masterkey.Executions = RotationExecutions{}

// StartRotation implements masterkey.Executions.
func (x RotationExecutions) StartRotation(ctx context.Context, r masterkey.Rotation) error {
	return x.Executions.Start(ctx, rotationExecution(r))
}

// EnsureRotation implements masterkey.Executions.
func (x RotationExecutions) EnsureRotation(ctx context.Context, r masterkey.Rotation) (ended bool, err error) {
	return x.Executions.Ensure(ctx, rotationExecution(r))
}

// rotationInput is what the workflow is told of a rotation.
type rotationInput struct {
	GroupID string `json:"groupId"`
	Number  int64  `json:"number"`
	Attempt int64  `json:"attempt"`
}

func rotationExecution(r masterkey.Rotation) workflow.Execution {
	return workflow.Execution{
		Kind: workflow.RotateMasterKeys, GroupID: r.GroupID, Subject: "nodes", Version: []int64{r.Number, r.Attempt},
		Input: rotationInput{GroupID: r.GroupID, Number: r.Number, Attempt: r.Attempt},
	}
}
