package keys_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"latchkey/shared/store"
	"latchkey/shared/store/keys"
)

// tableKinds and indexKinds are all constructors of keys, by name. The table and the index are
// two spaces: a key of one never meets a key of the other.
var (
	tableKinds = map[string]any{
		"Org": keys.Org, "Group": keys.Group, "GroupName": keys.GroupName, "Preferences": keys.Preferences, "OrgName": keys.OrgName,
		"Person": keys.Person, "Member": keys.Member, "APIKey": keys.APIKey, "APIKeyID": keys.APIKeyID,
		"ServiceAccount": keys.ServiceAccount, "ServiceAccountID": keys.ServiceAccountID, "Owners": keys.Owners,
		"SigningKeys": keys.SigningKeys, "SweepProgress": keys.SweepProgress, "Encryption": keys.Encryption, "Role": keys.Role, "AzureDirectory": keys.AzureDirectory,
		"Cluster": keys.Cluster, "Node": keys.Node, "ClusterName": keys.ClusterName, "EncryptionUse": keys.EncryptionUse,
		"WrappedKey": keys.WrappedKey, "EnrolToken": keys.EnrolToken, "RecipientKeys": keys.RecipientKeys,
		"AlertRegister": keys.AlertRegister, "AlertConfig": keys.AlertConfig, "Alert": keys.Alert, "AlertCondition": keys.AlertCondition,
		"AlertNotice": keys.AlertNotice, "Mail": keys.Mail, "Delivery": keys.Delivery, "AlertWatch": keys.AlertWatch, "Maintenance": keys.Maintenance, "MasterKeys": keys.MasterKeys,
		"PrivateEndpoints": keys.PrivateEndpoints, "Snapshot": keys.Snapshot, "BackupPolicy": keys.BackupPolicy, "BackupDue": keys.BackupDue,
		"RestoreJob": keys.RestoreJob, "Restoring": keys.Restoring, "RetainedBackups": keys.RetainedBackups, "Changeover": keys.Changeover,
		"Event of a group": func(id string, at time.Time, event string) store.Key {
			return keys.Event(keys.GroupScope(id), at, event)
		},
		"Event of an organisation": func(id string, at time.Time, event string) store.Key { return keys.Event(keys.OrgScope(id), at, event) },
	}
	indexKinds = map[string]any{
		"GroupsOf": keys.GroupsOf, "ClosedGroups": keys.ClosedGroups, "MembersOf": keys.MembersOf, "APIKeysOf": keys.APIKeysOf,
		"ServiceAccountsOf": keys.ServiceAccountsOf, "ClustersOf": keys.ClustersOf, "PlanInProgress": keys.PlanInProgress,
		"NeededBy": keys.NeededBy, "Sweep": keys.Sweep, "WaitingNode": keys.WaitingNode,
		"AlertDue": keys.AlertDue, "MaintenanceDue": keys.MaintenanceDue, "MasterKeysDue": keys.MasterKeysDue, "WatchedEndpoints": keys.WatchedEndpoints, "BackupsDue": keys.BackupsDue,
		"ChangeoverInProgress": keys.ChangeoverInProgress, "DeliveryDue": keys.DeliveryDue, "DeadLetter": keys.DeadLetter,
	}
	// prefixes are all prefix constants and the kinds that a query with one may meet.
	prefixes = map[string][]string{
		keys.PersonPrefix: {"Person", "Member"}, keys.MemberPrefix: {"MembersOf"}, keys.APIKeyPrefix: {"APIKeyID"},
		keys.ServiceAccountPrefix: {"ServiceAccountID"}, keys.RolePrefix: {"Role"},
		keys.NodePrefix: {"Node"}, keys.WaitingPrefix: {"WaitingNode"}, keys.ClusterNamePrefix: {"ClusterName"}, keys.ClusterPrefix: {"ClustersOf"}, keys.PlanPrefix: {"PlanInProgress"},
		keys.WrappedKeysPrefix: {"WrappedKey"}, keys.ChangeoverPrefix: {"ChangeoverInProgress"}, keys.RetainedBackupsPrefix: {"RetainedBackups"},
		keys.SnapshotPrefix: {"Snapshot"}, keys.RestoreJobPrefix: {"RestoreJob"}, keys.PrivateEndpointsPrefix: {"PrivateEndpoints"}, keys.WatchedEndpointsPrefix: {"WatchedEndpoints"},
		keys.AlertConfigPrefix: {"AlertConfig"}, keys.AlertPrefix: {"Alert"}, keys.AlertConditionsPrefix: {"AlertCondition"},
		keys.AlertNoticePrefix: {"AlertNotice"}, keys.AlertWatchPrefix: {"AlertWatch"},
		keys.AlertDuePrefix: {"AlertDue", "MaintenanceDue", "MasterKeysDue", "DeliveryDue"}, keys.DeadLetterPrefix: {"DeadLetter"},
		keys.MailPrefix: {"Mail"}, keys.DeliveryPrefix: {"Delivery"},
		keys.EventPrefix: {"Event of a group", "Event of an organisation", "BackupsDue"}, // that one is in the index, where events are not
	}
)

