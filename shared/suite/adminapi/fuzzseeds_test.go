package adminapi_test

import "flag"

var every = flag.Bool("every-twist", false, "make every twist of every body")

// Where operations are, and bodies of some.
const (
	inGroup    = v2 + "/groups/{group}"
	inOrg      = v2 + "/orgs/{org}"
	clustersAt = inGroup + "/clusters"
	legacyAt   = "/api/atlas/v1.0/groups/{group}/clusters"
	configsAt  = inGroup + "/alertConfigs"
	windowAt   = inGroup + "/maintenanceWindow"

	regions = `"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]`
	modern  = `{"name":"B","clusterType":"REPLICASET","replicationSpecs":[{` + regions + `,"zoneName":"Zone 1"}],"encryptionAtRestProvider":"AWS","backupEnabled":true}`
	full    = `{"name":"F","clusterType":"GEOSHARDED","diskWarmingMode":"FULLY_WARMED","backupEnabled":true,"pitEnabled":false,"biConnector":{"enabled":true,"readPreference":"primary"},` +
		`"labels":[{"key":"k","value":"v"}],"tags":[{"key":"k","value":"v"}],"mongoDBMajorVersion":"8.0","paused":false,"rootCertType":"ISRGROOTX1","terminationProtectionEnabled":false,` +
		`"versionReleaseSystem":"LTS","configServerManagementMode":"ATLAS_MANAGED","globalClusterSelfManagedSharding":false,"replicaSetScalingStrategy":"WORKLOAD_TYPE","redactClientLogData":true,` +
		`"advancedConfiguration":{"minimumEnabledTlsProtocol":"TLS1_2","tlsCipherConfigMode":"DEFAULT","customOpensslCipherConfigTls12":[]},"encryptionAtRestProvider":"GCP",` +
		`"mongoDBEmployeeAccessGrant":{"grantType":"CLUSTER_DATABASE_LOGS","expirationTime":"2199-01-01T00:00:00Z"},"acceptDataRisksAndForceReplicaSetReconfig":"2026-05-01T12:00:00Z",` +
		`"replicationSpecs":[{"zoneName":"Europe","regionConfigs":[{"providerName":"AWS","regionName":"EU_WEST_1","priority":7,"electableSpecs":{"instanceSize":"M30","nodeCount":3,"diskSizeGB":40,"diskIOPS":3000,"ebsVolumeType":"STANDARD"},` +
		`"readOnlySpecs":{"instanceSize":"M30","nodeCount":1},"analyticsSpecs":{"instanceSize":"M30","nodeCount":1},"autoScaling":{"compute":{"enabled":true,"scaleDownEnabled":true,"minInstanceSize":"M10","maxInstanceSize":"M40"},"diskGB":{"enabled":true}},` +
		`"analyticsAutoScaling":{"diskGB":{"enabled":false}}}]},{"zoneName":"Americas",` + regions + `}]}`
	middle = `{"name":"C","clusterType":"SHARDED","diskSizeGB":40,"replicationSpecs":[{"id":"{none}","numShards":2,"zoneName":"Zone 1",` + regions + `}],"encryptionAtRestProvider":"NONE"}`
	legacy = `{"name":"L","clusterType":"REPLICASET","numShards":1,"replicationFactor":3,"diskSizeGB":40,"mongoDBMajorVersion":"8.0","providerBackupEnabled":true,"autoScaling":{"diskGBEnabled":true,"autoIndexingEnabled":false,"compute":{"enabled":false,"scaleDownEnabled":false}},` +
		`"replicationSpecs":[{"id":"x","numShards":1,"zoneName":"Zone 1","regionsConfig":{"US_EAST_1":{"electableNodes":3,"priority":7,"readOnlyNodes":0,"analyticsNodes":0}}}],` +
		`"providerSettings":{"providerName":"AWS","instanceSizeName":"M30","regionName":"US_EAST_1","diskIOPS":3000,"volumeType":"STANDARD","encryptEBSVolume":true,"autoScaling":{"compute":{"minInstanceSize":"M10","maxInstanceSize":"M40"}}},"tags":[{"key":"k","value":"v"}]}`

	config = `{"eventTypeName":"AWS_ENCRYPTION_KEY_NEEDS_ROTATION","enabled":true,"severityOverride":"ERROR","threshold":{"operator":"GREATER_THAN","threshold":90,"units":"DAYS"},` +
		`"matchers":[{"fieldName":"CLUSTER_NAME","operator":"REGEX","value":"a.*"}],` +
		`"notifications":[{"typeName":"GROUP","emailEnabled":true,"smsEnabled":false,"intervalMin":10,"delayMin":0,"roles":["GROUP_OWNER"]},` +
		`{"typeName":"WEBHOOK","webhookUrl":"https://hooks.example.com/x","webhookSecret":"hush-webhook-0123456789"},` +
		`{"typeName":"SLACK","apiToken":"hush-xoxb-0123456789abcdef","channelName":"#keys"},` +
		`{"typeName":"PAGER_DUTY","serviceKey":"hush-0123456789abcdef0123456789a","region":"US"},` +
		`{"typeName":"EMAIL","emailAddress":"a@acme.example","delayMin":5}]}`
	account  = `{"name":"ci","description":"for tests","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`
	schedule = `{"referenceHourOfDay":3,"referenceMinuteOfHour":15,"restoreWindowDays":2,"updateSnapshots":true,"autoExportEnabled":false,"useOrgAndGroupNamesInExportPrefix":false,` +
		`"copySettings":[],"deleteCopiedBackups":[],"extraRetentionSettings":[],"policies":[{"policyItems":[{"frequencyType":"hourly","frequencyInterval":6,"retentionUnit":"days","retentionValue":7},` +
		`{"frequencyType":"monthly","frequencyInterval":40,"retentionUnit":"months","retentionValue":12}]}]}`
	args = `{"defaultReadConcern":"local","defaultWriteConcern":"majority","failIndexKeyTooLong":false,"javascriptEnabled":true,"minimumEnabledTlsProtocol":"TLS1_2","noTableScan":false,"oplogSizeMB":2048,` +
		`"oplogMinRetentionHours":24,"sampleRefreshIntervalBIConnector":300,"sampleSizeBIConnector":1000,"transactionLifetimeLimitSeconds":30,"chunkMigrationConcurrency":1,"queryStatsLogVerbosity":1,` +
		`"changeStreamOptionsPreAndPostImagesExpireAfterSeconds":-1,"defaultMaxTimeMS":0}`
)

