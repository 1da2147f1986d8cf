package main

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	iamtypes "github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"go.etcd.io/bbolt"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/encryption"
	"latchkey/shared/store/keys"
)

// secretHeld is what a project's user keys are known by: nobody may hold the one, and few the others.
type secretHeld struct {
	id, clear string
	sealed    [][]byte // as JSON has it, however often it was sealed
}

// settings are what is stored of the project's keys.
func (e *estate) settings() encryption.Settings {
	e.t.Helper()
	item, err := e.suite.table.Get(e.t.Context(), keys.Encryption(e.owner.GroupID))
	e.must(err)
	s, err := encryption.Stored(item)
	e.must(err)
	return s
}

// sealed is the sealed secret of the configuration, as it is stored.
func (e *estate) sealed() []byte {
	return []byte(base64.StdEncoding.EncodeToString(e.settings().AWS.Secret))
}

// credentialsOf describes the credentials of a configuration.
func credentialsOf(a *encryption.AWS) string {
	if a == nil {
		return "–"
	}
	var held []string
	if a.AccessKeyID != "" {
		held = append(held, "access key id")
	}
	if len(a.Secret) > 0 {
		held = append(held, "sealed secret")
	}
	if a.RoleID != "" {
		held = append(held, "role")
	}
	return strings.Join(held, ", ")
}

// items are the names of the table's live items that hold something.
func (e *estate) items(needles ...[]byte) string {
	e.t.Helper()
	var found []string
	content, err := os.ReadFile(filepath.Join(e.cfg.data, "table.db"))
	e.must(err)
	path := filepath.Join(e.t.TempDir(), "copy.db") // the table has its own locked
	e.must(os.WriteFile(path, content, 0o600))
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{Timeout: time.Second, ReadOnly: true})
	e.must(err)
	defer db.Close() //nolint:errcheck // only read
	e.must(db.View(func(tx *bbolt.Tx) error {
		return tx.ForEach(func(name []byte, b *bbolt.Bucket) error {
			return b.ForEach(func(key, value []byte) error {
				if slices.ContainsFunc(needles, func(n []byte) bool { return bytes.Contains(value, n) || bytes.Contains(key, n) }) {
					found = append(found, e.nameOf(string(name), string(key)))
				}
				return nil
			})
		})
	}))
	if len(found) == 0 {
		return "none"
	}
	slices.Sort(found)
	return strings.Join(slices.Compact(found), ", ")
}

// nameOf names an item of the table's file, or what else is in a bucket.
func (e *estate) nameOf(bucket, key string) string {
	switch {
	case bucket == "changes":
		return "the feed of changes"
	case bucket == "items" && strings.Contains(key, "GROUP#"+e.owner.GroupID) && strings.HasSuffix(key, "ENCRYPTION"):
		return "the settings"
	}
	return fmt.Sprintf("%s: %q", bucket, key)
}

// files are the files of the suite that hold any of some bytes, but for what is the clouds' own; and the log.
func (e *estate) files(needles ...[]byte) string {
	e.t.Helper()
	var found []string
	look := func(name string, content []byte) {
		if slices.ContainsFunc(needles, func(n []byte) bool { return bytes.Contains(content, n) }) {
			found = append(found, "`"+name+"`")
		}
	}
	look("log", e.log.bytes())
	err := filepath.WalkDir(e.cfg.data, func(path string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) || err == nil && (!entry.Type().IsRegular() || entry.Name() == "clouds.db") {
			return nil
		}
		if err != nil {
			return err
		}
		content, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		look(strings.TrimPrefix(path, e.cfg.data+"/"), content)
		return err
	})
	e.must(err)
	if len(found) == 0 {
		return "none"
	}
	return strings.Join(found, ", ")
}

