package main

// Where operations are.
const (
	v1, v2     = "/api/atlas/v1.0", "/api/atlas/v2"
	inGroup    = v2 + "/groups/{group}"
	inOrg      = v2 + "/orgs/{org}"
	clustersAt = inGroup + "/clusters"
)

func serviceSteps() []step {
	return []step{
		{200, "2023-01-01", "GET", v2, "", ""},
		{406, "", "GET", v2, "", ""},
		{406, "2022-12-31", "GET", v2, "", ""},
		{200, "2023-11-15", "GET", v2 + "/unauth/controlPlaneIPAddresses", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits?pretty=true&itemsPerPage=3&pageNum=2&includeCount=false", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits?groupId={group}&name=Clusters&envelope=true", "", ""},
		{404, "2025-03-12", "GET", v2 + "/rateLimits?groupId=nonsense", "", ""},
		{401, "2025-03-12", "GET", v2 + "/rateLimits?userId=somebody", "", ""},
		{200, "2025-03-12", "GET", v2 + "/rateLimits/clusters?envelope=true", "", ""},
		{404, "2025-03-12", "GET", v2 + "/rateLimits/none", "", ""},
		{404, "2023-01-01", "GET", v2 + "/nothing", "", ""},
		{405, "2023-01-01", "DELETE", v2 + "/orgs/{org}", "", ""},
		{200, "", "GET", "/api/private/ipinfo", "", ""},
		{200, "", "GET", "/api/private/unauth/nds/defaultMongoDBMajorVersion", "", ""},
		{204, "", "POST", "/api/private/v1.0/telemetry/events", "[]", ""},
		{204, "", "POST", "/api/private/unauth/telemetry/events", "[]", ""},
	}
}