// made is a request that makes something, and what is remembered of its answer.
type made struct {
	request asked
	keep    map[string]string
}

// estate are the requests that make the estate.
func estate() []made {
	const at = "2025-03-12"
	cluster := `{"name":"A","clusterType":"REPLICASET","replicationSpecs":[{` + regions + `}],"backupEnabled":true}`
	return []made{
		{asked{"POST", at, configsAt, config}, map[string]string{"config": "id", "notifier": "notifications.0.notifierId"}},
		{asked{"POST", at, inOrg + "/apiKeys", `{"desc":"k","roles":["ORG_MEMBER"]}`}, map[string]string{"key": "id"}},
		{asked{"POST", at, inOrg + "/serviceAccounts", account}, map[string]string{"client": "clientId", "secret": "secrets.0.id"}},
		{asked{"PATCH", at, windowAt, `{"dayOfWeek":3,"hourOfDay":4}`}, nil},
		{asked{"POST", at, clustersAt, cluster}, nil},
	}
}

// later are the requests for which the cluster has to run, and an alert to be open.
func later() []made {
	const at = "2025-03-12"
	return []made{
		{asked{"POST", at, clustersAt + "/A/backup/snapshots", `{"retentionInDays":5,"description":"now"}`}, map[string]string{"snapshot": "id"}},
		{asked{"GET", at, inGroup + "/alerts?status=OPEN", ""}, map[string]string{"alert": "results.0.id"}},
	}
}

