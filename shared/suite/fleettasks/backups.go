package fleettasks

import "context"

// backupsDone is what a run over the backups answers.
type backupsDone struct {
	Clusters int `json:"clusters"` // that were due
}

// backups advances the snapshots and restores of all clusters that are due. It is run by a schedule;
// what it does not get to stays due.
func (f function) backups(ctx context.Context, _ struct{}) (backupsDone, error) {
	n, err := f.snapshots.Run(ctx)
	return backupsDone{Clusters: n}, err
}
