package main

// Bodies that make clusters, in the ways of the versions.
const (
	regions = `"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]`
	shards  = `"clusterType":"SHARDED","replicationSpecs":[{` + regions + `},{` + regions + `}]`
	legacyA = `{"name":"L","providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"},"tags":[{"key":"k","value":"v"}]}`
	modernA = `{"name":"{name}","clusterType":"REPLICASET","replicationSpecs":[{` + regions + `}]`
)

// clustered has clusters of every version, and everything that hangs off one.
func (d *described) clustered() {
	d.t.Helper()
	d.known["name"] = "A"
	d.follow([]step{
		{201, "2024-10-23", "POST", clustersAt, modernA + `,"encryptionAtRestProvider":"AWS","backupEnabled":true}`, ""},
		{400, "2024-10-23", "POST", clustersAt, modernA + `}`, ""},
	})
	d.known["name"] = "S"
	d.follow([]step{{201, "2024-08-05", "POST", clustersAt, `{"name":"S",` + shards + `,"backupEnabled":true}`, ""}})
	d.follow(shownSteps())
	d.settled("A", "S")
	d.wrote("A", 20)
	d.follow(changeSteps())
	d.settled("A", "S")
	d.follow(estateSteps())
	d.backedUp()
	d.shortLived()
	d.anotherKey()
	d.until("the change of the key has ended", func() bool {
		d.follow([]step{{200, "", "GET", "/api/latchkey/v1/groups/{group}/encryptionAtRest/keys", "", "change=results.0.lastChange.state"}})
		return d.known["change"] == "FINISHED"
	})
	d.settled("A", "S")
}

func shownSteps() []step {
	const one = clustersAt + "/A"
	return []step{
		{400, "2024-10-23", "POST", clustersAt, `{"name":"B","clusterType":"REPLICASET","replicationSpecs":[]}`, ""},
		{400, "2024-10-23", "POST", clustersAt, `{"name":"?","clusterType":"REPLICASET","replicationSpecs":[{` + regions + `}]}`, ""},
		{200, "2023-01-01", "GET", clustersAt, "", ""},
		{200, "2023-02-01", "GET", clustersAt, "", ""},
		{200, "2024-08-05", "GET", clustersAt + "?includeDeletedWithRetainedBackups=false", "", ""},
		{200, "", "GET", v1 + "/groups/{group}/clusters", "", ""},
		{200, "2023-01-01", "GET", one, "", ""},
		{200, "2023-02-01", "GET", one, "", ""},
		{200, "2024-08-05", "GET", one, "", ""},
		{200, "", "GET", v1 + "/groups/{group}/clusters/A", "", ""},
		{404, "2024-08-05", "GET", clustersAt + "/nobodys", "", ""},
		{200, "2023-01-01", "GET", one + "/status", "", ""},
		{404, "2023-01-01", "GET", clustersAt + "/nobodys/status", "", ""},
		{200, "2024-08-05", "GET", one + "/autoScalingConfiguration", "", ""},
		{404, "2024-08-05", "GET", clustersAt + "/nobodys/autoScalingConfiguration", "", ""},
	}
}

func changeSteps() []step {
	const one, args = clustersAt + "/A", clustersAt + "/A/processArgs"
	return []step{
		{200, "2023-01-01", "PATCH", one, `{"labels":[{"key":"k","value":"v"}]}`, ""},
		{200, "", "PATCH", v1 + "/groups/{group}/clusters/A", `{"tags":[{"key":"k","value":"v"}]}`, ""},
		{200, "2023-02-01", "PATCH", one, `{"biConnector":{"enabled":true,"readPreference":"primary"}}`, ""},
		{200, "2024-08-05", "PATCH", one, `{"terminationProtectionEnabled":true,"adaptiveCapacity":"ENABLED"}`, ""},
		{400, "2023-02-01", "DELETE", one, "", ""},
		{200, "2024-10-23", "PATCH", one, `{"terminationProtectionEnabled":false,"mongoDBEmployeeAccessGrant":{"grantType":"CLUSTER_DATABASE_LOGS","expirationTime":"2199-01-01T00:00:00Z"}}`, ""},
		{400, "2024-10-23", "PATCH", one, `{"diskWarmingMode":"HOT"}`, ""},
		{400, "2024-10-23", "PATCH", one, `{"name":"Z"}`, ""},
		{409, "2024-10-23", "PATCH", one, `{"encryptionAtRestProvider":"GCP"}`, ""},
		{404, "2024-10-23", "PATCH", clustersAt + "/nobodys", `{}`, ""},
		{200, "2023-01-01", "GET", args, "", ""},
		{200, "2024-08-05", "GET", args, "", ""},
		{200, "2023-01-01", "PATCH", args, `{"defaultReadConcern":"local","oplogSizeMB":2048}`, ""},
		{200, "2024-08-05", "PATCH", args, `{"queryStatsLogVerbosity":1,"transactionLifetimeLimitSeconds":30}`, ""},
		{400, "2024-08-05", "PATCH", args, `{"queryStatsLogVerbosity":2}`, ""},
		{404, "2024-08-05", "PATCH", clustersAt + "/nobodys/processArgs", `{}`, ""},
	}
}

