package measure

import (
	"context"
	"fmt"
	"net/http"
)

// Operation is what one request of the API took.
type Operation struct {
	Method, Path string
	What         string // what it was about, where there are several of the same operation
	Authorizer   Usage
	Function     Usage
	// Least is what the data model demands: a read for a read; a read and a write for a change.
	LeastReads, LeastWrites int
}

// Over is how many requests to DynamoDB it makes besides what the data model demands.
func (o Operation) Over() int {
	return max(0, o.Function.Requests()-o.LeastReads-o.LeastWrites)
}

// NoKeyChanged is what a PATCH of the configuration is about that leaves the keys alone.
const NoKeyChanged = "no key is changed"

// scene is a step that is told of.
type scene struct {
	step
	what   string
	before func(ctx context.Context) error // what must have happened
}

func plain(steps ...step) (all []scene) {
	for _, s := range steps {
		all = append(all, scene{step: s})
	}
	return all
}

// Operations asks for operations of the API, one after the other, as a client with a token does.
func (w *World) Operations(ctx context.Context) ([]Operation, error) {
	var all []Operation
	for _, s := range w.scenes() {
		if s.before != nil {
			if err := s.before(ctx); err != nil {
				return nil, err
			}
		}
		tally, err := w.take(ctx, w.account(), s.step)
		if err != nil {
			return nil, err
		}
		o := Operation{
			Method: s.method, Path: s.path, What: s.what, Authorizer: tally.Of("authorizer"), Function: tally.All("authorizer"), LeastReads: 1,
		}
		if s.method != http.MethodGet {
			o.LeastWrites = 1
		}
		all = append(all, o)
	}
	return all, nil
}

func (w *World) scenes() (all []scene) {
	all = append(all, plain(orgSteps()...)...)
	all = append(all, plain(projectSteps()...)...)
	all = append(all, plain(identitySteps()...)...)
	all = append(all, w.keyScenes()...)
	all = append(all, plain(alertSteps()...)...)
	all = append(all, plain(clusterSteps()...)...)
	all = append(all, plain(backupSteps()...)...)
	return append(all, plain(lastSteps()...)...)
}

// keyScenes bring a key, and change it.
func (w *World) keyScenes() []scene {
	const settings, role = inGroup + "/encryptionAtRest", "latchkey-operations"
	const at = "2023-01-01"
	later := func(context.Context) error { // later than a check is shared with others
		const moment = 10e9
		w.pass(moment)
		return nil
	}
	return []scene{
		{step: askRole},
		{step: authorizeRole, before: func(ctx context.Context) error {
			w.known["keys"] = ""
			if err := w.makeKey(ctx); err != nil {
				return err
			}
			return w.allow(ctx, role)
		}},
		{step: step{"GET", at, inGroup + "/cloudProviderAccess", "", ""}},
		{step: step{"GET", at, inGroup + "/cloudProviderAccess/{role}", "", ""}},
		{step: useKey, what: "a key is brought"},
		{step: step{"GET", at, settings, "", ""}, what: "the key is checked", before: later},
		{step: step{"GET", at, settings, "", ""}, what: "it was checked a moment ago"},
		{step: step{"PATCH", at, settings, `{"enabledForSearchNodes":true}`, ""}, what: NoKeyChanged},
		{step: authorizeRole, what: "a role in use"},
		{step: step{"PATCH", at, settings, `{"awsKms":{"customerMasterKeyID":"{key}"}}`, ""}, what: "another key", before: func(ctx context.Context) error {
			if err := w.makeKey(ctx); err != nil {
				return err
			}
			return w.permit(ctx, role)
		}},
		{step: step{"GET", "", own1 + "/groups/{group}/encryptionAtRest/keys", "", ""}},
		{step: step{"POST", "", own1 + "/groups/{group}/encryptionAtRest/validate", "", ""}, before: later},
		{step: step{"PATCH", at, settings, `{"awsKms":{"requirePrivateNetworking":true}}`, ""}, what: "private networking"},
		{step: step{"POST", at, settings + "/AWS/privateEndpoints", `{"regionName":"US_EAST_1"}`, "endpoint=id"}},
		{step: step{"GET", at, settings + "/AWS/privateEndpoints", "", ""}},
		{step: step{"GET", at, settings + "/AWS/privateEndpoints/{endpoint}", "", ""}},
	}
}

