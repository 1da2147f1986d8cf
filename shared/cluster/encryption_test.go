package cluster_test

import (
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/store"
)

func TestAClusterIsEncryptedOnlyWithAKeyThatIsThereAndValid(t *testing.T) {
	w := newWorld(t)
	w.keys.valid[atlas.GCP] = false
	tenant := func(size string) string {
		return `{"name":"t","clusterType":"REPLICASET","encryptionAtRestProvider":"AWS","replicationSpecs":[{"regionConfigs":[{"providerName":"TENANT","backingProviderName":"AWS","regionName":"US_EAST_1","priority":7,"electableSpecs":{"instanceSize":"` + size + `"}}]}]}`
	}
	for name, c := range map[string]struct{ body, code, params string }{
		"not enabled":       {body("c1", `"encryptionAtRestProvider":"AZURE",`), "ENCRYPTION_AT_REST_NOT_ENABLED", w.group},
		"not valid":         {body("c1", `"encryptionAtRestProvider":"GCP",`), "ENCRYPTION_AT_REST_SETTINGS_INVALID", ""},
		"no provider":       {body("c1", `"encryptionAtRestProvider":"ORACLE",`), "INVALID_ENCRYPTION_AT_REST_PROVIDER", "ORACLE"},
		"a tenant":          {tenant("M0"), "CANNOT_USE_ENCRYPTION_AT_REST_TENANT", ""},
		"a shared size":     {strings.Replace(tenant("M5"), "TENANT", "AWS", 1), "INSUFFICIENT_INSTANCE_SIZE", "M10"},
		"a flex cluster":    {strings.Replace(tenant("M2"), `"encryptionAtRestProvider":"AWS",`, "", 1), "CANNOT_USE_FLEX_CLUSTER_IN_CLUSTER_API", "t"},
		"a free one":        {strings.Replace(tenant("M0"), `"encryptionAtRestProvider":"AWS",`, "", 1), "INVALID_CLUSTER_CONFIGURATION", ""},
		"a shared size, no": {strings.Replace(strings.Replace(tenant("M0"), "TENANT", "AWS", 1), `"encryptionAtRestProvider":"AWS",`, "", 1), "INVALID_CLUSTER_CONFIGURATION", ""},
	} {
		t.Run(name, func(t *testing.T) {
			answer := w.fail(http.MethodPost, "/clusters", c.body, 400, c.code)
			params, _ := answer["parameters"].([]any)
			if got := len(params); (c.params != "") != (got == 1) || got == 1 && params[0] != c.params {
				t.Errorf("parameters %v, want %q", params, c.params)
			}
		})
	}
	if len(w.starter.names()) > 0 {
		t.Error("a refused cluster was begun")
	}
}

func TestTheKeysProviderNeedNotBeTheNodes(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"GCP","backupEnabled":true,"pitEnabled":true,`)
	for _, n := range d.Nodes {
		if n.Provider != atlas.AWS || n.Desired.Provider != atlas.GCP {
			t.Errorf("a node in %s is encrypted by %s", n.Provider, n.Desired.Provider)
		}
	}
}

func TestAKeyIsInUseUntilNoNodeNeedsIt(t *testing.T) {
	w := newWorld(t)
	steps := []struct {
		provider string
		during   []string // AWS, GCP in use while the change is in progress
		after    []string
	}{
		{"AWS", []string{"AWS"}, []string{"AWS"}},
		{"NONE", []string{"AWS"}, nil},
		{"GCP", []string{"GCP"}, []string{"GCP"}},
		{"NONE", []string{"GCP"}, nil},
	}
	inUse := func() (used []string) {
		for _, p := range []atlas.Provider{atlas.AWS, atlas.GCP} {
			if slices.Contains(w.used(p), "c1") {
				used = append(used, string(p))
			}
		}
		return used
	}
	w.create("c1", "")
	for _, step := range steps {
		w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"`+step.provider+`"}`)
		if diff := cmp.Diff(step.during, inUse()); diff != "" {
			t.Errorf("while changing to %s: %s", step.provider, diff)
		}
		w.work("c1")
		if diff := cmp.Diff(step.after, inUse()); diff != "" {
			t.Errorf("after changing to %s: %s", step.provider, diff)
		}
	}
	if err := w.disableProvider(atlas.AWS); err != nil {
		t.Error(err)
	}
}

func TestAClusterIsDecryptedBeforeAnotherProvidersKeyEncryptsIt(t *testing.T) {
	w := newWorld(t)
	w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	w.fail(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"GCP"}`, 409, "CANNOT_CHANGE_ENCRYPTION_AT_REST_PROVIDER")
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"NONE"}`)
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"GCP"}`) // waits for the first
	w.work("c1")
	if d := w.load("c1"); d.Applied.Provider != atlas.GCP || len(w.used(atlas.AWS)) > 0 {
		t.Errorf("%s, AWS is used by %v", d.Applied.Provider, w.used(atlas.AWS))
	}
}

// Of a cluster that begins to rely on a key and a request that disables it, one wins.
func TestAKeyIsNotDisabledUnderAClusterThatBeginsToRelyOnIt(t *testing.T) {
	t.Run("the request wins", func(t *testing.T) {
		w := newWorld(t)
		w.keys.before = func() { // when the settings are read for the first time
			if err := w.disableProvider(atlas.AWS); err != nil {
				t.Error(err)
			}
			w.keys.valid[atlas.AWS] = true // as they were when they were read
			w.keys.before = func() { delete(w.keys.valid, atlas.AWS) }
		}
		w.fail(http.MethodPost, "/clusters", body("c1", `"encryptionAtRestProvider":"AWS",`), 400, "ENCRYPTION_AT_REST_NOT_ENABLED")
	})
	t.Run("the cluster wins", func(t *testing.T) {
		w := newWorld(t)
		names, unchanged, err := cluster.UsedBy(t.Context(), w.table, w.group, atlas.AWS)
		if err != nil || len(names) > 0 {
			t.Fatalf("in use by %v, %v", names, err)
		}
		w.must(http.MethodPost, "/clusters", body("c1", `"encryptionAtRestProvider":"AWS",`))
		if err := w.table.Write(t.Context(), unchanged); !errors.Is(err, store.ErrConflict) {
			t.Errorf("the key is disabled under the cluster: %v", err)
		}
	})
}

func TestEncryptionOfADisabledClusterWaitsForTheKey(t *testing.T) {
	w := newWorld(t)
	d := w.create("c1", `"encryptionAtRestProvider":"AWS",`)
	if err := w.service.Disable(t.Context(), d.ID, atlas.AWS, "KEY_DISABLED"); err != nil {
		t.Fatal(err)
	}
	w.obey(w.load("c1"))
	w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"NONE"}`)
	answer := w.must(http.MethodPatch, "/clusters/c1", `{"encryptionAtRestProvider":"GCP"}`)
	if answer["encryptionAtRestProvider"] != "GCP" || w.load("c1").Plan != nil {
		t.Errorf("a disabled cluster answers %v and begins %v", answer["encryptionAtRestProvider"], w.load("c1").Plan)
	}
	if len(w.used(atlas.AWS)) != 1 || len(w.used(atlas.GCP)) != 1 {
		t.Errorf("in use: %v of AWS, %v of GCP", w.used(atlas.AWS), w.used(atlas.GCP))
	}
}
