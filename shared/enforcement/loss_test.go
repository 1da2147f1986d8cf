package enforcement_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/cluster"
	"latchkey/shared/encryption"
	"latchkey/shared/enforcement"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/notification"
	"latchkey/shared/project"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// estate is several clusters.
type estate map[string]*clusters

func (e estate) Load(ctx context.Context, id string) (cluster.Deployment, error) {
	return e[id].Load(ctx, id)
}

func (e estate) Enforce(ctx context.Context, id string, v map[atlas.Provider]verdict.Verdict) error {
	return e[id].Enforce(ctx, id, v)
}

// projects are found under a name, or not at all.
type projects struct{ err error }

func (p projects) Find(_ context.Context, id string) (project.Group, error) {
	return project.Group{ID: id, Name: "Databases"}, p.err
}

// officer acts on clusters a and b, which one key encrypts, and c, which none does.
func officer(t *testing.T, table store.Table, clock *identitytest.Clock, s *settings) (*enforcement.Officer, estate) {
	t.Helper()
	e := estate{}
	for _, id := range []string{"b", "a", "c"} {
		provider := atlas.Provider("AWS")
		if id == "c" {
			provider = "NONE"
		}
		e[id] = &clusters{cluster.Deployment{
			Cluster: cluster.Cluster{ID: id, OrgID: "org", GroupID: group, Name: "cluster-" + id, Applied: &cluster.Spec{Provider: provider}},
			Nodes:   []cluster.Node{{ID: "n-" + id, Desired: cluster.Desired{State: cluster.Run, Provider: provider}}},
		}}
	}
	use, err := store.Encode(keys.EncryptionUse(group, "AWS"), 0, map[string]any{"clusters": map[string]string{"a": "cluster-a", "b": "cluster-b", "c": "cluster-c"}})
	if err == nil {
		err = table.Write(t.Context(), store.Put(use))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &enforcement.Officer{Table: table, Settings: s, Clusters: e, Projects: projects{}, Now: clock.Now}, e
}

// mails are the e-mails that were written, oldest first.
func mails(t *testing.T, table store.Table) []notification.Mail {
	t.Helper()
	items, err := store.All(t.Context(), table, store.Query{PK: keys.Group(group).PK, Prefix: keys.MailPrefix})
	if err != nil {
		t.Fatal(err)
	}
	var all []notification.Mail
	for _, item := range items {
		m, err := store.Decode[notification.Mail](item)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

func TestAct_tells_the_owners_once_of_every_loss(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{KeyID: "1234abcd", Key: encryption.KeyState{Revision: 3}}}}
	o, all := officer(t, table, clock, s)
	judge := func(r verdict.Reason) {
		s.AWS.Key.Verdict = verdict.Verdict{Reason: r, ProviderCode: "DisabledException", Settings: 3, StartedAt: clock.Now(), Since: clock.Now()}
	}
	act := func(what string, want int) {
		t.Helper()
		if _, err := o.Act(t.Context(), group, atlas.AWS); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		if got := len(mails(t, table)); got != want {
			t.Errorf("%s: there are %d e-mails, want %d", what, got, want)
		}
		clock.Advance(time.Minute)
	}
	for _, r := range []verdict.Reason{verdict.NetworkRefused, verdict.RateLimited, verdict.Implausible, verdict.OK} {
		judge(r)
		act(string(r), 0)
	}
	judge(verdict.KeyDisabled)
	act("the key is lost", 1)
	act("the same is enforced again", 1)
	all["b"].Disabled = nil // it could not be stopped
	act("the rest is made up for", 1)
	judge(verdict.NetworkRefused)
	act("the key is out of reach", 1)
	judge(verdict.KeyDisabled)
	act("it is still away, and all is stopped", 1)
	judge(verdict.OK)
	act("it is back", 1)
	judge(verdict.KeyDeleted)
	act("it is lost once more", 2)

	m := mails(t, table)[0]
	for _, part := range []string{"cluster-a (a)", "cluster-b (b)", "KEY_DISABLED", "Enable the key", "1234abcd", "project Databases (" + group + ")", "validate checks it at once"} {
		if !strings.Contains(m.Text, part) {
			t.Errorf("the e-mail does not mention %q:\n%s", part, m.Text)
		}
	}
	if strings.Contains(m.Text, "cluster-c") || !strings.Contains(m.Subject, "2 clusters stop in project Databases ("+group+")") || m.OrgID != "org" {
		t.Errorf("the e-mail is %+v", m)
	}
}

// The e-mail waits for a table that is away; a project without a record keeps no cluster running.
func TestAct_tells_of_a_project_without_a_record_by_its_id(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{}}}
	s.AWS.Key.Verdict = verdict.Verdict{Reason: verdict.KeyDisabled, Since: clock.Now()}
	o, all := officer(t, table, clock, s)
	o.Projects = projects{errors.New("the table is away")}
	if _, err := o.Act(t.Context(), group, atlas.AWS); err == nil || len(mails(t, table)) > 0 || all["a"].Disabled != nil {
		t.Errorf("%v, %+v", err, mails(t, table))
	}
	o.Projects = projects{atlas.Fail(atlas.GroupNotFound, group)}
	if _, err := o.Act(t.Context(), group, atlas.AWS); err != nil || all["a"].Disabled == nil {
		t.Errorf("%v, the cluster is %+v", err, all["a"].Disabled)
	}
	if m := mails(t, table); len(m) != 1 || !strings.HasSuffix(m[0].Subject, "in project "+group) {
		t.Errorf("%+v", m)
	}
}

// Between the decision and the e-mail the key came back: the settings have changed since.
func TestAct_tells_nobody_of_what_is_no_longer_so(t *testing.T) {
	table, clock := identitytest.Table(t), identitytest.NewClock()
	s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{Key: encryption.KeyState{Revision: 3}}}}
	s.AWS.Key.Verdict = verdict.Verdict{Reason: verdict.KeyDisabled, Since: clock.Now()}
	o, _ := officer(t, table, clock, s)
	item, err := store.Encode(keys.Encryption(group), 0, s.Settings) // newer than what the officer reads
	if err == nil {
		err = table.Write(t.Context(), store.Put(item))
	}
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.Act(t.Context(), group, atlas.AWS); err == nil {
		t.Error("it acts on what is not stored")
	}
	if got := mails(t, table); len(got) > 0 {
		t.Errorf("an e-mail was written: %+v", got)
	}
}

func TestAct_explains_every_way_to_lose_a_key(t *testing.T) {
	for _, r := range verdict.Reasons() {
		if r.Class() != verdict.Invalid {
			continue
		}
		table, clock := identitytest.Table(t), identitytest.NewClock()
		s := &settings{encryption.Settings{GroupID: group, AWS: &encryption.AWS{KeyID: "1234abcd"}}}
		s.AWS.Key.Verdict = verdict.Verdict{Reason: r, Since: clock.Now()}
		o, _ := officer(t, table, clock, s)
		if _, err := o.Act(t.Context(), group, atlas.AWS); err != nil {
			t.Fatal(err)
		}
		all := mails(t, table)
		if len(all) != 1 || !strings.Contains(all[0].Text, "Reason: "+string(r)) || strings.Contains(all[0].Text, "What to do: \n") {
			t.Errorf("%s: %+v", r, all)
		}
	}
}