// held fills a column of the table of what is where.
func (e *estate) held(s secretHeld, wrapped map[string]string) (cells []string) {
	e.t.Helper()
	time.Sleep(2 * time.Minute) // scrubbing
	now := e.settings()
	way, isHeld := now.Fallback("AWS")
	back := "–"
	if isHeld {
		back = credentialsOf(way.AWS)
	}
	copies := "as they were, to the byte"
	for node, blob := range e.wrapped() {
		if was, ok := wrapped[node]; ok && blob != was {
			copies = "changed"
		}
	}
	yesNo := map[bool]string{true: "yes", false: "no"}
	cells = []string{
		credentialsOf(now.AWS), back, yesNo[slices.Contains(now.RoleOnly, "AWS")], e.items(s.sealed...), e.items([]byte(s.id)),
		e.files(s.sealed...), e.files([]byte(s.clear), []byte(base64.StdEncoding.EncodeToString([]byte(s.clear)))), copies,
	}
	static := "accepted"
	if err := e.configure(admin.AWSKMSConfiguration{AccessKeyID: &s.id, SecretAccessKey: &s.clear}); err != nil {
		static = "refused"
		if admin.IsErrorCode(err, "AWS_KMS_CREDENTIALS_AUTH_DEPRECATED") {
			static = "`AWS_KMS_CREDENTIALS_AUTH_DEPRECATED`"
		}
	}
	return append(cells, static)
}

// wrapped are the wrapped keys on the nodes' disks.
func (e *estate) wrapped() map[string]string {
	all := map[string]string{}
	for _, d := range e.deployments() {
		for _, n := range d.Nodes {
			all[n.ID] = string(e.ring(n).Current.Wrapped.Blob)
		}
	}
	return all
}

// rowsOfHeld are what the cells of held are of.
func rowsOfHeld() []string {
	return []string{
		"credentials of the configuration", "credentials of the way back", "a role is final (`roleOnly`)",
		"items that hold the sealed secret", "items that hold the access key id", "files that hold the sealed secret, in deleted items too",
		"files and logs that hold the secret in the clear", "wrapped keys on the nodes' disks", "static credentials in a PATCH",
	}
}

