package snapshot_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/httpapi"
	"latchkey/shared/identity"
)

// RoundTrip makes the official SDK's requests reach the routes, as the world's caller.
func (w *world) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx := httpapi.WithBase(httpapi.WithCaller(r.Context(), w.caller), "https://latchkey.test")
	rec := httptest.NewRecorder()
	w.api.ServeHTTP(rec, r.WithContext(ctx))
	resp := rec.Result()
	resp.Request = r
	return resp, nil
}

func (w *world) sdk() admin.CloudBackupsApi {
	w.t.Helper()
	client, err := admin.NewClient(admin.UseBaseURL("https://latchkey.test"), admin.UseHTTPClient(&http.Client{Transport: w}))
	if err != nil {
		w.t.Fatal(err)
	}
	return client.CloudBackupsApi
}

// code is the error code that the SDK decoded.
func code(err error) atlas.Code {
	e, ok := admin.AsError(err)
	if !ok {
		return ""
	}
	return atlas.Code(e.GetErrorCode())
}

func TestTheOfficialSDKTakesKeepsAndRestoresSnapshots(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		api, ctx := w.sdk(), t.Context()
		w.put(w.group, "c1", 0, "a")
		requested, _, err := api.TakeSnapshots(ctx, w.group, "c1", &admin.DiskBackupOnDemandSnapshotRequest{
			Description: new("before rotation"), RetentionInDays: new(2),
		}).Execute()
		if err != nil || requested.GetStatus() != "queued" || requested.CreatedAt != nil || requested.GetFrequencyType() != "ondemand" {
			t.Fatalf("TakeSnapshots = %+v, %v", requested, err)
		}
		var x *admin.DiskBackupReplicaSet
		w.until("completed", func() bool {
			x, _, err = api.GetClusterBackupSnapshot(ctx, w.group, "c1", requested.GetId()).Execute()
			return err == nil && x.GetStatus() == "completed"
		})
		if x.GetMasterKeyUUID() != "0d3b1a52-0000-4000-8000-000000000000" || x.GetStorageSizeBytes() == 0 || x.GetMongodVersion() == "" ||
			x.GetCloudProvider() != "AWS" || x.GetType() != "replicaSet" || x.GetReplicaSetName() != "c1" || x.GetSnapshotType() != "onDemand" || x.CreatedAt == nil {
			t.Errorf("snapshot %+v", x)
		}
		list, _, err := api.ListBackupSnapshots(ctx, w.group, "c1").Execute()
		if err != nil || list.GetTotalCount() != 1 || list.GetResults()[0].GetId() != x.GetId() {
			t.Errorf("ListBackupSnapshots = %+v, %v", list, err)
		}
		kept, _, err := api.UpdateBackupSnapshot(ctx, w.group, "c1", x.GetId(), &admin.BackupSnapshotRetention{RetentionUnit: "WEEKS", RetentionValue: 2}).Execute()
		if err != nil || !kept.GetExpiresAt().Equal(x.GetCreatedAt().AddDate(0, 0, 14)) {
			t.Errorf("UpdateBackupSnapshot = %+v, %v", kept, err)
		}
		w.put(w.group, "c1", 0, "b")
		job, _, err := api.CreateBackupRestoreJob(ctx, w.group, "c1", &admin.DiskBackupSnapshotRestoreJob{
			DeliveryType: "automated", SnapshotId: x.Id, TargetClusterName: new("c1"), TargetGroupId: &w.group,
		}).Execute()
		if err != nil || job.FinishedAt != nil || job.GetFailed() || job.GetTargetClusterName() != "c1" {
			t.Fatalf("CreateBackupRestoreJob = %+v, %v", job, err)
		}
		w.until("finished", func() bool {
			job, _, err = api.GetBackupRestoreJob(ctx, w.group, "c1", job.GetId()).Execute()
			return err == nil && job.FinishedAt != nil
		})
		w.settled(w.group, "c1")
		w.hasInstead(w.group, "c1", "a", "b")
		jobs, _, err := api.ListBackupRestoreJobs(ctx, w.group, "c1").Execute()
		if err != nil || jobs.GetTotalCount() != 1 {
			t.Errorf("ListBackupRestoreJobs = %+v, %v", jobs, err)
		}
		if resp, err := api.DeleteClusterBackupSnapshot(ctx, w.group, "c1", x.GetId()).Execute(); err != nil || resp.StatusCode != http.StatusNoContent {
			t.Errorf("DeleteClusterBackupSnapshot = %v", err)
		}
		if _, _, err := api.GetClusterBackupSnapshot(ctx, w.group, "c1", x.GetId()).Execute(); code(err) != atlas.SnapshotNotFound {
			t.Errorf("a deleted snapshot = %v", err)
		}
	})
}

