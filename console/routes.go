package console

// pages is the table of all pages. A page is added by a line here, a file of handlers and a template.
func pages() []Page {
	return []Page{
		{Path: groupsPath, Title: "Projects", Template: "projects", Load: loadProjects},
		{Path: root + "/orgs", Title: "Organisations", Template: "orgs", Load: loadOrgs},
		{Path: groupsPath + "/{groupId}", Title: "Overview", Nav: Overview, Template: "overview", Load: loadOverview},

		{Path: advancedPath, Title: "Advanced", Nav: Advanced, Template: "advanced", Load: loadAdvanced},
		{Path: advancedPath + "/{provider}", Nav: Advanced, Template: "keyform", Load: loadKey(keyEdit)},
		{Path: advancedPath + "/{provider}/key", Nav: Advanced, Template: "keyform", Load: loadKey(keyRotate)},
		{Path: advancedPath + "/{provider}/role", Nav: Advanced, Template: "keyform", Load: loadKey(keySwitch)},
		{Path: advancedPath + "/{provider}/region", Nav: Advanced, Template: "keyform", Load: loadKey(keyMove)},
		{Path: advancedPath + "/{provider}/off", Nav: Advanced, Template: "keyoff", Load: loadKeyOff},

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

		{Path: rolesPath, Title: "Access roles", Nav: Advanced, Template: "roles", Load: loadRoles},
		{Path: rolesPath + "/new", Title: "New access role", Nav: Advanced, Template: "role-new", Load: loadRoleNew},
		{Path: rolePath, Nav: Advanced, Template: "role", Load: loadRole},
		{Path: rolePath + "/delete", Title: "Delete an access role", Nav: Advanced, Template: "role-delete", Load: loadRoleDelete},
		{Path: endpointsPath, Nav: Advanced, Template: "endpoints", Load: loadEndpoints},
		{Path: endpointsPath + "/require", Nav: Advanced, Template: "endpoints-require", Load: loadPrivateToggle},
		{Path: endpointsPath + "/new", Nav: Advanced, Template: "endpoint-new", Load: loadEndpointNew},
		{Path: endpointsPath + "/{endpointId}/delete", Nav: Advanced, Template: "endpoint-delete", Load: loadEndpointDelete},

		{Path: alertsPath, Title: "Alerts", Nav: Alerts, Template: "alerts", Load: loadAlerts},
		{Path: alertPath, Nav: Alerts, Template: "alert", Load: loadAlert},
		{Path: alertConfigsPath, Title: "Alert configurations", Nav: Alerts, Template: "alert-configs", Load: loadAlertConfigs},
		{Path: newAlertConfigPath, Title: "New alert configuration", Nav: Alerts, Template: "alert-config-new", Load: loadNewAlertConfig},
		{Path: alertConfigPath, Nav: Alerts, Template: "alert-config", Load: loadAlertConfig},
		{Path: alertConfigPath + "/toggle", Nav: Alerts, Template: "confirm", Load: loadAlertConfigToggle},
		{Path: alertConfigPath + "/delete", Nav: Alerts, Template: "confirm", Load: loadAlertConfigDelete},
		{Path: newNotifierPath, Nav: Alerts, Template: "notification", Load: loadNewNotifier},
		{Path: notifierPath, Nav: Alerts, Template: "notification", Load: loadNotifier},
		{Path: notifierPath + "/remove", Nav: Alerts, Template: "confirm", Load: loadNotifierRemove},

		{Path: activityPath, Title: "Activity", Nav: Activity, Template: "activity", Load: loadActivity},
		{Path: orgActivityPath, Title: "Activity", Template: "activity", Load: loadOrgActivity},
		{Path: workflowsPath, Title: "Workflows", Nav: Activity, Template: "workflows", Load: loadWorkflows},
		{Path: maintenancePath, Title: "Maintenance", Nav: Activity, Template: "maintenance", Load: loadMaintenance},
		{Path: maintenancePath + "/{what}", Nav: Activity, Template: "confirm", Load: loadMaintenanceAsk},
	}
}

