package latchkey_test

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
)

// Where operations are.
const (
	inGroup      = "/api/atlas/v2/groups/{groupId}"
	inOrg        = "/api/atlas/v2/orgs/{orgId}"
	inCluster    = inGroup + "/clusters/{clusterName}"
	v1Group      = "/api/atlas/v1.0/groups/{groupId}"
	oneReplica   = `"replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]`
	legacySize   = `"providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"}`
	webhookAlarm = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,"notifications":[{"typeName":"WEBHOOK","webhookUrl":"https://hooks.example.com/x"}]}`
)

// bodies are what the rightful caller sends: {name} stands for what the tenant has of that name. Every
// operation that takes a body is here.
func bodies() map[string]string {
	return map[string]string{
		"POST /api/atlas/v2/groups":                                              `{"name":"another","orgId":"{orgId}"}`,
		"PATCH " + inGroup:                                                       `{"name":"renamed"}`,
		"PATCH " + inGroup + "/settings":                                         `{"isSchemaAdvisorEnabled":false}`,
		"PATCH " + inGroup + "/limits/{limitName}":                               `{"value":7}`,
		"POST " + inOrg + "/apiKeys":                                             `{"desc":"k","roles":["ORG_OWNER"]}`,
		"PATCH " + inOrg + "/apiKeys/{apiUserId}":                                `{"desc":"l"}`,
		"POST " + inGroup + "/apiKeys":                                           `{"desc":"g","roles":["GROUP_OWNER"]}`,
		"POST " + inGroup + "/apiKeys/{apiUserId}":                               `[{"roles":["GROUP_OWNER"]}]`,
		"PATCH " + inGroup + "/apiKeys/{apiUserId}":                              `{"roles":["GROUP_OWNER"]}`,
		"POST " + inOrg + "/serviceAccounts":                                     `{"name":"ci","description":"d","roles":["ORG_OWNER"],"secretExpiresAfterHours":8}`,
		"PATCH " + inOrg + "/serviceAccounts/{clientId}":                         `{"name":"cd"}`,
		"POST " + inOrg + "/serviceAccounts/{clientId}/secrets":                  `{"secretExpiresAfterHours":9}`,
		"POST " + inGroup + "/serviceAccounts":                                   `{"name":"ci","description":"d","roles":["GROUP_OWNER"],"secretExpiresAfterHours":8}`,
		"PATCH " + inGroup + "/serviceAccounts/{clientId}":                       `{"name":"cd"}`,
		"POST " + inGroup + "/serviceAccounts/{clientId}/secrets":                `{"secretExpiresAfterHours":9}`,
		"POST " + inGroup + "/serviceAccounts/{clientId}:invite":                 `{"roles":["GROUP_OWNER"]}`,
		"PATCH " + inGroup + "/encryptionAtRest":                                 `{"enabledForSearchNodes":true}`,
		"PATCH " + v1Group + "/encryptionAtRest":                                 `{"enabledForSearchNodes":true}`,
		"POST " + inGroup + "/cloudProviderAccess":                               `{"providerName":"AWS"}`,
		"PATCH " + inGroup + "/cloudProviderAccess/{roleId}":                     `{"providerName":"AWS","iamAssumedRoleArn":"{roleArn}"}`,
		"POST " + inGroup + "/clusters":                                          `{"name":"B","clusterType":"REPLICASET",` + oneReplica + `}`,
		"POST " + v1Group + "/clusters":                                          `{"name":"L",` + legacySize + `}`,
		"PATCH " + inCluster:                                                     `{"tags":[{"key":"k","value":"v"}]}`,
		"PATCH " + v1Group + "/clusters/{clusterName}":                           `{"tags":[{"key":"k","value":"v"}]}`,
		"PATCH " + inCluster + "/processArgs":                                    `{"transactionLifetimeLimitSeconds":30}`,
		"POST " + inCluster + "/backup/snapshots":                                `{"retentionInDays":5}`,
		"PATCH " + inCluster + "/backup/snapshots/{snapshotId}":                  `{"retentionUnit":"WEEKS","retentionValue":2}`,
		"PATCH " + inCluster + "/backup/schedule":                                `{"referenceHourOfDay":3}`,
		"POST " + inCluster + "/backup/restoreJobs":                              `{"deliveryType":"automated","snapshotId":"{snapshotId}","targetClusterName":"{clusterName}","targetGroupId":"{groupId}"}`,
		"PATCH " + inGroup + "/alerts/{alertId}":                                 `{"acknowledgedUntil":"2199-01-01T00:00:00Z"}`,
		"POST " + inGroup + "/alertConfigs":                                      webhookAlarm,
		"PUT " + inGroup + "/alertConfigs/{alertConfigId}":                       webhookAlarm,
		"PATCH " + inGroup + "/alertConfigs/{alertConfigId}":                     `{"enabled":false}`,
		"PATCH " + inGroup + "/maintenanceWindow":                                `{"dayOfWeek":3,"hourOfDay":4}`,
		"POST " + inGroup + "/encryptionAtRest/{cloudProvider}/privateEndpoints": `{"regionName":"US_EAST_2"}`,
	}
}

// refusedToAll are the operations that the objects of these tests have no use for: what the rightful
// caller is answered instead of a success. That it is answered so, and no stranger is, shows that it
// was admitted.
func refusedToAll() map[string]int {
	return map[string]int{
		"POST " + inGroup + "/encryptionAtRest/{cloudProvider}/privateEndpoints": http.StatusBadRequest, // the key is in one region alone
		"POST " + inGroup + "/maintenanceWindow/defer":                           http.StatusBadRequest, // nothing is planned
		"GET " + inGroup + "/flexClusters/{name}":                                http.StatusBadRequest, // it is no flex cluster
		"GET " + inCluster + "/backup/snapshots/shardedCluster/{snapshotId}":     http.StatusNotFound,   // it is not sharded
		"DELETE " + inGroup: http.StatusConflict, // it has clusters
		"DELETE " + inGroup + "/cloudProviderAccess/{cloudProvider}/{roleId}": http.StatusBadRequest,       // it is in use
		"DELETE " + inCluster + "/backup/restoreJobs/{restoreJobId}":          http.StatusMethodNotAllowed, // it is over
	}
}

// fill puts what a tenant has in the place of {name}.
func fill(text string, has map[string]string) string {
	for name, value := range has {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// asked is an operation as the description has it: whom it admits is read here and nowhere else, so
// the code and the tests of access can't agree on a mistake of the code's.
type asked struct {
	method, path string
	id           string
	public       bool
	roles        []string
	accept       string
	body         string
}

// operations are all that the API's description describes for clients. What agents ask authenticates itself.
func operations(t *testing.T) []asked {
	t.Helper()
	doc := description(t)
	all := described(doc)
	var list []asked
	for _, key := range slices.Sorted(maps.Keys(all)) {
		method, path, _ := strings.Cut(key, " ")
		if strings.HasPrefix(path, "/api/latchkey/v1/enrol") || strings.HasPrefix(path, "/api/latchkey/v1/nodes/") {
			continue
		}
		list = append(list, operation(t, doc, key, method, path, all[key]))
	}
	return list
}

func operation(t *testing.T, doc *openapi3.T, key, method, path string, op *openapi3.Operation) asked {
	t.Helper()
	promised := ofOperation(doc, op)
	a := asked{
		method: method, path: path, id: promised.Operation, public: promised.Public || strings.HasPrefix(path, "/api/oauth/"),
		roles: promised.Roles, accept: "application/json", body: bodies()[key],
	}
	if n := len(promised.Versions); n > 0 {
		a.accept = "application/vnd.atlas." + promised.Versions[n-1] + "+json"
	}
	if op.RequestBody != nil && a.body == "" && !a.public {
		t.Errorf("%s takes a body: say in bodies() what the rightful caller sends", key)
	}
	return a
}
