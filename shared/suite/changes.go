package suite

import (
	"context"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

// Changes starts the workflows that finish changes of keys.
type Changes struct{ Start Starter }

var _ encryption.Changeovers = Changes{}

// StartChangeover implements encryption.Changeovers.
func (s Changes) StartChangeover(ctx context.Context, c encryption.Changeover) error {
	return s.Start.Start(ctx, changeExecution(c))
}

// ChangeExecutions knows also which of these workflows have ended.
type ChangeExecutions struct{ Executions Executions }

var _ changeover.Executions = ChangeExecutions{}

// StartChangeover implements encryption.Changeovers.
func (s ChangeExecutions) StartChangeover(ctx context.Context, c encryption.Changeover) error {
	return s.Executions.Start(ctx, changeExecution(c))
}

// EnsureChangeover implements changeover.Executions.
func (s ChangeExecutions) EnsureChangeover(ctx context.Context, c encryption.Changeover) (ended bool, err error) {
	return s.Executions.Ensure(ctx, changeExecution(c))
}

// changeInput is what the workflow is told of a change.
type changeInput struct {
	GroupID  string         `json:"groupId"`
	Provider atlas.Provider `json:"provider"`
	Revision int64          `json:"revision"`
	Attempt  int64          `json:"attempt"`
}

func changeExecution(c encryption.Changeover) workflow.Execution {
	return workflow.Execution{
		Kind: c.Kind, GroupID: c.GroupID, Subject: string(c.Provider), Version: []int64{c.Revision, c.Attempt},
		Input: changeInput{GroupID: c.GroupID, Provider: c.Provider, Revision: c.Revision, Attempt: c.Attempt},
	}
}

// ChangeDeps are what carrying out changes of keys needs. All fields are required.
type ChangeDeps struct {
	Table    store.Table
	Settings *encryption.Service
	Clusters *cluster.Service
	Start    Executions
	Now      func() time.Time
}

// Changeover assembles the service that carries out changes of keys.
func Changeover(d ChangeDeps) *changeover.Service {
	return &changeover.Service{Table: d.Table, Settings: d.Settings, Nodes: d.Clusters, Executions: ChangeExecutions{d.Start}, Now: d.Now}
}
