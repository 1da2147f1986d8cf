package masterkey

import (
	"context"
	"time"

	"latchkey/shared/maintenance"
)

// Report is what a tenant or an operator wants to know of a group's master keys: how the last rotation
// stands, when the next one is, and how old each key is.
type Report struct {
	Rotation Rotation
	// Plan is the maintenance in which the next rotation is planned, or which is going on; nil without.
	Plan *maintenance.Plan
	Keys []Key
}

// Key is the master key that a node uses.
type Key struct {
	ClusterID, ClusterName, NodeID string
	Made                           time.Time
	// Standing is where the node is in the last rotation. Before the first one all are current.
	Standing Standing
}

// IsOverdue reports whether the key is older than any should get.
func (k Key) IsOverdue(now time.Time) bool { return now.Sub(k.Made) > MaxAge }

// Report reads the report, of what is stored now. It fails for a group that is closed.
func (s *Service) Report(ctx context.Context, groupID string) (Report, error) {
	w, err := s.Windows.Window(ctx, groupID)
	if err != nil {
		return Report{}, err
	}
	r, err := Load(ctx, s.Table, groupID)
	if err != nil {
		return Report{}, err
	}
	report := Report{Rotation: r}
	if w.Plan != nil && w.Plan.What == What {
		report.Plan = w.Plan
	}
	all, err := s.survey(ctx, r)
	if err != nil {
		return Report{}, err
	}
	for _, n := range all {
		report.Keys = append(report.Keys, Key{
			ClusterID: n.ClusterID, ClusterName: n.of.Name, NodeID: n.ID, Made: n.made, Standing: n.standing,
		})
	}
	return report, nil
}
