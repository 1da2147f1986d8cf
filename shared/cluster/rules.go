package cluster

import (
	"time"

	"latchkey/shared/atlas"
)

// resumeRest is how long a resumed cluster must run before it may be paused again. The number
// is from the real service's general documents (CONTRACT 6.4).
const resumeRest = 60 * time.Minute

// checkUpdate holds the rules on pausing. They look at what really changes, since clients send
// back whole documents.
func (c Cluster) checkUpdate(r atlas.ClusterRequest, next Cluster, ch Change, now time.Time) error {
	others := ch.Settings || !next.samePlanAs(c)
	switch asked := r.Paused != nil; {
	case c.Spec.Paused && next.Spec.Paused && !ch.None():
		return atlas.Fail(atlas.CannotUpdatePausedCluster, c.Name)
	case c.Spec.Paused && asked && next.Spec.Paused:
		return atlas.Fail(atlas.ClusterAlreadyPaused)
	case c.Spec.Paused && !next.Spec.Paused && others:
		return atlas.Fail(atlas.CannotUpdatePausedCluster, c.Name).Hinting("Resume it first, then update it.")
	case c.Spec.Paused || !next.Spec.Paused:
		return nil
	case others:
		return atlas.Fail(atlas.CannotUpdateAndPauseCluster, c.Name)
	case c.Plan != nil || c.Queued():
		return atlas.Fail(atlas.CannotPausePendingChanges)
	case !c.Resumed.IsZero() && now.Before(c.Resumed.Add(resumeRest)):
		return atlas.Fail(atlas.CannotPauseRecentlyResumed, int(resumeRest.Minutes()))
	}
	return nil
}

// samePlanAs reports whether two clusters' specs differ in nothing but being paused.
func (c Cluster) samePlanAs(other Cluster) bool {
	s := other.Spec
	s.Paused = c.Spec.Paused
	return c.Spec.sameAs(s)
}

// checkDelete says why a cluster can't be deleted now.
func (c Cluster) checkDelete() error {
	switch {
	case c.Deleting():
		return atlas.Fail(atlas.ClusterAlreadyRequestedDeletion, c.Name)
	case c.Settings.TerminationProtection:
		return atlas.Fail(atlas.CannotTerminateProtected)
	}
	return nil
}