func estateSteps() []step {
	return []step{
		{200, "2023-01-01", "GET", v2 + "/clusters", "", ""},
		{200, "", "GET", "/api/latchkey/v1/groups/{group}/masterKeys", "", "node=masterKeys.0.nodeId"},
		{200, "", "GET", "/api/latchkey/v1/groups/{group}/clusters", "", ""},
		{200, "", "GET", "/api/latchkey/v1/groups/{group}/clusters/A", "", ""},
		{404, "", "GET", "/api/latchkey/v1/groups/{group}/clusters/nobodys", "", ""},
		{200, "", "GET", "/api/latchkey/v1/groups/{group}/workflows", "", "ran=results.0.steps.0.state"},
		{200, "2023-01-01", "GET", clustersAt + "/provider/regions?providers=AWS&tier=M10", "", ""},
		{200, "2023-01-01", "GET", clustersAt + "/provider/regions", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/containers/all", "", "container=results.0.id"},
		{200, "2023-01-01", "GET", inGroup + "/containers?providerName=AZURE", "", ""},
		{400, "2023-01-01", "GET", inGroup + "/containers?providerName=IBM", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/containers/{container}", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/containers/{none}", "", ""},
		{200, "", "GET", v1 + "/groups/{group}/containers", "", ""},
		{200, "", "GET", v1 + "/groups/{group}/containers/all", "", ""},
		{200, "", "GET", v1 + "/groups/{group}/containers/{container}", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/processes", "", "process=results.0.id"},
		{200, "2023-01-01", "GET", inGroup + "/processes/{process}", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/processes/nobodys:27017", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/ipAddresses", "", ""},
		{200, "2024-11-13", "GET", inGroup + "/flexClusters", "", ""},
		{400, "2024-11-13", "GET", inGroup + "/flexClusters/A", "", ""},
		{404, "2024-11-13", "GET", inGroup + "/flexClusters/nobodys", "", ""},
		{404, "2023-01-01", "GET", clustersAt + "/nobodys/backup/snapshots", "", ""},
	}
}

// backedUp takes snapshots, restores one, and deletes them.
func (d *described) backedUp() {
	d.t.Helper()
	const snapshots, jobs = clustersAt + "/A/backup/snapshots", clustersAt + "/A/backup/restoreJobs"
	const sharded = clustersAt + "/S/backup/snapshots"
	d.follow(scheduleSteps())
	d.follow([]step{
		{200, "2023-01-01", "POST", snapshots, `{"retentionInDays":5,"description":"now"}`, "snapshot=id"},
		{400, "2023-01-01", "POST", snapshots, `{"retentionInDays":5}`, ""},
		{400, "2023-01-01", "POST", snapshots, `{}`, ""},
		{200, "2023-01-01", "POST", sharded, `{"retentionInDays":5}`, "sharded=id"},
		{200, "2023-01-01", "GET", snapshots, "", ""},
		{200, "2023-01-01", "GET", sharded + "/shardedClusters", "", ""},
		{400, "2023-01-01", "DELETE", snapshots + "/{snapshot}", "", ""},
	})
	d.completed("A", d.known["snapshot"])
	d.completed("S", d.known["sharded"])
	restore := `{"deliveryType":"automated","snapshotId":"{snapshot}","targetClusterName":"A","targetGroupId":"{group}"}`
	d.follow([]step{
		{200, "2023-01-01", "GET", snapshots + "/{snapshot}", "", ""},
		{404, "2023-01-01", "GET", snapshots + "/{none}", "", ""},
		{200, "2023-01-01", "PATCH", snapshots + "/{snapshot}", `{"retentionUnit":"WEEKS","retentionValue":2}`, ""},
		{400, "2023-01-01", "PATCH", snapshots + "/{snapshot}", `{"retentionUnit":"AGES","retentionValue":2}`, ""},
		{200, "2023-01-01", "GET", sharded + "/shardedClusters", "", ""},
		{200, "2023-01-01", "GET", sharded + "/shardedCluster/{sharded}", "", ""},
		{404, "2023-01-01", "GET", snapshots + "/shardedCluster/{snapshot}", "", ""},
		{200, "2023-01-01", "POST", jobs, restore, "job=id"},
		{204, "2023-01-01", "DELETE", jobs + "/{job}", "", ""},
		{200, "2023-01-01", "POST", jobs, restore, "job=id"},
		{400, "2023-01-01", "POST", jobs, `{"deliveryType":"download","snapshotId":"{snapshot}"}`, ""},
		{404, "2023-01-01", "POST", jobs, `{"deliveryType":"automated","snapshotId":"{none}","targetClusterName":"A","targetGroupId":"{group}"}`, ""},
		{200, "2023-01-01", "GET", jobs, "", ""},
		{404, "2023-01-01", "GET", jobs + "/{none}", "", ""},
	})
	d.until("the restore is over", func() bool {
		job, _, err := d.client.CloudBackupsApi.GetBackupRestoreJob(d.t.Context(), d.owner.GroupID, "A", d.known["job"]).Execute()
		d.must(err)
		return !job.GetFinishedAt().IsZero()
	})
	d.settled("A", "S")
	d.follow([]step{
		{405, "2023-01-01", "DELETE", jobs + "/{job}", "", ""},
		{204, "2023-01-01", "DELETE", snapshots + "/{snapshot}", "", ""},
		{404, "2023-01-01", "DELETE", snapshots + "/{none}", "", ""},
		{204, "2023-01-01", "DELETE", sharded + "/shardedCluster/{sharded}", "", ""},
	})
}

func (d *described) completed(name, snapshot string) {
	d.t.Helper()
	d.until("the snapshot is complete", func() bool { return d.snapshotOf(name, snapshot).GetStatus() == "completed" })
}

func scheduleSteps() []step {
	const schedule = clustersAt + "/A/backup/schedule"
	return []step{
		{200, "2023-01-01", "GET", schedule, "", "policy=policies.0.id"},
		{200, "2024-08-05", "GET", schedule, "", ""},
		{404, "2024-08-05", "GET", clustersAt + "/nobodys/backup/schedule", "", ""},
		{200, "2023-01-01", "PATCH", schedule, `{"referenceHourOfDay":3,"referenceMinuteOfHour":15}`, ""},
		{200, "2024-08-05", "PATCH", schedule, `{"policies":[{"id":"{policy}","policyItems":[{"frequencyInterval":1,"frequencyType":"daily","retentionUnit":"days","retentionValue":7}]}]}`, ""},
		{400, "2024-08-05", "PATCH", schedule, `{"referenceHourOfDay":24}`, ""},
		{400, "2024-08-05", "PATCH", schedule, `{"autoExportEnabled":true}`, ""},
		{200, "2023-01-01", "DELETE", schedule, "", ""},
		{200, "2024-08-05", "DELETE", schedule, "", ""},
	}
}

// shortLived makes clusters in the ways of older versions, and deletes them in all.
func (d *described) shortLived() {
	d.t.Helper()
	d.known["name"] = "B"
	d.follow([]step{
		{201, "2023-02-01", "POST", clustersAt, modernA + `,"diskSizeGB":20}`, ""},
		{202, "2023-02-01", "DELETE", clustersAt + "/B?retainBackups=false", "", ""},
		{201, "2023-01-01", "POST", clustersAt, legacyA, ""},
		{202, "2023-01-01", "DELETE", clustersAt + "/L", "", ""},
	})
	d.until("they are gone", func() bool { return d.state("B") == "GONE" && d.state("L") == "GONE" })
	d.follow([]step{
		{201, "", "POST", v1 + "/groups/{group}/clusters", legacyA, ""},
		{202, "", "DELETE", v1 + "/groups/{group}/clusters/L", "", ""},
		{404, "2023-02-01", "DELETE", clustersAt + "/nobodys", "", ""},
	})
	d.until("it is gone", func() bool { return d.state("L") == "GONE" })
}
