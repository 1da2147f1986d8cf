package changeoverapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/changeover"
	"latchkey/shared/changeover/changeoverapi"
	"latchkey/shared/encryption"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/ledger"
	"latchkey/shared/project"
	"latchkey/shared/verdict"
	"latchkey/shared/workflow"
)

// reports are what is stored of one group.
type reports []changeover.Report

func (r reports) Report(context.Context, string) ([]changeover.Report, error) { return r, nil }

func at(minute int) time.Time { return time.Date(2026, 5, 1, 12, minute, 0, 0, time.UTC) }

// results are what a reader of a group is told.
func results(t *testing.T, stored reports) []map[string]any {
	t.Helper()
	table, clock := identitytest.Table(t), identitytest.NewClock()
	projects := &project.Service{Table: table, Journal: audit.Journal{Table: table, Now: clock.Now}, Now: clock.Now}
	founded, err := projects.Found(t.Context(), project.Founding{Name: "Acme", OwnerEmail: "o@acme.example"})
	if err != nil {
		t.Fatal(err)
	}
	api := httpapi.New(httpapi.Config{Gate: identity.Gate{Groups: projects}, Now: clock.Now, Log: slog.New(slog.DiscardHandler)},
		changeoverapi.API{Reports: stored}.Routes())
	reader := identity.Caller{
		Kind: identity.KindAPIKey, ID: "1", OrgID: founded.Org.ID, GroupRoles: map[string][]identity.Role{founded.GroupID: {identity.GroupReadOnly}},
	}
	r := httptest.NewRequestWithContext(httpapi.WithCaller(t.Context(), reader), http.MethodGet,
		"/api/latchkey/v1/groups/"+founded.GroupID+"/encryptionAtRest/keys", nil)
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	var page struct{ Results []map[string]any }
	if err := json.NewDecoder(bytes.NewReader(w.Body.Bytes())).Decode(&page); err != nil || w.Code != http.StatusOK {
		t.Fatalf("%d %s %v", w.Code, w.Body, err)
	}
	return page.Results
}

func TestList_tells_what_is_stored_of_a_key_that_fails_during_a_rotation(t *testing.T) {
	cmk := ledger.CMK{Provider: atlas.AWS, Name: "arn:aws:kms:us-east-1:111122223333:key/0f0e0d0c-1111-4222-8333-444455556666", Version: "v"}
	got := results(t, reports{{
		Provider: atlas.AWS,
		InUse: &changeover.KeyInUse{
			CMK: cmk, Since: at(0), Nodes: 2, Checked: at(9), PrivateNetworking: true, PrivateInForce: true, Verdict: verdict.Verdict{
				Reason: verdict.KeyDisabled, ProviderCode: "DisabledException", RequestID: "r-1", StartedAt: at(5), Since: at(5),
			},
		},
		Change: encryption.Changeover{Kind: workflow.RotateKey, State: encryption.UnderWay, Began: at(1), NodesLeft: 1},
		Remaining: &changeover.Remaining{Nodes: 3, WrappedKeys: 4, Awaited: []changeover.Awaited{{
			ClusterID: "c", ClusterName: "A", NodeID: "n", IsSilent: true,
		}}},
	}})
	want := []map[string]any{{
		"cloudProvider": "AWS",
		"keyInUse": map[string]any{
			"key": cmk.Name, "version": "v", "masterKeyUUID": "0f0e0d0c-1111-4222-8333-444455556666", "since": "2026-05-01T12:00:00Z", "nodes": 2.0,
			"status": map[string]any{
				"valid": false, "class": "INVALID", "reason": "KEY_DISABLED", "since": "2026-05-01T12:05:00Z", "checkedAt": "2026-05-01T12:09:00Z",
				"providerCode": "DisabledException", "providerRequestId": "r-1",
			},
			"privateNetworking": map[string]any{"required": true, "inForce": true},
		},
		"lastChange": map[string]any{
			"kind": "rotate-key", "state": "UNDER_WAY", "beganAt": "2026-05-01T12:01:00Z", "endedAt": nil, "wrappedKeysProved": 0.0,
			"wrappedKeysLost": 0.0, "nodesLeft": 1.0, "blockedSince": nil, "reason": nil, "remaining": map[string]any{
				"waitsFor": "NODES", "nodes": 3.0, "wrappedKeys": 4.0, "awaitedNodes": []any{map[string]any{
					"clusterId": "c", "clusterName": "A", "nodeId": "n", "silent": true, "failed": false,
				}},
			},
		},
		"formerKeys": []any{},
	}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) and answered (+):\n%s", diff)
	}
}

func TestList_names_what_a_change_waits_for(t *testing.T) {
	node := []changeover.Awaited{{NodeID: "n"}}
	tests := map[string]struct {
		change encryption.Changeover
		left   *changeover.Remaining
		want   any // of remaining.waitsFor
	}{
		"a key comes before nodes":           {encryption.Changeover{Kind: workflow.RotateKey, Blocked: at(1)}, &changeover.Remaining{Awaited: node}, "KEY"},
		"nodes":                              {encryption.Changeover{Kind: workflow.RotateKey}, &changeover.Remaining{Awaited: node}, "NODES"},
		"keys that are being opened: no one": {encryption.Changeover{Kind: workflow.SwitchRole}, &changeover.Remaining{}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got := results(t, reports{{Provider: atlas.Azure, Change: tt.change, Remaining: tt.left}})[0]
			last, _ := got["lastChange"].(map[string]any)
			left, _ := last["remaining"].(map[string]any)
			if waits, told := left["waitsFor"]; !told || waits != tt.want || got["keyInUse"] != nil {
				t.Errorf("answered %v", got)
			}
		})
	}
	ended := results(t, reports{{Provider: atlas.Azure, Change: encryption.Changeover{Kind: workflow.SwitchRole, State: encryption.Restored, Reason: verdict.RoleDenied}}})[0]
	if last, _ := ended["lastChange"].(map[string]any); last["remaining"] != nil || last["reason"] != "ROLE_DENIED" {
		t.Errorf("answered %v", ended)
	}
}
