package console

import (
	"slices"
	"strconv"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/workflow"
)

const workflowsPath = activityPath + "/workflows"

// workflowWire is a workflow as the API shows it.
type workflowWire struct {
	Kind       workflow.Kind   `json:"kind"`
	Execution  string          `json:"execution"`
	Attempt    *int            `json:"attempt"`
	Status     workflow.Status `json:"status"`
	Provider   atlas.Provider  `json:"cloudProvider"`
	Cluster    string          `json:"clusterName"`
	EndpointID string          `json:"endpointId"`
	BeganAt    *string         `json:"beganAt"`
	StartedAt  *string         `json:"startedAt"`
	StoppedAt  *string         `json:"stoppedAt"`
	WaitsFor   *string         `json:"waitsFor"`
	Error      *string         `json:"error"`
	Steps      []workflowStep  `json:"steps"`
	IsCut      bool            `json:"olderStepsOmitted"`
}

type workflowStep struct {
	State     string  `json:"state"`
	EnteredAt string  `json:"enteredAt"`
	ExitedAt  *string `json:"exitedAt"`
	Attempts  int     `json:"attempts"`
	Error     *string `json:"error"`
}

// workflowsView is what runs, and what has ended lately.
type workflowsView struct {
	GroupID string
	Running []workflowView
	Ended   []workflowView
	Pager   Pager
	Again   string // path that is read again; "" while nothing runs
}

// workflowView is a workflow in words.
type workflowView struct {
	Execution string
	Title     string
	Badge     Badge
	About     about
	Wait      string
	Attempt   string
	BeganAt   *string
	StoppedAt *string
	Error     string
	Now       string // the step that it is in
	Steps     []stepView
	IsCut     bool
}

// stepView is a step in words.
type stepView struct {
	workflowStep
	Took  string
	IsNow bool
	Tried string
}

// mostWorkflows is how many the API has in a page.
const mostWorkflows = 20

func loadWorkflows(v *Visit) (any, error) {
	pager := v.Pager()
	pager.PageSize, pager.Path, pager.Query = mostWorkflows, v.Page("activity", "workflows"), nil
	var page atlas.Page[workflowWire]
	if err := v.API.Get(v.Context(), v.OwnGroup("workflows"), pager.Of(), &page); err != nil {
		return nil, err
	}
	view := workflowsView{GroupID: v.GroupID(), Pager: pager.Counted(page.TotalCount)}
	for _, w := range page.Results {
		if w.isOver() {
			view.Ended = append(view.Ended, v.workflowView(w))
		} else {
			view.Running = append(view.Running, v.workflowView(w))
		}
	}
	if len(view.Running) > 0 {
		view.Again = v.Page("activity", "workflows", "state") + "?page=" + strconv.Itoa(pager.Number)
	}
	return view, nil
}

// isOver reports whether an execution has come to its end.
func (w workflowWire) isOver() bool {
	return slices.Contains([]workflow.Status{workflow.Succeeded, workflow.Failed, workflow.TimedOut, workflow.Aborted}, w.Status)
}

var workflowTitles = map[workflow.Kind]string{
	workflow.SwitchRole:        "Change how a key is reached",
	workflow.RotateKey:         "Use another key",
	workflow.ReconfigureRegion: "Move a key to another Region",
	workflow.PrivateEndpoint:   "Make or remove a private endpoint",
	workflow.EncryptCluster:    "Change a cluster's nodes",
	workflow.RotateMasterKeys:  "Rotate the nodes' master keys",
	workflow.EnforceValidity:   "Stop or start nodes as their key demands",
}

// workflowBadge is a status in words.
func workflowBadge(s workflow.Status) Badge {
	switch s {
	case workflow.Running:
		return Badge{Busy, "Running"}
	case workflow.Succeeded:
		return Badge{Good, "Ended as it should"}
	case workflow.Failed:
		return Badge{Bad, "Failed"}
	case workflow.TimedOut:
		return Badge{Bad, "Took too long"}
	case workflow.Aborted:
		return Badge{Bad, "Was aborted"}
	case workflow.PendingRedrive:
		return Badge{Busy, "Is taken up again"}
	case workflow.NotStarted:
		return Badge{Busy, "About to start"}
	case workflow.Unknown:
	}
	return Badge{Neutral, "Not known right now"}
}

var workflowWaits = map[string]string{
	"KEY":   "It waits for the key: it goes on once the key can be used.",
	"NODES": "It waits for nodes to do their part.",
	"CLOUD": "It waits for the provider, which makes or removes the endpoint. At Azure you have to approve it.",
}

func (v *Visit) workflowView(w workflowWire) workflowView {
	view := workflowView{
		Execution: w.Execution, Title: or(workflowTitles[w.Kind], inWords(string(w.Kind))), Badge: workflowBadge(w.Status), Wait: workflowWaits[text(w.WaitsFor)],
		BeganAt: w.BeganAt, StoppedAt: w.StoppedAt, Error: text(w.Error), IsCut: w.IsCut, About: v.aboutWorkflow(w),
	}
	if w.Attempt != nil && *w.Attempt > 1 {
		view.Attempt = "execution " + strconv.Itoa(*w.Attempt) + " of this work"
	}
	for i, s := range slices.Backward(w.Steps) {
		step := stepView{workflowStep: s, IsNow: s.ExitedAt == nil && i == len(w.Steps)-1 && !w.isOver()}
		if s.ExitedAt != nil {
			step.Took = took(instant(*s.ExitedAt).Sub(instant(s.EnteredAt)))
		}
		if s.Attempts > 0 {
			step.Tried = count(s.Attempts, "attempt")
		}
		if step.IsNow {
			view.Now = s.State
		}
		view.Steps = append(view.Steps, step)
	}
	return view
}

func (v *Visit) aboutWorkflow(w workflowWire) about {
	switch {
	case w.EndpointID != "":
		return about{"Private endpoints of " + ProviderName(w.Provider), v.Page("advanced", string(w.Provider), "endpoints")}
	case w.Cluster != "":
		return v.aboutCluster(w.Cluster)
	case w.Provider != "":
		return v.aboutKey(w.Provider)
	}
	return about{"Maintenance", v.Page("maintenance")}
}

// took is how long something lasted.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return "less than a second"
	case d < 2*time.Minute:
		return count(int(d.Seconds()), "second")
	case d < 2*time.Hour:
		return count(int(d.Minutes()), "minute")
	}
	return count(int(d.Hours()), "hour")
}