func orgSteps() []step {
	const at = "2023-01-01"
	return []step{
		{"GET", at, v2, "", ""},
		{"GET", at, v2 + "/orgs", "", ""},
		{"GET", at, inOrg, "", ""},
		{"GET", at, inOrg + "/groups", "", ""},
		{"GET", at, inOrg + "/settings", "", ""},
		{"GET", at, inOrg + "/users", "", ""},
	}
}

func projectSteps() []step {
	const at, other = "2023-01-01", v2 + "/groups/{other}"
	return []step{
		{"POST", at, v2 + "/groups", `{"name":"other","orgId":"{org}"}`, "other=id"},
		{"GET", at, v2 + "/groups", "", ""},
		{"GET", at, v2 + "/groups/byName/other", "", ""},
		{"GET", at, other, "", ""},
		{"PATCH", at, other, `{"name":"another"}`, ""},
		{"GET", at, inGroup, "", ""},
		{"GET", at, inGroup + "/users", "", ""},
		{"GET", at, inGroup + "/teams", "", ""},
		{"GET", at, inGroup + "/accessList", "", ""},
		{"GET", at, inGroup + "/ipAddresses", "", ""},
		{"GET", at, inGroup + "/settings", "", ""},
		{"PATCH", at, inGroup + "/settings", `{"isSchemaAdvisorEnabled":true}`, ""},
		{"GET", at, inGroup + "/managedSlowMs", "", ""},
		{"DELETE", at, inGroup + "/managedSlowMs/disable", "", ""},
		{"GET", at, inGroup + "/limits", "", ""},
		{"GET", at, inGroup + "/limits/atlas.project.deployment.clusters", "", ""},
		{"PATCH", at, inGroup + "/limits/dataFederation.bytesProcessed.query", `{"value":7}`, ""},
		{"DELETE", at, inGroup + "/limits/dataFederation.bytesProcessed.query", "", ""},
		{"DELETE", at, other, "", ""},
	}
}

func identitySteps() []step {
	const keys, in, accounts = inOrg + "/apiKeys", inGroup + "/apiKeys", inOrg + "/serviceAccounts"
	const at, later = "2023-01-01", "2024-08-05"
	return []step{
		{"POST", at, keys, `{"desc":"k","roles":["ORG_MEMBER"]}`, "apiKey=id"},
		{"GET", at, keys, "", ""},
		{"GET", at, keys + "/{apiKey}", "", ""},
		{"PATCH", at, keys + "/{apiKey}", `{"desc":"l"}`, ""},
		{"POST", at, in, `{"desc":"g","roles":["GROUP_READ_ONLY"]}`, ""},
		{"GET", at, in, "", ""},
		{"POST", at, in + "/{apiKey}", `[{"roles":["GROUP_READ_ONLY"]}]`, ""},
		{"PATCH", at, in + "/{apiKey}", `{"roles":["GROUP_OWNER"]}`, ""},
		{"DELETE", at, in + "/{apiKey}", "", ""},
		{"DELETE", at, keys + "/{apiKey}", "", ""},
		{"POST", later, accounts, `{"name":"ci","description":"for tests","roles":["ORG_MEMBER"],"secretExpiresAfterHours":8}`, "client=clientId,first=secrets.0.id"},
		{"GET", later, accounts, "", ""},
		{"GET", later, accounts + "/{client}", "", ""},
		{"PATCH", later, accounts + "/{client}", `{"name":"cd"}`, ""},
		{"POST", later, accounts + "/{client}/secrets", `{"secretExpiresAfterHours":9}`, ""},
		{"DELETE", later, accounts + "/{client}/secrets/{first}", "", ""},
		{"GET", later, inGroup + "/serviceAccounts", "", ""},
		{"POST", later, inGroup + "/serviceAccounts/{client}:invite", `{"roles":["GROUP_OWNER"]}`, ""},
		{"DELETE", later, inGroup + "/serviceAccounts/{client}", "", ""},
		{"DELETE", later, accounts + "/{client}", "", ""},
	}
}