// hostile draws ids and names that look like parts of keys. Half of them are so short that
// two draws often agree in all but the place of a separator.
func hostile() *rapid.Generator[string] {
	parts := []string{
		"", "#", "/", "%23", "%", "a", "650000000000000000000001", "ORG", "GROUP", "GROUPNAME", "APIKEY", "APIKEYID", "SA", "SAID",
		"USER", "MEMBER", "ROLE", "CLUSTER", "CLUSTERNAME", "NODE", "PLAN", "PLANS", "KEY", "CMK", "AZURE", "EARUSE", "EVENTS", "T", "SYSTEM", "SWEEP", "CLOSEDGROUPS", "AGENTS", "WAITING", "ENROL", "RECIPIENTKEYS", "ALERTING", "ALERT", "ALERTCONFIG", "ALERTCONDITION", "NOTICE", "WATCH", "DUE", "ENDPOINTS", "WATCHED", "SNAPSHOT", "BACKUPPOLICY", "BACKUPDUE", "BACKUPSDUE", "RESTOREJOB", "RESTORING", "RETAINED", "MAINTENANCE", "MASTERKEYS", "MAIL", "DELIVERY", "DELIVERIES", "DEAD", "\x00", "\U0010FFFF", "2030-01-01T00:00:00.000000Z",
	}
	short := rapid.Map(rapid.SliceOfN(rapid.SampledFrom([]string{"a", "#"}), 0, 3), func(s []string) string { return strings.Join(s, "") })
	return rapid.OneOf(short, rapid.Custom(func(rt *rapid.T) string {
		return strings.Join(rapid.SliceOfN(rapid.SampledFrom(parts), 0, 4).Draw(rt, "parts"), rapid.SampledFrom([]string{"", "#"}).Draw(rt, "between"))
	}))
}

// entity is a kind with its ids, and its key.
type entity struct {
	kind string
	ids  string // all arguments, quoted
	key  store.Key
	// owner is the first id, "" for kinds without any.
	owner string
}

func draw(rt *rapid.T, kinds map[string]any, label string) entity {
	return drawKind(rt, kinds, rapid.SampledFrom(slices.Sorted(maps.Keys(kinds))).Draw(rt, label+" kind"), label)
}

// drawTwo draws entities that are of one kind half of the time.
func drawTwo(rt *rapid.T, kinds map[string]any) (a, b entity) {
	a = draw(rt, kinds, "a")
	if rapid.Bool().Draw(rt, "one kind") {
		return a, drawKind(rt, kinds, a.kind, "b")
	}
	return a, draw(rt, kinds, "b")
}

func drawKind(rt *rapid.T, kinds map[string]any, kind, label string) entity {
	e := entity{kind: kind}
	constructor := reflect.ValueOf(kinds[e.kind])
	args := make([]reflect.Value, constructor.Type().NumIn())
	for i := range args {
		if constructor.Type().In(i) == reflect.TypeFor[time.Time]() {
			at := time.UnixMicro(rapid.Int64Range(1, 3).Draw(rt, label+" time")).UTC()
			args[i] = reflect.ValueOf(at)
			e.ids += at.String()
			continue
		}
		id := hostile().Draw(rt, label+" id")
		if i == 0 {
			e.owner = id
		}
		args[i] = reflect.ValueOf(id)
		e.ids += fmt.Sprintf("%q,", id)
	}
	key, ok := reflect.TypeAssert[store.Key](constructor.Call(args)[0])
	if !ok {
		rt.Fatalf("%s makes no key", e.kind)
	}
	e.key = key
	return e
}

func TestKeys_of_two_entities_never_collide(t *testing.T) {
	const pairs = 30 // per check: collisions are rare, and drawing is cheap
	for space, kinds := range map[string]map[string]any{"table": tableKinds, "index": indexKinds} {
		t.Run(space, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				for range pairs {
					a, b := drawTwo(rt, kinds)
					same := a.kind == b.kind && a.ids == b.ids
					if (a.key == b.key) != same {
						rt.Fatalf("%s(%s) has the key %q, %s(%s) the key %q", a.kind, a.ids, a.key, b.kind, b.ids, b.key)
					}
				}
			})
		})
	}
}