// questions are requests that read, and changes that have no body.
func questions() []asked {
	const at = "2025-03-12"
	var all []asked
	for _, path := range []string{
		v2, v2 + "/rateLimits?itemsPerPage=3&pageNum=2&includeCount=false", v2 + "/rateLimits/clusters?envelope=true", v2 + "/orgs?name=a", inOrg, inOrg + "/groups?pageNum=1048576",
		inOrg + "/users?orgMembershipStatus=ACTIVE", v2 + "/groups/byName/databases", inGroup, inGroup + "/users?includeOrgUsers=true&username=x", inGroup + "/limits/atlas.project.deployment.clusters",
		inOrg + "/apiKeys/{key}", inOrg + "/serviceAccounts/{client}", configsAt + "/{config}", configsAt + "/{config}/alerts?itemsPerPage=0", inGroup + "/alerts?status=OPEN",
		inGroup + "/events?eventType=CLUSTER_CREATED&minDate=2026-01-01T00:00:00Z&maxDate=2027-01-01T00:00:00%2B01:00&includeRaw=true", inOrg + "/events?maxDate=9999-12-31T23:59:59-23:59", inGroup + "/events/{none}",
		v2 + "/eventTypes?pretty=true", clustersAt + "?includeDeletedWithRetainedBackups=true", clustersAt + "/A", clustersAt + "/A/status", clustersAt + "/A/processArgs",
		clustersAt + "/provider/regions?providers=AWS&tier=M10", inGroup + "/containers?providerName=AZURE", inGroup + "/containers/{none}", inGroup + "/processes", inGroup + "/processes/a:27017",
		clustersAt + "/A/backup/schedule", clustersAt + "/A/backup/snapshots/{snapshot}", inGroup + "/alerts/{alert}/alertConfigs", clustersAt + "/%00/backup/snapshots?pageNum=-1", inGroup + "/flexClusters/%ff", windowAt, inGroup + "/settings",
		"/api/atlas/v1.0/groups/{group}/clusters/A", "/api/latchkey/v1/groups/{group}/masterKeys", "/api/latchkey/v1/groups/{group}/encryptionAtRest/keys",
		"/api/latchkey/v1/groups/{group}/clusters", "/api/latchkey/v1/groups/{group}/clusters/A", "/api/latchkey/v1/groups/{group}/workflows", "/api/private/ipinfo", "/api//atlas/v2/", "/%2e%2e/%2f",
	} {
		all = append(all, asked{"GET", at, path, ""})
	}
	return append(all,
		asked{"GET", "2023-01-01", clustersAt + "/A", ""}, asked{"GET", "2023-02-01", clustersAt, ""}, asked{"GET", "2024-08-05", clustersAt + "/A?x=%zz", ""}, asked{"GET", "2022-01-01", clustersAt, ""},
		asked{"DELETE", at, configsAt + "/{config}", ""}, asked{"DELETE", at, inOrg + "/apiKeys/{key}", ""}, asked{"DELETE", at, inOrg + "/serviceAccounts/{client}/secrets/{secret}", ""},
		asked{"DELETE", at, windowAt, ""}, asked{"POST", at, windowAt + "/autoDefer", ""}, asked{"POST", at, windowAt + "/defer", ""}, asked{"DELETE", at, clustersAt + "/A?retainBackups=maybe", ""},
		asked{"DELETE", at, inGroup, ""}, asked{"DELETE", at, inGroup + "/limits/atlas.project.deployment.clusters", ""}, asked{"POST", at, inGroup + "/managedSlowMs/enable", ""},
	)
}

