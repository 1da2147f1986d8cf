package progress

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/endpoint"
	"latchkey/shared/enforcement"
	"latchkey/shared/masterkey"
	"latchkey/shared/store"
	"latchkey/shared/workflow"
)

const (
	// remembered is for how long a workflow that has ended is told of.
	remembered = 24 * time.Hour
	// readTime bounds how long executions are asked about, and atATime how many at once: what does not
	// answer in time is told of without its steps.
	readTime = 5 * time.Second
	atATime  = 4
)

// Changes tells of the changes of a group's customer keys; encryption.Service is the one in use.
type Changes interface {
	Settings
	Changeover(ctx context.Context, groupID string, p atlas.Provider) (encryption.Changeover, error)
}

// Records lists the records of a group's clusters; cluster.Service is the one in use.
type Records interface {
	InGroup(ctx context.Context, orgID, groupID string) ([]cluster.Cluster, error)
}

// Endpoints lists the work on a group's private endpoints; endpoint.Network is the one in use.
type Endpoints interface {
	Works(ctx context.Context, groupID string) ([]endpoint.Work, error)
}

// Runs tells what an execution went through; awshistory.Reader is the one in use.
type Runs interface {
	// Read returns workflow.ErrNoExecution if there is none.
	Read(ctx context.Context, x workflow.Execution) (workflow.Run, error)
}

// Workflows finds a group's workflows. All fields but Runs are required; without it no status is known.
type Workflows struct {
	Table     store.Table
	Changes   Changes
	Records   Records
	Endpoints Endpoints
	Runs      Runs
	Now       func() time.Time
	Log       *slog.Logger
}

// Workflow is one that is under way, or that has ended lately.
type Workflow struct {
	Execution workflow.Execution
	// Provider, ClusterID with ClusterName, and EndpointID are what it is about, "" for what it is not.
	Provider    atlas.Provider
	ClusterID   string
	ClusterName string
	EndpointID  string

	// Began is when the work began, which may have taken several executions: Attempt counts them, 0 where they
	// are not counted.
	Began      time.Time
	Attempt    int64
	IsUnderWay bool
	Wait       Wait
	// MayBeAbsent: nothing that is stored tells whether it was started.
	MayBeAbsent bool

	Run workflow.Run
}

// Find lists a group's workflows that are under way and those that have ended within a day, as far as what is
// stored tells, newest first. Nothing lists the executions of a state machine: their names follow from the
// records. It asks nobody about them yet.
func (w *Workflows) Find(ctx context.Context, groupID string) ([]Workflow, error) {
	settings, err := w.Changes.Load(ctx, groupID)
	if err != nil {
		return nil, err
	}
	clusters, err := w.Records.InGroup(ctx, settings.OrgID, groupID)
	if err != nil {
		return nil, err
	}
	all := append(w.plans(clusters), w.enforcements(settings, clusters)...)
	for _, find := range []func(context.Context, string) ([]Workflow, error){w.changes, w.endpoints, w.rotation} {
		more, err := find(ctx, groupID)
		if err != nil {
			return nil, err
		}
		all = append(all, more...)
	}
	slices.SortStableFunc(all, func(a, b Workflow) int {
		if a.IsUnderWay != b.IsUnderWay {
			if a.IsUnderWay {
				return -1
			}
			return 1
		}
		return cmp.Or(b.Began.Compare(a.Began), cmp.Compare(a.Execution.Subject, b.Execution.Subject))
	})
	return all, nil
}

func (w *Workflows) isRecent(ended time.Time) bool { return w.Now().Sub(ended) < remembered }

func (w *Workflows) plans(clusters []cluster.Cluster) []Workflow {
	var all []Workflow
	for _, c := range clusters {
		if p := c.Plan; p != nil {
			f := Workflow{
				Execution: p.Execution(), ClusterID: c.ID, ClusterName: c.Name, Began: p.Started, Attempt: p.Attempt, IsUnderWay: true, Wait: ForNodes,
			}
			if c.Suspended() || !p.Blocked.IsZero() {
				f.Wait = ForKey
			}
			all = append(all, f)
		}
		if l := c.Last; l != nil && w.isRecent(l.Ended) {
			all = append(all, Workflow{Execution: l.Execution(c), ClusterID: c.ID, ClusterName: c.Name, Began: l.Started, Attempt: l.Attempt})
		}
	}
	return all
}

