package console

import "latchkey/shared/atlas"

// clusterAdvice is what to do about what the API refuses of clusters and their snapshots, where its
// sentence does not say so by itself.
var clusterAdvice = map[atlas.Code]string{
	atlas.EARSettingsInvalid:              "The key is not valid now. Restore it or update its credentials, click “Try again” on the Advanced page, then come back.",
	atlas.EARNotEnabled:                   "Set the provider up on the Advanced page first.",
	atlas.CannotChangeEARProvider:         sayProvider,
	atlas.PrivateNetworkingNotSupported:   "Set up a private endpoint in each region where there shall be nodes (Advanced, Manage), or choose other regions.",
	atlas.CannotUpdatePausedCluster:       sayPaused,
	atlas.CannotPausePendingChanges:       "Wait until the changes have ended, then pause it.",
	atlas.CannotTerminateProtected:        "Turn Termination protection off under Edit Configuration first.",
	atlas.ClusterAlreadyRequestedDeletion: "It is on its way out. There is nothing left to change.",
	atlas.DuplicateClusterName:            "Go back and choose another name.",
	atlas.ConcurrentModification:          "Somebody else changed it at the same moment. Look at how it stands now, and try again.",

	atlas.InvalidSnapshotRestoreEncryption: "Either only one of snapshot and target is encrypted with a key of yours: choose a target that is like the snapshot. " +
		"Or the key that the snapshot needs is no longer valid: enable it again, and let it be used.",
	atlas.KMSUnreachable:             "Nothing was changed. The provider of the key could not be reached; try again when it can.",
	atlas.ClusterPausedCannotRestore: "Resume the target first.",
	atlas.ClusterRestoreInProgress:   "Wait until the restore to this cluster is over, or cancel it.",
	atlas.UnfinishedOnDemandSnapshot: "Wait until that one is completed.",
	atlas.SnapshotNotFound:           "It may have expired or been deleted, or it is not completed.",
	atlas.BackupJobNotFound:          "Turn Cloud Backup on under Edit Configuration first.",
	atlas.MethodNotAllowed:           "It is carried to its end: a cluster of which some nodes were restored and others not would be of two minds.",
}

// explain says what to do about what was refused. It is for pages whose form was refused.
func (v *Visit) explain() {
	if v.Failure == nil {
		return
	}
	if advice := clusterAdvice[v.Failure.Code]; advice != "" {
		v.Failure.Advice = advice
	}
}
