package encryption_test

import (
	"net/http"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/project"
	common "latchkey/shared/suite"
)

// newCluster asks for a replica set in AWS that a provider's key encrypts.
func newCluster(provider string) request {
	return request{http.MethodPost, clusters, `{"name":"c1","clusterType":"REPLICASET","encryptionAtRestProvider":"` + provider +
		`","replicationSpecs":[{"regionConfigs":[{"providerName":"AWS","regionName":"US_EAST_1","priority":7,` +
		`"electableSpecs":{"instanceSize":"M10","nodeCount":3}}]}]}`}
}

// sharedCluster asks for a cluster whose nodes serve many tenants.
func sharedCluster(provider, size string) request {
	return request{http.MethodPost, clusters, `{"name":"c1","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS",` +
		`"replicationSpecs":[{"regionConfigs":[{"providerName":"` + provider + `","backingProviderName":"AWS","regionName":"US_EAST_1",` +
		`"priority":7,"electableSpecs":{"instanceSize":"` + size + `","nodeCount":3}}]}]}`}
}

func changeCluster(body string) request { return request{http.MethodPatch, clusters + "/c1", body} }

// withKey enables a key at AWS ahead of a request.
func withKey(r request) func(*world) request {
	return func(w *world) request {
		w.mustSend(configure("awsKms", w.byAWSRole(w.awsKey())))
		return r
	}
}

// withCluster makes a cluster that a key at AWS encrypts ahead of a request.
func withCluster(r request) func(*world) request {
	return func(w *world) request {
		w.mustSend(withKey(newCluster("AWS"))(w))
		return r
	}
}

func clusterScenarios() []scenario {
	always := func(r request) func(*world) request { return func(*world) request { return r } }
	return []scenario{
		{
			code: atlas.EARNotEnabled, when: "a new cluster for whose provider no key is configured", params: `["` + groupID + `"]`,
			detail:  "Encryption at Rest is not enabled for group " + groupID + ".",
			prepare: always(newCluster("AWS")),
		},
		{
			code: atlas.EARNotEnabled, when: "a cluster that is to use a provider without a key", params: `["` + groupID + `"]`,
			prepare: func(w *world) request {
				w.mustSend(newCluster("NONE"))
				return changeCluster(`{"encryptionAtRestProvider":"AZURE"}`)
			},
		},
		{
			code: atlas.InvalidEARProvider, when: "a cluster that is to use an unknown provider", params: `["ORACLE"]`,
			prepare: always(newCluster("ORACLE")),
		},
		{
			code: atlas.CannotUseEARTenant, when: "a free cluster", params: `[]`,
			prepare: withKey(sharedCluster("TENANT", "M0")),
		},
		{
			code: atlas.CannotUseEARBackupType, when: "a cluster with legacy backups", params: `[]`,
			detail: "Cannot use Encryption at Rest with clusters running legacy backup.",
			prepare: withKey(request{http.MethodPost, "/api/atlas/v1.0/groups/" + groupID + "/clusters", `{"name":"c1","backupEnabled":true,` +
				`"encryptionAtRestProvider":"AWS","providerSettings":{"providerName":"AWS","instanceSizeName":"M10","regionName":"US_EAST_1"}}`}),
		},
		{
			code: atlas.InsufficientInstanceSize, when: "a cluster smaller than M10", params: `["M10"]`,
			prepare: withKey(sharedCluster("AWS", "M5")),
		},
		{
			code: atlas.CannotChangeEARProvider, when: "a cluster that uses the key of another provider", params: `[]`,
			detail: "To choose a different Encryption at Rest provider, please disable and re-enable this feature. " +
				"This will decrypt your data and allow you to encrypt it with a different Encryption at Rest provider.",
			prepare: withCluster(changeCluster(`{"encryptionAtRestProvider":"GCP"}`)),
		},
		{
			code: atlas.CannotDisableEAR, when: "a cluster is encrypted with the key that is to be disabled", params: `[]`,
			detail:  "Cannot disable Encryption at Rest because it is still enabled on one or more clusters in the group.",
			prepare: withCluster(patch(`{"awsKms":{"enabled":false}}`)),
		},
		{
			code: atlas.EARSettingsInvalid, when: "a new cluster while the key is disabled", params: `[]`,
			prepare: func(w *world) request {
				key := w.awsKey()
				w.mustSend(configure("awsKms", w.byAWSRole(key)))
				w.awsKeyChanges(key)["key disabled"].take()
				w.get() // whoever reads this learns that it is not valid, and then must not be told otherwise
				return newCluster("AWS")
			},
		},
	}
}

// Terraform destroys a cluster, its encryption and its project in one run, one after the other.
func TestAClusterThatIsGoneBlocksNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		made := w.mustSend(withKey(newCluster("AWS"))(w))
		if code := w.send(request{http.MethodDelete, v2, ""}).code(); code != "CANNOT_CLOSE_GROUP_ACTIVE_ATLAS_CLUSTERS" {
			t.Errorf("the project answers %s", code)
		}
		w.mustSend(request{http.MethodDelete, clusters + "/c1", ""})
		if code := w.send(patch(`{"awsKms":{"enabled":false}}`)).code(); code != "CANNOT_DISABLE_ENCRYPTION_AT_REST" {
			t.Errorf("while the nodes go, disabling answers %s", code)
		}
		w.finish(made.body["id"].(string))
		for _, r := range []request{
			{http.MethodGet, clusters + "/c1", ""}, patch(`{"awsKms":{"enabled":false}}`), {http.MethodDelete, v2, ""}, {http.MethodGet, v2, ""},
		} {
			want := map[string]int{http.MethodGet: http.StatusNotFound, http.MethodPatch: http.StatusOK, http.MethodDelete: http.StatusNoContent}[r.method]
			if a := w.send(r); a.status != want {
				t.Errorf("%s %s answers %d %s", r.method, r.path, a.status, a.text)
			}
		}
	})
}

// finish does what the workflow does once the nodes of a cluster are gone.
func (w *world) finish(clusterID string) {
	w.t.Helper()
	if done, err := w.clusters().FinishDelete(w.t.Context(), clusterID); err != nil || !done {
		w.t.Fatalf("%t, %v", done, err)
	}
}

// clusters is the service that workflows use.
func (w *world) clusters() *cluster.Service {
	journal := audit.Journal{Table: w.table, Now: time.Now}
	return common.Clusters(common.ClusterDeps{
		Table: w.table, Journal: journal, Projects: &project.Service{Table: w.table, Journal: journal, Now: time.Now},
		Start: w.started, Now: time.Now, Log: w.deps.Log,
	})
}