// enforcements are those of verdicts that are not older than a day, or while clusters are stopped: nodes may be
// told at any time then.
func (w *Workflows) enforcements(settings encryption.Settings, clusters []cluster.Cluster) []Workflow {
	isStopped := slices.ContainsFunc(clusters, func(c cluster.Cluster) bool { return c.Disabled != nil })
	var all []Workflow
	for _, p := range settings.Enabled() {
		since := settings.Key(p).Verdict.Since
		if len(clusters) == 0 || !w.isRecent(since) && !isStopped {
			continue
		}
		for _, x := range enforcement.Executions(settings, p, w.Now()) {
			all = append(all, Workflow{Execution: x, Provider: p, Began: since, MayBeAbsent: true})
		}
	}
	return all
}

func (w *Workflows) changes(ctx context.Context, groupID string) ([]Workflow, error) {
	var all []Workflow
	for _, p := range atlas.Providers() {
		c, err := w.Changes.Changeover(ctx, groupID, p)
		if err != nil {
			return nil, err
		}
		f := Workflow{Execution: c.Execution(), Provider: p, Began: c.Began, Attempt: c.Attempt, IsUnderWay: c.State == encryption.UnderWay}
		switch {
		case c.Kind == "" || !f.IsUnderWay && !w.isRecent(c.Ended):
			continue
		case f.IsUnderWay && !c.Blocked.IsZero():
			f.Wait = ForKey
		case f.IsUnderWay && c.NodesLeft > 0:
			f.Wait = ForNodes
		}
		all = append(all, f)
	}
	return all, nil
}

func (w *Workflows) endpoints(ctx context.Context, groupID string) ([]Workflow, error) {
	works, err := w.Endpoints.Works(ctx, groupID)
	var all []Workflow
	for _, e := range works {
		if !e.IsUnderWay && !w.isRecent(e.Since) {
			continue
		}
		f := Workflow{
			Execution: e.Execution, Provider: e.Provider, EndpointID: e.ID, Began: e.Since, Attempt: e.Attempt, IsUnderWay: e.IsUnderWay,
		}
		if f.IsUnderWay {
			f.Wait = ForCloud
		}
		all = append(all, f)
	}
	return all, err
}

func (w *Workflows) rotation(ctx context.Context, groupID string) ([]Workflow, error) {
	r, err := masterkey.Load(ctx, w.Table, groupID)
	isUnderWay := r.State == masterkey.UnderWay
	if err != nil || !isUnderWay && (r.Ended.IsZero() || !w.isRecent(r.Ended)) {
		return nil, err
	}
	f := Workflow{Execution: r.Execution(), Began: r.Began, Attempt: r.Attempt, IsUnderWay: isUnderWay}
	if isUnderWay && r.Left > 0 {
		f.Wait = ForNodes
	}
	return []Workflow{f}, nil
}

// Read completes workflows by what their executions went through, and leaves out those that turn out never to
// have been started. What can't be asked about is UNKNOWN, and hides nothing else.
func (w *Workflows) Read(ctx context.Context, found []Workflow) []Workflow {
	ctx, cancel := context.WithTimeout(ctx, readTime)
	defer cancel()
	all := slices.Clone(found)
	isAbsent := make([]bool, len(all))
	var group errgroup.Group
	group.SetLimit(atATime)
	for i := range all {
		group.Go(func() error {
			all[i].Run, isAbsent[i] = w.read(ctx, all[i])
			return nil
		})
	}
	group.Wait() //nolint:errcheck // none returns any
	kept := all[:0]
	for i, f := range all {
		if !isAbsent[i] {
			kept = append(kept, f)
		}
	}
	return kept
}

func (w *Workflows) read(ctx context.Context, f Workflow) (run workflow.Run, isAbsent bool) {
	if w.Runs == nil {
		return workflow.Run{Status: workflow.Unknown}, f.MayBeAbsent
	}
	run, err := w.Runs.Read(ctx, f.Execution)
	switch {
	case errors.Is(err, workflow.ErrNoExecution):
		return workflow.Run{Status: workflow.NotStarted}, f.MayBeAbsent || !f.IsUnderWay
	case err != nil:
		w.Log.LogAttrs(ctx, slog.LevelWarn, "execution not read", slog.String("groupId", f.Execution.GroupID),
			slog.String("workflow", string(f.Execution.Kind)), slog.String("error", err.Error()))
		return workflow.Run{Status: workflow.Unknown}, f.MayBeAbsent
	}
	return run, false
}