func TestTheOfficialSDKReadsAndChangesTheSchedule(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		api, ctx := w.sdk(), t.Context()
		s, _, err := api.GetBackupSchedule(ctx, w.group, "c1").Execute()
		if err != nil || len(s.GetPolicies()) != 1 || len(s.GetPolicies()[0].PolicyItems) != 5 || s.GetRestoreWindowDays() != 7 || s.NextSnapshot == nil {
			t.Fatalf("GetBackupSchedule = %+v, %v", s, err)
		}
		again, _, err := api.GetBackupSchedule(ctx, w.group, "c1").Execute()
		if err != nil || again.GetPolicies()[0].GetId() != s.GetPolicies()[0].GetId() {
			t.Errorf("the default's ids change: %v", err)
		}
		policies := s.GetPolicies()
		policies[0].PolicyItems = policies[0].PolicyItems[:2]
		policies[0].PolicyItems[0].FrequencyInterval = 12
		policies[0].PolicyItems = append(policies[0].PolicyItems, admin.DiskBackupApiPolicyItem{
			FrequencyType: "weekly", FrequencyInterval: 7, RetentionUnit: "weeks", RetentionValue: 3,
		})
		s, _, err = api.UpdateBackupSchedule(ctx, w.group, "c1", &admin.DiskBackupSnapshotSchedule20240805{Policies: policies, ReferenceHourOfDay: new(4)}).Execute()
		if err != nil || len(s.GetPolicies()[0].PolicyItems) != 3 || s.GetReferenceHourOfDay() != 4 || s.GetPolicies()[0].PolicyItems[2].GetId() == "" {
			t.Fatalf("UpdateBackupSchedule = %+v, %v", s, err)
		}
		for name, c := range map[string]struct {
			change func(s *admin.DiskBackupSnapshotSchedule20240805)
			want   atlas.Code
		}{
			"another policy":  {func(s *admin.DiskBackupSnapshotSchedule20240805) { s.Policies[0].Id = &w.group }, atlas.InvalidPolicyID},
			"an unknown item": {func(s *admin.DiskBackupSnapshotSchedule20240805) { s.Policies[0].PolicyItems[0].Id = &w.group }, atlas.InvalidPolicyItemID},
			"another frequency": {func(s *admin.DiskBackupSnapshotSchedule20240805) {
				s.Policies[0].PolicyItems[0].FrequencyType = "yearly"
			}, atlas.InvalidFrequencyTypeChange},
			"two policies": {func(s *admin.DiskBackupSnapshotSchedule20240805) { s.Policies = append(s.Policies, s.Policies[0]) }, atlas.InvalidPolicyCount},
			"exports":      {func(s *admin.DiskBackupSnapshotSchedule20240805) { s.AutoExportEnabled = new(true) }, atlas.ValidationError},
			"an hour":      {func(s *admin.DiskBackupSnapshotSchedule20240805) { s.ReferenceHourOfDay = new(24) }, atlas.InvalidReferenceHour},
		} {
			bad := *s
			bad.Policies = []admin.AdvancedDiskBackupSnapshotSchedulePolicy{{
				Id: s.Policies[0].Id, PolicyItems: slices.Clone(s.Policies[0].PolicyItems),
			}}
			c.change(&bad)
			if _, _, err := api.UpdateBackupSchedule(ctx, w.group, "c1", &bad).Execute(); code(err) != c.want {
				t.Errorf("%s: %v, want %s", name, err, c.want)
			}
		}
		s, _, err = api.DeleteClusterBackupSchedule(ctx, w.group, "c1").Execute()
		if err != nil || len(s.GetPolicies()[0].PolicyItems) != 0 || s.NextSnapshot != nil {
			t.Errorf("DeleteClusterBackupSchedule = %+v, %v", s, err)
		}
	})
}