// One owner's partition is never another's, so that a query of one tenant can't meet another's.
func TestKeys_of_two_owners_lie_in_two_partitions(t *testing.T) {
	shared := []string{"SigningKeys", "RecipientKeys", "SweepProgress", "ClosedGroups", "PlanInProgress", "WaitingNode", "AlertDue", "MaintenanceDue", "MasterKeysDue", "WatchedEndpoints", "BackupsDue", "ChangeoverInProgress", "DeliveryDue", "DeadLetter"} // not a tenant's
	for space, kinds := range map[string]map[string]any{"table": tableKinds, "index": indexKinds} {
		t.Run(space, func(t *testing.T) {
			rapid.Check(t, func(rt *rapid.T) {
				a, b := drawTwo(rt, kinds)
				if slices.Contains(shared, a.kind) || slices.Contains(shared, b.kind) {
					if a.key.PK == b.key.PK && a.kind != b.kind {
						rt.Fatalf("%s and %s share the partition %q", a.kind, b.kind, a.key.PK)
					}
					return
				}
				if a.key.PK == b.key.PK && a.owner != b.owner {
					rt.Fatalf("%s of %q and %s of %q share the partition %q", a.kind, a.owner, b.kind, b.owner, a.key.PK)
				}
			})
		})
	}
}

func TestKeys_a_prefix_selects_one_kind(t *testing.T) {
	all := maps.Clone(tableKinds)
	maps.Copy(all, indexKinds)
	rapid.Check(t, func(rt *rapid.T) {
		e := draw(rt, all, "entity")
		for prefix, want := range prefixes {
			if strings.HasPrefix(e.key.SK, prefix) != slices.Contains(want, e.kind) {
				rt.Fatalf("%s(%s) has the sort key %q; the prefix %q is for %v", e.kind, e.ids, e.key.SK, prefix, want)
			}
		}
	})
}

func TestKeys_no_key_has_an_empty_part(t *testing.T) {
	all := maps.Clone(tableKinds)
	maps.Copy(all, indexKinds)
	rapid.Check(t, func(rt *rapid.T) {
		if e := draw(rt, all, "entity"); e.key.PK == "" || e.key.SK == "" {
			rt.Fatalf("%s(%s) has the key %q", e.kind, e.ids, e.key)
		}
	})
}

func TestEventTime_sorts_as_time_does(t *testing.T) {
	instants := rapid.Custom(func(rt *rapid.T) time.Time {
		at := time.UnixMicro(rapid.Int64Range(-62_167_219_200_000_000, 253_402_300_799_999_999).Draw(rt, "microseconds"))
		return at.In(time.FixedZone("", rapid.IntRange(-14, 14).Draw(rt, "zone")*3600))
	})
	rapid.Check(t, func(rt *rapid.T) {
		a, b := instants.Draw(rt, "a"), instants.Draw(rt, "b")
		if got := strings.Compare(keys.EventTime(a), keys.EventTime(b)); got != a.Compare(b) {
			rt.Fatalf("%q and %q compare as %d, %v and %v as %d", keys.EventTime(a), keys.EventTime(b), got, a, b, a.Compare(b))
		}
	})
	first, now, last := keys.EventTime(time.Time{}.AddDate(-5, 0, 0)), keys.EventTime(time.Unix(0, 0)), keys.EventTime(time.Unix(1<<40, 0))
	if first >= now || now >= last || len(first) != len(now) || len(last) != len(now) {
		t.Errorf("instants out of range sort as %q, %q, %q", first, now, last)
	}
}

// The tables above must know every constructor and every prefix, or the properties prove little.
func TestKeys_the_tests_know_all_of_them(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	known := maps.Clone(tableKinds)
	maps.Copy(known, indexKinds)
	known["Event"] = keys.Event // by its two scopes
	constants := 0
	inspect := func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.FuncDecl:
			if n.Name.IsExported() && makesKey(n) && known[n.Name.Name] == nil {
				t.Errorf("keys.%s is in no table of this test; add it to tableKinds or indexKinds", n.Name.Name)
			}
		case *ast.ValueSpec:
			if n.Names[0].IsExported() && strings.HasSuffix(n.Names[0].Name, "Prefix") {
				constants++
			}
		}
		return true
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, inspect)
	}
	if constants != len(prefixes) {
		t.Errorf("the package has %d prefixes, this test knows %d; add the others to prefixes", constants, len(prefixes))
	}
}

func makesKey(f *ast.FuncDecl) bool {
	if f.Type.Results == nil {
		return false
	}
	result, ok := f.Type.Results.List[0].Type.(*ast.SelectorExpr)
	return ok && result.Sel.Name == "Key"
}
