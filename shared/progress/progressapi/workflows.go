package progressapi

import (
	"context"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/progress"
	"latchkey/shared/workflow"
)

// Workflows tells of workflows; progress.Workflows is the one in use.
type Workflows interface {
	Find(ctx context.Context, groupID string) ([]progress.Workflow, error)
	Read(ctx context.Context, found []progress.Workflow) []progress.Workflow
}

// maxWorkflows bounds a page: each workflow costs calls of a quota that all tenants share.
const maxWorkflows = 20

// workflowView is a workflow. A member without a value is null.
type workflowView struct {
	Kind        workflow.Kind   `json:"kind"`
	Execution   string          `json:"execution"`
	Attempt     *int64          `json:"attempt"`
	Status      workflow.Status `json:"status"`
	Provider    *atlas.Provider `json:"cloudProvider"`
	ClusterID   *string         `json:"clusterId"`
	ClusterName *string         `json:"clusterName"`
	EndpointID  *string         `json:"endpointId"`
	// BeganAt is when the work began; StartedAt and StoppedAt are the execution's.
	BeganAt   *string        `json:"beganAt"`
	StartedAt *string        `json:"startedAt"`
	StoppedAt *string        `json:"stoppedAt"`
	WaitsFor  *progress.Wait `json:"waitsFor"`
	Error     *string        `json:"error"`
	Steps     []stepView     `json:"steps"`
	IsCut     bool           `json:"olderStepsOmitted"`
}

type stepView struct {
	State     string  `json:"state"`
	EnteredAt string  `json:"enteredAt"`
	ExitedAt  *string `json:"exitedAt"`
	Attempts  int     `json:"attempts"`
	Error     *string `json:"error"`
}

// listWorkflows asks about no more executions than the page shows.
func (a API) listWorkflows(ctx context.Context, r *httpapi.Request) (httpapi.Response, error) {
	w, err := r.Window()
	if err != nil {
		return httpapi.Response{}, err
	}
	w.Size = min(w.Size, maxWorkflows)
	found, err := a.Workflows.Find(ctx, r.GroupID())
	if err != nil {
		return httpapi.Response{}, err
	}
	shown, more := httpapi.Cut(w, found)
	views := []workflowView{}
	for _, f := range a.Workflows.Read(ctx, shown) {
		v, err := viewWorkflow(f)
		if err != nil {
			return httpapi.Response{}, err
		}
		views = append(views, v)
	}
	return httpapi.PageOf(r, w, views, len(found), more), nil
}

func viewWorkflow(f progress.Workflow) (workflowView, error) {
	name, err := f.Execution.Name()
	v := workflowView{
		Kind: f.Execution.Kind, Execution: name, Status: f.Run.Status, Provider: optional(f.Provider), ClusterID: optional(f.ClusterID),
		ClusterName: optional(f.ClusterName), EndpointID: optional(f.EndpointID), BeganAt: optionalTime(f.Began),
		StartedAt: optionalTime(f.Run.Started), StoppedAt: optionalTime(f.Run.Stopped), WaitsFor: optional(f.Wait),
		Error: optional(f.Run.Error), Steps: []stepView{}, IsCut: f.Run.IsCut,
	}
	if f.Attempt > 0 {
		v.Attempt = &f.Attempt
	}
	for _, s := range f.Run.Steps {
		v.Steps = append(v.Steps, stepView{
			State: s.State, EnteredAt: atlas.Time(s.Entered), ExitedAt: optionalTime(s.Exited), Attempts: s.Attempts, Error: optional(s.Error),
		})
	}
	return v, err
}
