package latchkey_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/schedule"
	"latchkey/local/template"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/suite/fleettasks"
	"latchkey/shared/suite/networktasks"
	"latchkey/shared/suite/notify"
	"latchkey/shared/suite/operator"
	"latchkey/shared/suite/remind"
	"latchkey/shared/suite/validate"
)

func schedules(t *testing.T) []schedule.Schedule {
	t.Helper()
	tmpl, _, _ := load(t)
	all, err := schedule.Read(tmpl)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// How often what must be repeated is repeated. Whoever changes the template changes it here.
func TestSchedules_comeAsOftenAsTheyShould(t *testing.T) {
	want := map[string]time.Duration{ // the longest wait
		"FleetTasksFunction/AttendMasterKeys":  5 * time.Minute,
		"FleetTasksFunction/Backups":           time.Minute,
		"FleetTasksFunction/ResumeChanges":     5 * time.Minute,
		"FleetTasksFunction/ResumePlans":       5 * time.Minute,
		"NetworkTasksFunction/WatchEndpoints":  2 * time.Minute,
		"NotifyFunction/RetryDue":              time.Minute,
		"OperatorFunction/PurgeClosedProjects": 24 * time.Hour,
		"OperatorFunction/RotateNodeKeys":      31 * 24 * time.Hour,
		"OperatorFunction/RotateSigningKeys":   31 * 24 * time.Hour,
		"RemindFunction/Remind":                time.Minute,
		"ValidateFunction/CheckKeys":           time.Minute,
	}
	got := map[string]time.Duration{}
	begin := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, s := range schedules(t) {
		at := s.Expression.Next(begin, begin)
		for at.Before(begin.AddDate(2, 0, 0)) {
			next := s.Expression.Next(at, begin)
			if next.IsZero() {
				t.Fatalf("%s ends at %s", s.Name, at)
			}
			got[s.Name], at = max(got[s.Name], next.Sub(at)), next
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("want (-) and template (+):\n%s", diff)
	}
}

// A misspelt input would be noticed when the schedule fails, in a month.
func TestSchedules_areUnderstoodByTheirFunctions(t *testing.T) {
	table, now, log := identitytest.Table(t), identitytest.NewClock().Now, slog.New(slog.DiscardHandler)
	functions := map[string]interface {
		Invoke(ctx context.Context, payload []byte) ([]byte, error)
	}{
		"FleetTasksFunction":   fleettasks.New(fleettasks.Deps{Table: table, Now: now, Log: log}),
		"NetworkTasksFunction": networktasks.New(networktasks.Deps{Table: table, Now: now, Log: log}),
		"NotifyFunction":       notify.New(notify.Deps{Table: table, Now: now, Log: log}),
		"OperatorFunction":     operator.New(operator.Deps{Table: table, Sealer: identitytest.NewSealer(t), Now: now}),
		"RemindFunction":       remind.New(remind.Deps{Table: table, Now: now, Log: log}),
		"ValidateFunction":     validate.New(validate.Deps{Table: table, Now: now, Log: log}),
	}
	for _, s := range schedules(t) {
		f, ok := functions[s.Function]
		if !ok {
			t.Errorf("%s invokes %s, which this test does not have", s.Name, s.Function)
			continue
		}
		if _, err := f.Invoke(t.Context(), s.Input); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}

// role is what the test reads of an AWS::IAM::Role.
type role struct {
	AssumeRolePolicyDocument struct {
		Statement []struct {
			Principal struct{ Service string }
			Condition struct{ StringEquals, ArnLike map[string]string }
		}
	}
	Policies []struct {
		PolicyDocument struct {
			Statement []template.Statement
		}
	}
}

func TestSchedules_mayInvokeTheirFunctionAndNothingElse(t *testing.T) {
	tmpl, functions, _ := load(t)
	machines, err := tmpl.StateMachines()
	if err != nil {
		t.Fatal(err)
	}
	invokes := map[string][]string{} // function ARNs by role
	used := map[string]bool{}
	for _, r := range tmpl.OfType("AWS::IAM::Role") {
		if r.ID == "CanaryRole" { // which allows nothing, as another test sees to
			continue
		}
		var p role
		if err := r.Decode(&p); err != nil {
			t.Fatal(err)
		}
		if slices.ContainsFunc(machines, func(m template.StateMachine) bool { return strings.HasSuffix(m.Role, ":role/"+r.ID) }) {
			continue
		}
		for _, s := range p.AssumeRolePolicyDocument.Statement {
			if s.Principal.Service != "scheduler.amazonaws.com" || s.Condition.StringEquals["aws:SourceAccount"] == "" {
				t.Errorf("%s may be assumed by %+v", r.ID, s)
			}
		}
		for _, policy := range p.Policies {
			for _, s := range policy.PolicyDocument.Statement {
				if s.Effect != "Allow" || !slices.Equal(s.Action, []string{"lambda:InvokeFunction"}) {
					t.Errorf("%s: %+v", r.ID, s)
				}
				invokes["arn:aws:iam::123456789012:role/"+r.ID] = append(invokes["arn:aws:iam::123456789012:role/"+r.ID], s.Resource...)
			}
		}
	}
	for _, f := range functions {
		for _, e := range f.Events {
			if e.Type != "ScheduleV2" {
				continue
			}
			var p struct{ RoleArn string }
			if err := e.Decode(&p); err != nil {
				t.Fatal(err)
			}
			if want := []string{"arn:aws:lambda:us-east-1:123456789012:function:" + f.ID}; !slices.Equal(invokes[p.RoleArn], want) {
				t.Errorf("%s/%s invokes as %q, which may invoke %q", f.ID, e.Name, p.RoleArn, invokes[p.RoleArn])
			}
			used[p.RoleArn] = true
		}
	}
	for arn := range invokes {
		if !used[arn] {
			t.Errorf("no schedule uses %s", arn)
		}
	}
}