func orgSteps() []step {
	return []step{
		{200, "2023-01-01", "GET", v2 + "/orgs?name=", "", ""},
		{200, "2023-01-01", "GET", inOrg, "", ""},
		{401, "2023-01-01", "GET", v2 + "/orgs/{none}", "", ""},
		{404, "2023-01-01", "GET", v2 + "/orgs/nonsense", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/groups", "", ""},
		{400, "2023-01-01", "GET", inOrg + "/groups?itemsPerPage=501", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/settings", "", ""},
		{200, "2023-01-01", "GET", inOrg + "/users", "", ""},
		{200, "2025-02-19", "GET", inOrg + "/users?orgMembershipStatus=ACTIVE", "", ""},
		{400, "2025-02-19", "GET", inOrg + "/users?orgMembershipStatus=GONE", "", ""},
	}
}

func projectSteps() []step {
	const other = v2 + "/groups/{other}"
	return []step{
		{200, "2023-01-01", "GET", v2 + "/groups", "", ""},
		{201, "2023-01-01", "POST", v2 + "/groups", `{"name":"other","orgId":"{org}","tags":[{"key":"k","value":"v"}]}`, "other=id"},
		{409, "2023-01-01", "POST", v2 + "/groups", `{"name":"other","orgId":"{org}"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":"other"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":"<other>","orgId":"{org}"}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `{"name":7}`, ""},
		{400, "2023-01-01", "POST", v2 + "/groups", `[]`, ""},
		{200, "2023-01-01", "GET", v2 + "/groups/byName/other", "", ""},
		{404, "2023-01-01", "GET", v2 + "/groups/byName/nobody's", "", ""},
		{200, "2023-01-01", "GET", other, "", ""},
		{404, "2023-01-01", "GET", v2 + "/groups/nonsense", "", ""},
		{401, "2023-01-01", "GET", v2 + "/groups/{none}", "", ""},
		{200, "2023-01-01", "PATCH", other, `{"name":"another","tags":[]}`, ""},
		{400, "2023-01-01", "PATCH", other, `{"tags":[{"key":"","value":""}]}`, ""},
		{200, "2023-01-01", "GET", inGroup + "/users?includeOrgUsers=true", "", ""},
		{200, "2025-02-19", "GET", inGroup + "/users?includeOrgUsers=true&username=x", "", ""},
		{200, "2025-02-19", "GET", inGroup + "/users", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/teams", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/accessList", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/ipAddresses", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/settings", "", ""},
		{200, "2023-01-01", "PATCH", inGroup + "/settings", `{"isSchemaAdvisorEnabled":true}`, ""},
		{200, "2023-01-01", "GET", inGroup + "/managedSlowMs", "", ""},
		{204, "2023-01-01", "DELETE", inGroup + "/managedSlowMs/disable", "", ""},
		{204, "2023-01-01", "POST", inGroup + "/managedSlowMs/enable", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/limits", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/limits/atlas.project.deployment.clusters", "", ""},
		{400, "2023-01-01", "GET", inGroup + "/limits/nonsense", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/limits/dataFederation.bytesProcessed.query", "", ""},
		{200, "2023-01-01", "PATCH", inGroup + "/limits/dataFederation.bytesProcessed.query", `{"value":7}`, ""},
		{400, "2023-01-01", "PATCH", inGroup + "/limits/atlas.project.deployment.clusters", `{"value":1000}`, ""},
		{204, "2023-01-01", "DELETE", inGroup + "/limits/dataFederation.bytesProcessed.query", "", ""},
		{204, "2023-01-01", "DELETE", other, "", ""},
		{404, "2023-01-01", "GET", other, "", ""},
	}
}

func keySteps() []step {
	const keys, inGroupKeys = inOrg + "/apiKeys", inGroup + "/apiKeys"
	return []step{
		{200, "2023-01-01", "POST", keys, `{"desc":"k","roles":["ORG_MEMBER"]}`, "key=id"},
		{400, "2023-01-01", "POST", keys, `{"desc":"k","roles":["GROUP_OWNER"]}`, ""},
		{400, "2023-01-01", "POST", keys, `{"roles":["ORG_MEMBER"]}`, ""},
		{200, "2023-01-01", "GET", keys, "", ""},
		{200, "2023-01-01", "GET", keys + "/{key}", "", ""},
		{404, "2023-01-01", "GET", keys + "/{none}", "", ""},
		{200, "2023-01-01", "PATCH", keys + "/{key}", `{"desc":"l"}`, ""},
		{400, "2023-01-01", "PATCH", keys + "/{key}", `{"roles":[]}`, ""},
		{200, "2023-01-01", "POST", inGroupKeys, `{"desc":"g","roles":["GROUP_READ_ONLY"]}`, "groupKey=id"},
		{400, "2023-01-01", "POST", inGroupKeys, `{"desc":"g","roles":["ORG_MEMBER"]}`, ""},
		{200, "2023-01-01", "GET", inGroupKeys, "", ""},
		{204, "2023-01-01", "POST", inGroupKeys + "/{key}", `[{"roles":["GROUP_READ_ONLY"]}]`, ""},
		{404, "2023-01-01", "POST", inGroupKeys + "/{none}", `[{"roles":["GROUP_READ_ONLY"]}]`, ""},
		{200, "2023-01-01", "PATCH", inGroupKeys + "/{key}", `{"roles":["GROUP_OWNER"]}`, ""},
		{204, "2023-01-01", "DELETE", inGroupKeys + "/{key}", "", ""},
		{404, "2023-01-01", "DELETE", inGroupKeys + "/{key}", "", ""},
		{204, "2023-01-01", "DELETE", keys + "/{key}", "", ""},
		{404, "2023-01-01", "DELETE", keys + "/{key}", "", ""},
	}
}

func accountSteps() []step {
	const at = "2024-08-05"
	var steps []step
	for _, place := range []struct{ path, role string }{{inOrg, "ORG_MEMBER"}, {inGroup, "GROUP_READ_ONLY"}} {
		accounts := place.path + "/serviceAccounts"
		steps = append(steps,
			step{201, at, "POST", accounts, `{"name":"ci","description":"for tests","roles":["` + place.role + `"],"secretExpiresAfterHours":8}`, "client=clientId"},
			step{400, at, "POST", accounts, `{"name":"ci"}`, ""},
			step{200, at, "GET", accounts, "", ""},
			step{200, at, "GET", accounts + "/{client}", "", "first=secrets.0.id"},
			step{404, at, "GET", accounts + "/mdb_sa_id_{none}", "", ""},
			step{200, at, "PATCH", accounts + "/{client}", `{"name":"cd"}`, ""},
			step{400, at, "PATCH", accounts + "/{client}", `{"roles":["NOBODY"]}`, ""},
			step{201, at, "POST", accounts + "/{client}/secrets", `{"secretExpiresAfterHours":9}`, "secret=secret"},
			step{400, at, "POST", accounts + "/{client}/secrets", `{"secretExpiresAfterHours":10}`, ""},
			step{204, at, "DELETE", accounts + "/{client}/secrets/{first}", "", ""},
			step{404, at, "DELETE", accounts + "/{client}/secrets/{none}", "", ""},
		)
		if place.path == inOrg {
			steps = append(steps,
				step{200, at, "POST", inGroup + "/serviceAccounts/{client}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
				step{404, at, "POST", inGroup + "/serviceAccounts/mdb_sa_id_{none}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
				step{204, at, "DELETE", inGroup + "/serviceAccounts/{client}", "", ""},
				step{204, at, "DELETE", accounts + "/{client}", "", ""},
				step{404, at, "DELETE", accounts + "/{client}", "", ""},
			)
		}
	}
	return steps
}

func accessSteps() []step {
	const roles = inGroup + "/cloudProviderAccess"
	return []step{
		{200, "2023-01-01", "GET", roles, "", "arn=awsIamRoles.0.iamAssumedRoleArn"},
		{200, "2023-01-01", "GET", roles + "/{role}", "", ""},
		{404, "2023-01-01", "GET", roles + "/{none}", "", ""},
		{200, "", "GET", "/api/latchkey/v1/groups/{group}/cloudProviderAccess/identities", "", ""},
		{200, "2023-01-01", "POST", roles, `{"providerName":"AWS"}`, "spare=roleId"},
		{200, "2023-01-01", "POST", roles, `{"providerName":"GCP"}`, ""},
		{400, "2023-01-01", "POST", roles, `{"providerName":"IBM"}`, ""},
		{400, "2023-01-01", "POST", roles, `{}`, ""},
		{200, "2023-01-01", "PATCH", roles + "/{role}", `{"providerName":"AWS","iamAssumedRoleArn":"{arn}"}`, ""},
		{400, "2023-01-01", "PATCH", roles + "/{spare}", `{"providerName":"AWS","iamAssumedRoleArn":"{arn}"}`, ""},
		{204, "2023-01-01", "DELETE", roles + "/AWS/{spare}", "", ""},
		{404, "2023-01-01", "DELETE", roles + "/AWS/{spare}", "", ""},
		{400, "2023-01-01", "DELETE", roles + "/AWS/{role}", "", ""},
	}
}

func encryptionSteps() []step {
	const settings, own = inGroup + "/encryptionAtRest", "/api/latchkey/v1/groups/{group}/encryptionAtRest"
	return []step{
		{200, "2023-01-01", "GET", settings, "", ""},
		{200, "", "GET", v1 + "/groups/{group}/encryptionAtRest", "", ""},
		{200, "2023-01-01", "PATCH", settings, `{"enabledForSearchNodes":true}`, ""},
		{200, "", "PATCH", v1 + "/groups/{group}/encryptionAtRest", `{"enabledForSearchNodes":false}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"awsKms":{"region":"NOWHERE"}}`, ""},
		{404, "2023-01-01", "PATCH", settings, `{"awsKms":{"roleId":"{none}"}}`, ""},
		{404, "2023-01-01", "PATCH", settings, `{"awsKms":{"customerMasterKeyID":"1234abcd-12ab-34cd-56ef-1234567890ab"}}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"azureKeyVault":{"enabled":true}}`, ""},
		{400, "2023-01-01", "PATCH", settings, `{"googleCloudKms":{"enabled":true,"roleId":"{none}"}}`, ""},
		{200, "", "POST", own + "/validate", "", ""},
		{200, "", "GET", own + "/keys?pretty=true", "", ""},
		{200, "", "GET", own + "/AWS/privateEndpointRegions", "", ""},
		{400, "", "GET", own + "/GCP/privateEndpointRegions", "", ""},
	}
}

func configSteps() []step {
	const configs = inGroup + "/alertConfigs"
	const body = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,"matchers":[{"fieldName":"CLUSTER_NAME","operator":"EQUALS","value":"A"}],` +
		`"notifications":[{"typeName":"GROUP","emailEnabled":true,"intervalMin":10,"roles":["GROUP_OWNER"]},` +
		`{"typeName":"SLACK","apiToken":"xoxb-0123456789abcdef","channelName":"#keys"}]`
	return []step{
		{200, "2023-01-01", "GET", v2 + "/alertConfigs/matchers/fieldNames", "", ""},
		{201, "2023-01-01", "POST", configs, body + `}`, "config=id"},
		{400, "2023-01-01", "POST", configs, body + `,"threshold":{"operator":"GREATER_THAN","threshold":-1,"units":"DAYS"}}`, ""},
		{400, "2023-01-01", "POST", configs, `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","notifications":[]}`, ""},
		{200, "2023-01-01", "GET", configs, "", ""},
		{200, "2023-01-01", "GET", configs + "/{config}", "", ""},
		{404, "2023-01-01", "GET", configs + "/{none}", "", ""},
		{200, "2023-01-01", "PUT", configs + "/{config}", body + `,"severityOverride":"ERROR"}`, ""},
		{400, "2023-01-01", "PUT", configs + "/{config}", `{}`, ""},
		{200, "2023-01-01", "PATCH", configs + "/{config}", `{"enabled":true}`, ""},
		{400, "2023-01-01", "PATCH", configs + "/{config}", `{}`, ""},
		{200, "2023-01-01", "GET", configs + "/{config}/alerts", "", ""},
		{201, "2023-01-01", "POST", configs, `{"eventTypeName":"GCP_ENCRYPTION_KEY_NEEDS_ROTATION","threshold":{"operator":"GREATER_THAN","threshold":90,"units":"DAYS"},` +
			`"notifications":[{"typeName":"EMAIL","emailAddress":"a@acme.example"}]}`, "spareConfig=id"},
		{204, "2023-01-01", "DELETE", configs + "/{spareConfig}", "", ""},
		{404, "2023-01-01", "DELETE", configs + "/{spareConfig}", "", ""},
		{200, "2023-01-01", "GET", inGroup + "/alerts?status=OPEN", "", ""},
		{400, "2023-01-01", "GET", inGroup + "/alerts?status=ASLEEP", "", ""},
		{404, "2023-01-01", "GET", inGroup + "/alerts/{none}", "", ""},
	}
}

func eventSteps() []step {
	const feed, orgFeed = inGroup + "/events", inOrg + "/events"
	return []step{
		{200, "2023-01-01", "GET", v2 + "/eventTypes?itemsPerPage=500", "", ""},
		{200, "2023-01-01", "GET", feed + "?itemsPerPage=500&includeRaw=true", "", "event=results.0.id"},
		{200, "2023-01-01", "GET", feed + "?eventType=CLUSTER_CREATED&clusterNames=A&minDate=2000-01-01T00:00:00Z&includeCount=false", "", ""},
		{400, "2023-01-01", "GET", feed + "?eventType=nonsense", "", ""},
		{400, "2023-01-01", "GET", feed + "?minDate=yesterday", "", ""},
		{200, "2023-01-01", "GET", feed + "/{event}?includeRaw=true", "", ""},
		{404, "2023-01-01", "GET", feed + "/{none}", "", ""},
		{200, "2023-01-01", "GET", orgFeed + "?itemsPerPage=500", "", "event=results.0.id"},
		{200, "2023-01-01", "GET", orgFeed + "/{event}", "", ""},
		{404, "2023-01-01", "GET", orgFeed + "/{none}", "", ""},
	}
}