func TestTheOfficialSDKSeesTheMembersOfAShardedClustersSnapshot(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 2)
		x := w.take(w.group, "c1")
		api, ctx := w.sdk(), t.Context()
		got, _, err := api.GetBackupShardedCluster(ctx, w.group, "c1", x.ID).Execute()
		if err != nil || len(got.GetMembers()) != 2 || len(got.GetSnapshotIds()) != 2 || got.GetMembers()[0].Id != got.GetSnapshotIds()[0] || got.GetType() != "shardedCluster" {
			t.Fatalf("GetBackupShardedCluster = %+v, %v", got, err)
		}
		list, _, err := api.ListBackupShardedClusters(ctx, w.group, "c1").Execute()
		if err != nil || len(list.GetResults()) != 1 {
			t.Errorf("ListBackupShardedClusters = %+v, %v", list, err)
		}
		if _, err := api.DeleteBackupShardedCluster(ctx, w.group, "c1", x.ID).Execute(); err != nil {
			t.Errorf("DeleteBackupShardedCluster = %v", err)
		}
	})
}

// call performs a request below the cluster's backups and returns status and error code.
func (w *world) call(method, path, body string) (int, atlas.Code) {
	w.t.Helper()
	r := httptest.NewRequestWithContext(w.t.Context(), method, "https://latchkey.test/api/atlas/v2/groups/"+w.group+"/clusters/"+path, strings.NewReader(body))
	r.Header.Set("Accept", "application/vnd.atlas.2024-11-13+json")
	resp, err := w.RoundTrip(r)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close() //nolint:errcheck // it is in memory
	var e atlas.ErrorBody
	if resp.StatusCode >= http.StatusBadRequest {
		if err := json.NewDecoder(resp.Body).Decode(&e); err != nil {
			w.t.Fatal(err)
		}
	}
	return resp.StatusCode, e.ErrorCode
}