func alertSteps() []step {
	const at, configs, window = "2023-01-01", inGroup + "/alertConfigs", inGroup + "/maintenanceWindow"
	const body = `{"eventTypeName":"AWS_ENCRYPTION_KEY_INVALID","enabled":true,"notifications":[{"typeName":"GROUP","emailEnabled":true,"intervalMin":10,"roles":["GROUP_OWNER"]}]`
	return []step{
		{"POST", at, configs, body + `}`, "config=id"},
		{"GET", at, configs, "", ""},
		{"GET", at, configs + "/{config}", "", ""},
		{"PUT", at, configs + "/{config}", body + `,"severityOverride":"ERROR"}`, ""},
		{"PATCH", at, configs + "/{config}", `{"enabled":false}`, ""},
		{"GET", at, configs + "/{config}/alerts", "", ""},
		{"DELETE", at, configs + "/{config}", "", ""},
		{"GET", at, inGroup + "/alerts?status=OPEN", "", ""},
		{"GET", at, window, "", ""},
		{"PATCH", at, window, `{"dayOfWeek":2,"hourOfDay":3}`, ""},
		{"POST", at, window + "/autoDefer", "", ""},
		{"DELETE", at, window, "", ""},
	}
}

func clusterSteps() []step {
	const at, modern, one = "2023-01-01", "2024-10-23", inGroup + "/clusters/A"
	const nodes = `"clusterType":"REPLICASET","replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,` +
		`"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]`
	return []step{
		{"POST", modern, inGroup + "/clusters", `{"name":"A",` + nodes + `,"backupEnabled":true}`, "cluster=id"},
		{"GET", "2024-08-05", inGroup + "/clusters", "", ""},
		{"GET", "2024-08-05", one, "", ""},
		{"GET", at, one + "/status", "", ""},
		{"PATCH", "2024-08-05", one, `{"terminationProtectionEnabled":false,"tags":[{"key":"k","value":"v"}]}`, ""},
		{"GET", "2024-08-05", one + "/processArgs", "", ""},
		{"PATCH", "2024-08-05", one + "/processArgs", `{"queryStatsLogVerbosity":1}`, ""},
		{"GET", at, v2 + "/clusters", "", ""},
		{"GET", "", own1 + "/groups/{group}/masterKeys", "", ""},
		{"GET", at, inGroup + "/containers/all", "", "container=results.0.id"},
		{"GET", at, inGroup + "/containers/{container}", "", ""},
		{"GET", at, inGroup + "/processes", "", "process=results.0.id"},
		{"GET", at, inGroup + "/processes/{process}", "", ""},
	}
}

func backupSteps() []step {
	const at, schedule, snapshots = "2023-01-01", inGroup + "/clusters/A/backup/schedule", inGroup + "/clusters/A/backup/snapshots"
	return []step{
		{"GET", at, schedule, "", ""},
		{"PATCH", at, schedule, `{"referenceHourOfDay":3,"referenceMinuteOfHour":15}`, ""},
		{"POST", at, snapshots, `{"retentionInDays":5,"description":"now"}`, "snapshot=id"},
		{"GET", at, snapshots, "", ""},
		{"GET", at, snapshots + "/{snapshot}", "", ""},
		{"GET", at, inGroup + "/clusters/A/backup/restoreJobs", "", ""},
		{"DELETE", at, schedule, "", ""},
		{"DELETE", "2023-02-01", inGroup + "/clusters/A?retainBackups=false", "", ""},
	}
}

func lastSteps() []step {
	const at = "2023-01-01"
	return []step{
		{"GET", at, inGroup + "/events", "", "event=results.0.id"},
		{"GET", at, inGroup + "/events/{event}", "", ""},
		{"GET", at, inOrg + "/events", "", ""},
	}
}

// Name is the operation with what it was about.
func (o Operation) Name() string {
	if o.What == "" {
		return o.Method + " " + o.Path
	}
	return fmt.Sprintf("%s %s (%s)", o.Method, o.Path, o.What)
}