// tableOf is the table as Markdown.
func tableOf(columns map[string][]string, order ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "| | %s |\n|---|%s\n", strings.Join(order, " | "), strings.Repeat("---|", len(order)))
	for i, row := range rowsOfHeld() {
		fmt.Fprintf(&b, "| %s |", row)
		for _, name := range order {
			fmt.Fprintf(&b, " %s |", columns[name][i])
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// "Enable Role-Based Access": the project reached its key with the access key of a user, and goes on with
// a role. The former credentials are destroyed once all that they opened was opened by the role.
func TestSwitchRole(t *testing.T) {
	inEstateOf(t, (*estate).byUser, func(e *estate) {
		user := e.key.update.AwsKms
		secret := secretHeld{id: *user.AccessKeyID, clear: *user.SecretAccessKey}
		// A snapshot keeps a former key in need, which nobody may use for a while: so the switch waits.
		former, next := *user.CustomerMasterKeyID, e.newKey(false)
		e.populate("A")
		e.kept("A")
		e.must(e.configure(admin.AWSKMSConfiguration{CustomerMasterKeyID: &next}))
		e.changed(time.Hour, "rotate-key", "FINISHED")
		e.populate("B", "C")
		wrapped := e.wrapped()
		secret.sealed = append(secret.sealed, e.sealed())
		columns := map[string][]string{"before": e.held(secret, wrapped)}
		secret.sealed = append(secret.sealed, e.sealed()) // sent once more
		e.until("nothing is under way", func() bool { return e.report().LastChange.State == "FINISHED" })

		clients := kms.NewFromConfig(e.tenant)
		e.second(clients.DisableKey(e.t.Context(), &kms.DisableKeyInput{KeyId: &former}))
		e.must(e.configure(admin.AWSKMSConfiguration{RoleId: &e.key.roleID}))
		e.meanwhile(time.Hour, "it waits for the former key", func() bool {
			e.serves()
			now := e.report().LastChange
			return now.Kind == "switch-role" && now.State == "UNDER_WAY" && now.Reason != nil && *now.Reason == "KEY_DISABLED"
		})
		columns["during"] = e.held(secret, wrapped)
		e.second(clients.EnableKey(e.t.Context(), &kms.EnableKeyInput{KeyId: &former}))
		figures(t, "the switch, from when it could go on", e.changed(2*time.Hour, "switch-role", "FINISHED"))
		if now := e.report().LastChange; now.Proved < 10 {
			t.Errorf("the change is %+v", now)
		}
		columns["after"] = e.held(secret, wrapped)
		for _, event := range []string{"ENCRYPTION_AT_REST_CHANGE_FINISHED", "AWS_ENCRYPTION_KEY_ROTATED"} {
			if !e.event(event) {
				t.Errorf("no event %s in %v", event, e.events())
			}
		}

		e.second(iam.NewFromConfig(e.tenant).UpdateAccessKey(e.t.Context(), &iam.UpdateAccessKeyInput{
			UserName: aws.String("atlas"), AccessKeyId: user.AccessKeyID, Status: iamtypes.StatusTypeInactive,
		}))
		e.stop()
		time.Sleep(25 * time.Hour)
		e.restarted()
		time.Sleep(20 * time.Minute) // every check of the schedule has been made
		e.serves()
		columns["a day after"] = e.held(secret, wrapped)
		table := tableOf(columns, "before", "during", "after", "a day after")
		t.Log("\n" + table)
		documented, err := os.ReadFile("../docs/changes.md")
		e.must(err)
		if !strings.Contains(string(documented), table) {
			t.Error("docs/changes.md has another table")
		}
		if e.event("CLUSTER_INSTANCE_DISABLED") {
			t.Error("something was stopped")
		}
	})
}

// A role that may not use a former key, which a snapshot needs, would take the snapshot away: the user's keys
// return, and nothing notices. Then the tenant mends the role, and switches.
func TestSwitchRole_isTakenBackIfTheRoleDoesNotOpenAFormerKey(t *testing.T) {
	inEstateOf(t, (*estate).byUser, func(e *estate) {
		former, next := *e.key.update.AwsKms.CustomerMasterKeyID, e.newKey(false)
		e.populate("A")
		e.kept("A")
		e.must(e.configure(admin.AWSKMSConfiguration{CustomerMasterKeyID: &next}))
		e.changed(time.Hour, "rotate-key", "FINISHED")
		before, starts := e.settings().AWS, e.allStarts()
		e.allow(except(former))
		e.must(e.configure(admin.AWSKMSConfiguration{RoleId: &e.key.roleID}))
		figures(t, "taking it back", e.changed(time.Hour, "switch-role", "RESTORED"))
		if now := e.report().LastChange; now.Reason == nil || *now.Reason != "ACCESS_DENIED" {
			t.Errorf("the tenant is told %+v", now)
		}
		after := e.settings()
		if after.AWS.AccessKeyID != before.AccessKeyID || !bytes.Equal(after.AWS.Secret, before.Secret) || after.AWS.RoleID != "" || len(after.RoleOnly)+len(after.Fallbacks) > 0 {
			t.Errorf("the configuration is %s, %s", credentialsOf(after.AWS), after.RoleOnly)
		}
		if !e.event("ENCRYPTION_AT_REST_CONFIGURATION_VALIDATION_FAILED") || e.event("CLUSTER_INSTANCE_DISABLED") {
			t.Errorf("the events are %v", e.events())
		}
		if diff := cmp.Diff(starts, e.allStarts()); diff != "" {
			t.Errorf("nodes were started again:\n%s", diff)
		}
		e.allow(anyKey)
		e.must(e.configure(admin.AWSKMSConfiguration{RoleId: &e.key.roleID}))
		e.changed(time.Hour, "switch-role", "FINISHED")
	})
}

func TestSwitchRole_isRefusedAtOnce(t *testing.T) {
	inEstateOf(t, (*estate).byUser, func(e *estate) {
		before := e.settings()
		refused := func(role, code string) {
			t.Helper()
			if err := e.configure(admin.AWSKMSConfiguration{RoleId: &role}); !admin.IsErrorCode(err, code) {
				t.Errorf("error = %v, want %s", err, code)
			}
			after := e.settings()
			if after.Revision != before.Revision || len(after.Fallbacks) > 0 || e.report().LastChange != nil {
				t.Error("something was stored")
			}
		}
		trust := e.distrust()
		time.Sleep(10 * time.Second)
		refused(e.key.roleID, "CANNOT_ASSUME_ROLE")
		trust()
		made, _, err := e.client.CloudProviderAccessApi.CreateCloudProviderAccess(e.t.Context(), e.owner.GroupID,
			&admin.CloudProviderAccessRoleRequest{ProviderName: "AWS"}).Execute()
		e.must(err)
		refused(made.GetRoleId(), "CLOUD_PROVIDER_ACCESS_ROLE_NOT_AUTHORIZED")
	})
}
