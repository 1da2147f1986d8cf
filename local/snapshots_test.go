package main

import (
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"
)

// "Snapshots are encrypted under, and restorable with, the key active when taken (masterKeyUUID)":
// the project has another key by the time of the restore.
func TestPromise6_snapshotsAreRestoredWithTheKeyActiveWhenTaken(t *testing.T) {
	inEstate(t, func(e *estate) {
		e.create("A", "AWS")
		e.wrote("A", 60)
		then := maps.Clone(e.written["A"])
		snapshot := e.snapshot("A")
		e.until("the snapshot is complete", func() bool { return e.snapshotOf("A", snapshot).GetStatus() == "completed" })
		active := *e.key.update.AwsKms.CustomerMasterKeyID
		if got := e.snapshotOf("A", snapshot).GetMasterKeyUUID(); !strings.HasSuffix(active, got) || got == "" {
			t.Errorf("the snapshot names key %q, and the active one is %s", got, active)
		}

		e.anotherKey()
		e.wrote("A", 60)
		e.restore("A", snapshot)
		e.written["A"] = then
		e.readable("A")
		e.wrote("A", 10)
	})
}

// snapshot asks for a snapshot.
func (e *estate) snapshot(name string) (id string) {
	e.t.Helper()
	s, _, err := e.client.CloudBackupsApi.TakeSnapshots(e.t.Context(), e.owner.GroupID, name,
		&admin.DiskBackupOnDemandSnapshotRequest{Description: aws.String("now"), RetentionInDays: aws.Int(5)}).Execute()
	e.must(err)
	return s.GetId()
}

func (e *estate) snapshotOf(name, id string) *admin.DiskBackupReplicaSet {
	e.t.Helper()
	s, _, err := e.client.CloudBackupsApi.GetClusterBackupSnapshot(e.t.Context(), e.owner.GroupID, name, id).Execute()
	e.must(err)
	return s
}

// restore puts a snapshot in place of a cluster's data.
func (e *estate) restore(name, snapshot string) {
	e.t.Helper()
	backups := e.client.CloudBackupsApi
	job, _, err := backups.CreateBackupRestoreJob(e.t.Context(), e.owner.GroupID, name, &admin.DiskBackupSnapshotRestoreJob{
		DeliveryType: "automated", SnapshotId: &snapshot, TargetClusterName: &name, TargetGroupId: &e.owner.GroupID,
	}).Execute()
	e.must(err)
	e.until("the restore is finished", func() bool {
		now, _, err := backups.GetBackupRestoreJob(e.t.Context(), e.owner.GroupID, name, job.GetId()).Execute()
		e.must(err)
		if now.GetFailed() {
			e.t.Fatalf("the restore failed: %+v", now)
		}
		return !now.GetFinishedAt().IsZero()
	})
	e.until("it answers", func() bool { return e.answers(name) })
}

// anotherKey makes the project use a new key of the same tenant; the old one stays.
func (e *estate) anotherKey() {
	e.t.Helper()
	ctx, keys := e.t.Context(), kms.NewFromConfig(e.tenant)
	made, err := keys.CreateKey(ctx, &kms.CreateKeyInput{})
	e.must(err)
	old := *e.key.update.AwsKms.CustomerMasterKeyID
	e.second(iam.NewFromConfig(e.tenant).PutRolePolicy(ctx, &iam.PutRolePolicyInput{
		RoleName: aws.String("atlas-kms"), PolicyName: aws.String("key"),
		PolicyDocument: aws.String(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["kms:Decrypt","kms:Encrypt","kms:DescribeKey"],"Resource":["` +
			old + `","` + *made.KeyMetadata.Arn + `"]}]}`),
	}))
	update := admin.EncryptionAtRest{AwsKms: &admin.AWSKMSConfiguration{
		Enabled: aws.Bool(true), RoleId: e.key.update.AwsKms.RoleId, CustomerMasterKeyID: made.KeyMetadata.Arn, Region: aws.String("US_EAST_1"),
	}}
	_, _, err = e.client.EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(ctx, e.owner.GroupID, &update).Execute()
	e.must(err)
}

// snapshotFailures belong to the table of TestFailures.
func snapshotFailures() []failure {
	return []failure{{
		name: "the key is taken in the middle of a snapshot",
		inject: func(e *estate) {
			for moment := range 4 {
				e.write("A", 10)
				then := maps.Clone(e.written["A"])
				snapshot := e.snapshot("A")
				time.Sleep(time.Duration(moment) * 20 * time.Second)
				e.key.take()
				e.validate()
				time.Sleep(10 * time.Minute)
				e.key.give()
				e.validate()
				e.until("the nodes run", func() bool { return e.processes() == allRun && e.answers("A") })
				e.until("the snapshot ends", func() bool {
					status := e.snapshotOf("A", snapshot).GetStatus()
					return status == "completed" || status == "failed"
				})
				if e.snapshotOf("A", snapshot).GetStatus() == "completed" {
					e.wrote("A", 10)
					e.restore("A", snapshot)
					e.written["A"] = then
					e.readable("A")
				}
			}
		},
	}, {
		name: "everything ends in the middle of a snapshot and of a restore",
		inject: func(e *estate) {
			then := maps.Clone(e.written["A"])
			snapshot := e.snapshot("A")
			e.interrupted(6, e.reboot)
			e.until("the snapshot is complete", func() bool { return e.snapshotOf("A", snapshot).GetStatus() == "completed" })
			e.wrote("A", 10)
			job, _, err := e.client.CloudBackupsApi.CreateBackupRestoreJob(e.t.Context(), e.owner.GroupID, "A", &admin.DiskBackupSnapshotRestoreJob{
				DeliveryType: "automated", SnapshotId: &snapshot, TargetClusterName: aws.String("A"), TargetGroupId: &e.owner.GroupID,
			}).Execute()
			e.must(err)
			e.interrupted(8, e.reboot)
			e.written["A"] = then
			e.until("the restore is finished", func() bool {
				now, _, err := e.client.CloudBackupsApi.GetBackupRestoreJob(e.t.Context(), e.owner.GroupID, "A", job.GetId()).Execute()
				e.must(err)
				return !now.GetFinishedAt().IsZero()
			})
			e.until("every node has it", func() bool {
				for _, n := range e.deployment("A").Nodes {
					if !n.Settled() {
						return false
					}
				}
				return e.state("A") == "IDLE" && e.answers("A")
			})
		},
	}}
}