// changes are requests with a body.
func changes() []asked {
	const at = "2025-03-12"
	return []asked{
		{"POST", at, clustersAt, modern},
		{"POST", at, clustersAt, full},
		{"POST", "2024-08-05", clustersAt, full},
		{"POST", "2023-02-01", clustersAt, middle},
		{"POST", "", "/api/atlas/v1.0/groups/{group}/clusters", legacy},
		{"POST", "2023-01-01", clustersAt, legacy},
		{"PATCH", at, clustersAt + "/A", full},
		{"PATCH", "2023-02-01", clustersAt + "/A", middle},
		{"PATCH", "2023-01-01", clustersAt + "/A", legacy},
		{"PATCH", "2023-01-01", clustersAt + "/A/processArgs", args},
		{"PATCH", at, clustersAt + "/A/processArgs", args},
		{"POST", at, configsAt, config},
		{"PUT", at, configsAt + "/{config}", config},
		{"PUT", at, configsAt + "/{config}", `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[{"typeName":"GROUP","notifierId":"{notifier}","emailEnabled":true},{"typeName":"WEBHOOK","webhookUrl":"https://other.example.com"}]}`},
		{"PATCH", at, configsAt + "/{config}", `{"enabled":false}`},
		{"PATCH", at, windowAt, `{"dayOfWeek":7,"hourOfDay":23,"startASAP":false,"autoDeferOnceEnabled":true,"protectedHours":{"startHourOfDay":1,"endHourOfDay":3}}`},
		{"PATCH", at, clustersAt + "/A/backup/schedule", schedule},
		{"POST", at, clustersAt + "/A/backup/snapshots", `{"retentionInDays":5,"description":"now"}`},
		{"PATCH", at, clustersAt + "/A/backup/snapshots/{snapshot}", `{"retentionUnit":"WEEKS","retentionValue":2}`},
		{"POST", at, v2 + "/groups", `{"name":"other","orgId":"{org}","tags":[{"key":"k","value":"v"}],"withDefaultAlertsSettings":true,"regionUsageRestrictions":"COMMERCIAL_FEDRAMP_REGIONS_ONLY"}`},
		{"PATCH", at, inGroup, `{"name":"another","tags":[{"key":"k","value":"v"}]}`},
		{"PATCH", at, inGroup + "/settings", `{"isSchemaAdvisorEnabled":true,"isDataExplorerEnabled":false}`},
		{"PATCH", at, inGroup + "/limits/atlas.project.deployment.clusters", `{"value":7}`},
		{"POST", at, inOrg + "/apiKeys", `{"desc":"k","roles":["ORG_MEMBER"]}`},
		{"PATCH", at, inOrg + "/apiKeys/{key}", `{"desc":"l","roles":["ORG_OWNER"]}`},
		{"POST", at, inGroup + "/apiKeys", `{"desc":"g","roles":["GROUP_READ_ONLY"]}`},
		{"POST", at, inGroup + "/apiKeys/{key}", `[{"roles":["GROUP_READ_ONLY"]}]`},
		{"PATCH", at, inGroup + "/apiKeys/{key}", `{"roles":["GROUP_OWNER"],"desc":"x"}`},
		{"POST", at, inOrg + "/serviceAccounts", account},
		{"POST", at, inGroup + "/serviceAccounts", `{"name":"ci","description":"d","roles":["GROUP_OWNER"],"secretExpiresAfterHours":8}`},
		{"PATCH", at, inOrg + "/serviceAccounts/{client}", `{"name":"cd","description":"e","roles":["ORG_OWNER"]}`},
		{"POST", at, inOrg + "/serviceAccounts/{client}/secrets", `{"secretExpiresAfterHours":9}`},
		{"POST", at, inGroup + "/serviceAccounts/{client}:invite", `{"roles":["GROUP_OWNER"]}`},
		{"PATCH", "2023-01-01", inGroup + "/alerts/{alert}", `{"acknowledgedUntil":"2027-01-01T00:00:00Z","acknowledgementComment":"known"}`},
		{"PATCH", at, inGroup + "/alerts/{alert}", `{"acknowledgedUntil":"9999-12-31T23:59:59-23:59","acknowledgementComment":"known","unacknowledgeAlert":false}`},
		{"POST", at, "/api/private/unauth/telemetry/events", `[{"x":1}]`},
		{"POST", "", "/api/oauth/token", `grant_type=client_credentials`},
		{"POST", "", "/api/oauth/revoke", `token=x&token=y`},
	}
}
