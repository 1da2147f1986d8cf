// Package fleettasks assembles the function that workflows and schedules call to work on
// clusters and nodes. It needs the table and may start executions, and may use no tenant's key.
//
// A payload is {"task": "<name>", ...}; the names are in New. Every task is idempotent, and
// harmless when it comes late.
package fleettasks

import (
	"context"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"latchkey/shared/audit"
	"latchkey/shared/changeover"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/enforcement"
	"latchkey/shared/masterkey"
	"latchkey/shared/project"
	"latchkey/shared/snapshot"
	"latchkey/shared/store"
	"latchkey/shared/suite"
	"latchkey/shared/task"
)

// Deps are what the function needs. Fields without a comment are required.
type Deps struct {
	Table store.Table
	Now   func() time.Time
	Log   *slog.Logger
	// EventRetention is how long events are kept; 0 keeps them for ever.
	EventRetention time.Duration
	Start          suite.Executions
	// Domain is what the nodes' host names lie in.
	Domain string
}

// New assembles the function.
func New(d Deps) lambda.Handler {
	journal := audit.Journal{Table: d.Table, Now: d.Now, Retention: d.EventRetention}
	projects := &project.Service{Table: d.Table, Journal: journal, Now: d.Now}
	clusters := suite.Clusters(suite.ClusterDeps{
		Table: d.Table, Journal: journal, Projects: projects,
		Start: d.Start, Now: d.Now, Log: d.Log, Domain: d.Domain,
	})
	settings := &encryption.Service{Table: d.Table, Journal: journal, Now: d.Now, Log: d.Log}
	f := function{
		changes: suite.Changeover(suite.ChangeDeps{
			Table: d.Table, Settings: settings, Clusters: clusters, Start: d.Start, Now: d.Now,
		}),
		rotations: suite.MasterKeys(suite.MasterKeyDeps{Table: d.Table, Journal: journal, Start: d.Start, Now: d.Now}),
		snapshots: suite.Snapshots(suite.SnapshotDeps{Table: d.Table, Journal: journal, Clusters: clusters, Now: d.Now, Log: d.Log}),
		clusters:  clusters, executions: d.Start, now: d.Now, log: d.Log,
		officer: &enforcement.Officer{Table: d.Table, Settings: settings, Clusters: clusters, Projects: projects, Now: d.Now},
	}
	return task.Dispatch(d.Log, map[string]lambda.Handler{
		"advancePlan":    handler(d.Log, f.advancePlan),
		"rollBackPlan":   handler(d.Log, f.rollBackPlan),
		"continuePlan":   handler(d.Log, f.continuePlan),
		"resumePlans":    handler(d.Log, f.resumePlans),
		"enforce":        handler(d.Log, f.enforce),
		"awaitNodes":     handler(d.Log, f.awaitNodes),
		"advanceChange":  handler(d.Log, f.advanceChange),
		"continueChange": handler(d.Log, f.continueChange),
		"resumeChanges":  handler(d.Log, f.resumeChanges),
		"backups":        handler(d.Log, f.backups),

		"advanceRotation":  handler(d.Log, f.advanceRotation),
		"continueRotation": handler(d.Log, f.continueRotation),
		"attendMasterKeys": handler(d.Log, f.attendMasterKeys),
	})
}

// function is what the tasks work with.
type function struct {
	changes    *changeover.Service
	rotations  *masterkey.Service
	clusters   *cluster.Service
	snapshots  *snapshot.Service
	executions cluster.Executions
	officer    *enforcement.Officer
	now        func() time.Time
	log        *slog.Logger
}

func handler[In, Out any](log *slog.Logger, fn func(context.Context, In) (Out, error)) lambda.Handler {
	return task.Handler(log, task.AtlasCodes, fn)
}