func TestRequestsThatMakeNoSenseAreRefusedWithTheDocumentedCodes(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.create(w.group, "open", "NONE", 1)
		x, plain := w.take(w.group, "c1"), w.take(w.group, "open")
		const none = "650000000000000000000099"
		automated := func(id, cluster string) string {
			return `{"deliveryType":"automated","snapshotId":"` + id + `","targetGroupId":"` + w.group + `","targetClusterName":"` + cluster + `"}`
		}
		for _, c := range []struct {
			method, path, body string
			want               atlas.Code
		}{
			{"GET", "c9/backup/snapshots", "", atlas.ClusterNotFound},
			{"POST", "c9/backup/snapshots", `{"retentionInDays":1}`, atlas.ClusterNotFound},
			{"POST", "c1/backup/snapshots", `{}`, atlas.MissingAttribute},
			{"POST", "c1/backup/snapshots", `{"retentionInDays":0}`, atlas.InvalidAttribute},
			{"POST", "c1/backup/snapshots", `{"retentionInDays":4000000000}`, atlas.InvalidAttribute},
			{"POST", "c1/backup/snapshots", `{"retentionInDays":"1"}`, atlas.InvalidJSONAttribute},
			{"POST", "c1/backup/snapshots", `{"retentionInDays":1,"description":"` + strings.Repeat("x", 501) + `"}`, atlas.InvalidAttribute},
			{"GET", "c1/backup/snapshots/" + none, "", atlas.SnapshotNotFound},
			{"GET", "open/backup/snapshots/" + x.ID, "", atlas.SnapshotNotFound},
			{"GET", "c1/backup/snapshots/..%2f..%2fCLUSTER", "", atlas.InvalidPathParameter},
			{"GET", "c1/backup/snapshots/shardedCluster/" + x.ID, "", atlas.SnapshotNotFound},
			{"PATCH", "c1/backup/snapshots/" + x.ID, `{"retentionUnit":"DAYS"}`, atlas.MissingAttribute},
			{"PATCH", "c1/backup/snapshots/" + x.ID, `{"retentionUnit":"HOURS","retentionValue":1}`, atlas.InvalidEnumValue},
			{"PATCH", "c1/backup/snapshots/" + x.ID, `{"retentionUnit":"DAYS","retentionValue":-1}`, atlas.InvalidAttribute},
			{"DELETE", "c1/backup/snapshots/" + none, "", atlas.SnapshotNotFound},
			{"GET", "c1/backup/restoreJobs/" + none, "", atlas.RestoreJobNotFound},
			{"DELETE", "c1/backup/restoreJobs/" + none, "", atlas.RestoreJobNotFound},
			{"POST", "c1/backup/restoreJobs", `{}`, atlas.MissingAttribute},
			{"POST", "c1/backup/restoreJobs", `{"deliveryType":"carrier pigeon"}`, atlas.InvalidEnumValue},
			{"POST", "c1/backup/restoreJobs", `{"deliveryType":"pointInTime","pointInTimeUTCSeconds":1}`, atlas.UnsupportedDeliveryMethod},
			{"POST", "c1/backup/restoreJobs", `{"deliveryType":"download","snapshotId":"` + x.ID + `"}`, atlas.CannotDownloadEncryptedSnapshot},
			{"POST", "open/backup/restoreJobs", `{"deliveryType":"download","snapshotId":"` + plain.ID + `"}`, atlas.UnsupportedDeliveryMethod},
			{"POST", "c1/backup/restoreJobs", `{"deliveryType":"automated","snapshotId":"` + x.ID + `"}`, atlas.MissingAttribute},
			{"POST", "c1/backup/restoreJobs", automated(none, "c1"), atlas.SnapshotNotFound},
			{"POST", "c1/backup/restoreJobs", automated(x.ID, "c9"), atlas.ClusterNotFound},
			{"POST", "c1/backup/restoreJobs", automated(x.ID, "open"), atlas.InvalidSnapshotRestoreEncryption},
		} {
			if status, got := w.call(c.method, c.path, c.body); got != c.want || status != c.want.Status() {
				t.Errorf("%s %s %.80s answers %d %s, want %s", c.method, c.path, c.body, status, got, c.want)
			}
		}
		off := atlas.ClusterRequest{BackupEnabled: new(bool)}
		if _, err := w.clusters.Update(t.Context(), w.caller, w.group, "open", off); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{"open/backup/schedule", "open/backup/snapshots"} {
			method := map[bool]string{true: "GET", false: "POST"}[strings.HasSuffix(path, "schedule")]
			if status, got := w.call(method, path, `{"retentionInDays":1}`); got != atlas.BackupJobNotFound || status != http.StatusNotFound {
				t.Errorf("%s %s answers %d %s", method, path, status, got)
			}
		}
		pause := atlas.ClusterRequest{Paused: new(true)}
		if _, err := w.clusters.Update(t.Context(), w.caller, w.group, "c1", pause); err != nil {
			t.Fatal(err)
		}
		if _, got := w.call("POST", "c1/backup/restoreJobs", automated(x.ID, "c1")); got != atlas.ClusterPausedCannotRestore {
			t.Errorf("a restore to a paused cluster answers %s", got)
		}
	})
}

func TestRolesAreAsked(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		w.create(w.group, "c1", "AWS", 1)
		w.create(w.other, "c2", "AWS", 1)
		x := w.take(w.group, "c1")
		body := `{"deliveryType":"automated","snapshotId":"` + x.ID + `","targetGroupId":"` + w.other + `","targetClusterName":"c2"}`
		for _, c := range []struct {
			role             identity.Role
			read, take, move bool
		}{
			{identity.GroupReadOnly, true, false, false}, {identity.GroupClusterManager, true, false, false}, {identity.GroupBackupManager, true, true, false},
		} {
			w.caller.OrgRoles, w.caller.GroupRoles = nil, map[string][]identity.Role{w.group: {c.role}}
			for name, got := range map[string]struct {
				status int
				want   bool
			}{
				"read":    {first(w.call("GET", "c1/backup/snapshots", "")), c.read},
				"change":  {first(w.call("PATCH", "c1/backup/snapshots/"+x.ID, `{"retentionUnit":"DAYS","retentionValue":2}`)), c.take},
				"restore": {first(w.call("POST", "c1/backup/restoreJobs", body)), c.move},
			} {
				if (got.status < http.StatusBadRequest) != got.want || !got.want && got.status != http.StatusUnauthorized {
					t.Errorf("%s may %s: %d", c.role, name, got.status)
				}
			}
		}
		if jobs, err := w.service.Jobs(t.Context(), w.group, "c1"); err != nil || len(jobs) != 0 {
			t.Errorf("jobs %+v, %v", jobs, err)
		}
	})
}

func first(status int, _ atlas.Code) int { return status }