// fragments are the parts of pages that are read again.
func fragments() []Fragment {
	return []Fragment{
		{Path: groupsPath + "/{groupId}/overview/state", Template: "overview", Block: "state", Load: loadOverview},

		{Path: advancedPath + "/state", Template: "advanced", Block: "keys", Load: loadAdvanced},
		{Path: advancedPath + "/{provider}/check/{member}", Template: "keyform", Block: "note", Load: loadKeyNote, Posted: true},
		{Path: advancedPath + "/{provider}/documents", Template: "keyform", Block: "documents", Load: loadDocuments, Posted: true},

		{Path: groupsPath + "/{groupId}/fragments/clusters", Template: "clusters", Block: "list", Load: loadClusters},
		{Path: clusterPath + "/state", Template: "cluster", Block: "state", Load: loadCluster},
		{Path: clusterPath + "/backup/state", Template: "backup", Block: "state", Load: loadBackup},

		{Path: groupsPath + "/{groupId}/fragments/roles", Template: "roles", Block: "state", Load: loadRoles},
		{Path: rolePath + "/state", Template: "role", Block: "state", Load: loadRole},
		{Path: rolePath + "/check/{member}", Template: "role", Block: "note", Load: loadRoleNote, Posted: true},
		{Path: endpointsPath + "/state", Template: "endpoints", Block: "state", Load: loadEndpoints},

		{Path: groupsPath + "/{groupId}/fragments/alerts", Template: "alerts", Block: "list", Load: loadAlerts},
		{Path: alertPath + "/state", Template: "alert", Block: "state", Load: loadAlert},
		{Path: workflowsPath + "/state", Template: "workflows", Block: "state", Load: loadWorkflows},
		{Path: maintenancePath + "/fragments/state", Template: "maintenance", Block: "state", Load: loadMaintenance},
	}
}

// actions are what forms do.
func actions() []Action {
	return []Action{
		{Path: advancedPath + "/try-again", Form: advancedPath, Do: tryAgain},
		{Path: advancedPath + "/search-nodes", Form: advancedPath, Do: setSearchNodes},
		{Path: advancedPath + "/{provider}", Form: advancedPath + "/{provider}", Do: saveKey(keyEdit)},
		{Path: advancedPath + "/{provider}/key", Form: advancedPath + "/{provider}/key", Do: saveKey(keyRotate)},
		{Path: advancedPath + "/{provider}/role", Form: advancedPath + "/{provider}/role", Do: saveKey(keySwitch)},
		{Path: advancedPath + "/{provider}/region", Form: advancedPath + "/{provider}/region", Do: saveKey(keyMove)},
		{Path: advancedPath + "/{provider}/off", Form: advancedPath + "/{provider}/off", Do: turnOff},

		{Path: newClusterPath + "/review", Form: newClusterPath + "/review", Do: createCluster},
		{Path: clusterPath + "/review", Form: clusterPath + "/review", Do: applyEdit},
		{Path: clusterPath + "/delete", Form: clusterPath + "/delete", Do: deleteCluster},
		{Path: clusterPath + "/power", Form: clusterPath + "/power", Do: changePower},
		{Path: clusterPath + "/take-snapshot", Form: clusterPath + "/take-snapshot", Do: takeSnapshot},
		{Path: clusterPath + "/schedule", Form: clusterPath + "/schedule", Do: changeSchedule},
		{Path: snapshotPath + "/delete", Form: snapshotPath + "/delete", Do: deleteSnapshot},
		{Path: snapshotPath + "/restore/review", Form: snapshotPath + "/restore/review", Do: restoreSnapshot},
		{Path: clusterPath + "/restores/{restoreJobId}/cancel", Form: clusterPath + "/restores/{restoreJobId}/cancel", Do: cancelRestore},

		{Path: rolesPath + "/new", Form: rolesPath + "/new", Do: createRole},
		{Path: rolePath, Form: rolePath, Do: authorizeRole},
		{Path: rolePath + "/delete", Form: rolePath + "/delete", Do: deleteRole},
		{Path: endpointsPath + "/require", Form: endpointsPath + "/require", Do: setPrivate},
		{Path: endpointsPath + "/new", Form: endpointsPath + "/new", Do: createEndpoints},
		{Path: endpointsPath + "/{endpointId}/delete", Form: endpointsPath + "/{endpointId}/delete", Do: deleteEndpoint},

		{Path: alertPath + "/acknowledge", Form: alertPath, Do: acknowledgeAlert},
		{Path: alertPath + "/unacknowledge", Form: alertPath, Do: unacknowledgeAlert},
		{Path: newAlertConfigPath, Form: newAlertConfigPath, Do: createAlertConfig},
		{Path: alertConfigPath, Form: alertConfigPath, Do: saveAlertConfig},
		{Path: alertConfigPath + "/toggle", Form: alertConfigPath + "/toggle", Do: toggleAlertConfig},
		{Path: alertConfigPath + "/delete", Form: alertConfigPath + "/delete", Do: deleteAlertConfig},
		{Path: newNotifierPath, Form: newNotifierPath, Do: addNotifier},
		{Path: notifierPath, Form: notifierPath, Do: saveNotifier},
		{Path: notifierPath + "/remove", Form: notifierPath + "/remove", Do: removeNotifier},
		{Path: maintenancePath, Form: maintenancePath, Do: saveMaintenance},
		{Path: maintenancePath + "/{what}", Form: maintenancePath + "/{what}", Do: changeMaintenance},
	}
}
