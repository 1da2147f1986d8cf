package console

// pages is the table of all pages. A page is added by a line here, a file of handlers and a template.
func pages() []Page {
	return []Page{
		{Path: groupsPath, Title: "Projects", Template: "projects", Load: loadProjects},
		{Path: root + "/orgs", Title: "Organisations", Template: "orgs", Load: loadOrgs},
		{Path: groupsPath + "/{groupId}", Title: "Overview", Nav: Overview, Template: "overview", Load: loadOverview},

		{Path: clustersPath, Title: "Clusters", Nav: Clusters, Template: "clusters", Load: loadClusters},
		{Path: newClusterPath, Title: "Create a cluster", Nav: Clusters, Template: "cluster-form", Load: loadCreate},
		{Path: newClusterPath + "/review", Title: "Create a cluster", Nav: Clusters, Template: "cluster-form", Load: loadCreateReview},
		{Path: clusterPath, Nav: Clusters, Template: "cluster", Load: loadCluster},
		{Path: clusterPath + "/edit", Nav: Clusters, Template: "cluster-form", Load: loadEdit},
		{Path: clusterPath + "/review", Nav: Clusters, Template: "cluster-form", Load: loadEditReview},
		{Path: clusterPath + "/delete", Nav: Clusters, Template: "cluster-delete", Load: loadDelete},
		{Path: clusterPath + "/power", Nav: Clusters, Template: "cluster-confirm", Load: loadPower},
		{Path: clusterPath + "/backup", Nav: Clusters, Template: "backup", Load: loadBackup},
		{Path: clusterPath + "/take-snapshot", Title: "Take a snapshot", Nav: Clusters, Template: "take-snapshot", Load: loadTake},
		{Path: clusterPath + "/schedule", Nav: Clusters, Template: "schedule", Load: loadSchedule},
		{Path: snapshotPath + "/delete", Nav: Clusters, Template: "cluster-confirm", Load: loadSnapshotDelete},
		{Path: snapshotPath + "/restore", Title: "Restore a snapshot", Nav: Clusters, Template: "restore", Load: loadRestore},
		{Path: snapshotPath + "/restore/review", Title: "Restore a snapshot", Nav: Clusters, Template: "restore", Load: loadRestoreReview},
		{Path: clusterPath + "/restores/{restoreJobId}/cancel", Nav: Clusters, Template: "cluster-confirm", Load: loadRestoreCancel},
	}
}

// fragments are the parts of pages that are read again.
func fragments() []Fragment {
	return []Fragment{
		{Path: groupsPath + "/{groupId}/overview/state", Template: "overview", Block: "state", Load: loadOverview},

		{Path: groupsPath + "/{groupId}/fragments/clusters", Template: "clusters", Block: "list", Load: loadClusters},
		{Path: clusterPath + "/state", Template: "cluster", Block: "state", Load: loadCluster},
		{Path: clusterPath + "/backup/state", Template: "backup", Block: "state", Load: loadBackup},
	}
}

// actions are what forms do.
func actions() []Action {
	return []Action{
		{Path: newClusterPath + "/review", Form: newClusterPath + "/review", Do: createCluster},
		{Path: clusterPath + "/review", Form: clusterPath + "/review", Do: applyEdit},
		{Path: clusterPath + "/delete", Form: clusterPath + "/delete", Do: deleteCluster},
		{Path: clusterPath + "/power", Form: clusterPath + "/power", Do: changePower},
		{Path: clusterPath + "/take-snapshot", Form: clusterPath + "/take-snapshot", Do: takeSnapshot},
		{Path: clusterPath + "/schedule", Form: clusterPath + "/schedule", Do: changeSchedule},
		{Path: snapshotPath + "/delete", Form: snapshotPath + "/delete", Do: deleteSnapshot},
		{Path: snapshotPath + "/restore/review", Form: snapshotPath + "/restore/review", Do: restoreSnapshot},
		{Path: clusterPath + "/restores/{restoreJobId}/cancel", Form: clusterPath + "/restores/{restoreJobId}/cancel", Do: cancelRestore},
	}
}
