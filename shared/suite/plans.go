package suite

import (
	"context"

	"latchkey/shared/cluster"
	"latchkey/shared/workflow"
)

// Executions starts workflows and knows which have ended; awssfn.Starter is the one in use.
type Executions interface {
	Starter
	// Ensure starts an execution, unless one was started before under the same name, and reports
	// whether that one has ended.
	Ensure(ctx context.Context, x workflow.Execution) (ended bool, err error)
}

// Plans starts the workflow that carries out a cluster's plan.
type Plans struct{ Start Starter }

var _ cluster.Starter = Plans{}

// StartPlan implements cluster.Starter.
func (p Plans) StartPlan(ctx context.Context, plan cluster.Plan) error {
	return p.Start.Start(ctx, planExecution(plan))
}

// PlanExecutions tells also whether the workflow of a plan has ended.
type PlanExecutions struct{ Executions Executions }

var _ cluster.Executions = PlanExecutions{}

// EnsurePlan implements cluster.Executions.
func (p PlanExecutions) EnsurePlan(ctx context.Context, plan cluster.Plan) (ended bool, err error) {
	return p.Executions.Ensure(ctx, planExecution(plan))
}

// planInput is what the workflow is told of a plan.
type planInput struct {
	ClusterID string `json:"clusterId"`
	GroupID   string `json:"groupId"`
	Revision  int64  `json:"revision"`
	Attempt   int64  `json:"attempt"`
}

func planExecution(plan cluster.Plan) workflow.Execution {
	return workflow.Execution{
		Kind: workflow.EncryptCluster, GroupID: plan.GroupID, Subject: plan.ClusterID,
		Version: []int64{plan.Spec.Revision, plan.Attempt},
		Input: planInput{
			ClusterID: plan.ClusterID, GroupID: plan.GroupID, Revision: plan.Spec.Revision, Attempt: plan.Attempt,
		},
	}
}
