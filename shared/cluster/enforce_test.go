package cluster_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/audit"
	"latchkey/shared/cluster"
	"latchkey/shared/verdict"
)

func TestJudged(t *testing.T) {
	invalid, valid, away := verdict.KeyDisabled, verdict.OK, verdict.NetworkRefused
	tests := map[string]struct {
		disabled  atlas.Provider
		nodes     []atlas.Provider // by whose key they are encrypted
		verdicts  map[atlas.Provider]verdict.Reason
		deleting  bool
		want      atlas.Provider // "" for enabled
		wantEvent audit.Type
	}{
		"an invalid key disables": {nodes: providersOf("AWS"), verdicts: reasons("AWS", invalid), want: "AWS", wantEvent: cluster.EventInstanceDisabled},
		"once":                    {disabled: "AWS", nodes: providersOf("AWS"), verdicts: reasons("AWS", invalid), want: "AWS"},
		"a key that no node uses disables nothing":      {nodes: providersOf("NONE"), verdicts: reasons("AWS", invalid)},
		"one node is enough":                            {nodes: providersOf("NONE", "AWS"), verdicts: reasons("AWS", invalid), want: "AWS", wantEvent: cluster.EventInstanceDisabled},
		"an unreachable key disables nothing":           {nodes: providersOf("AWS"), verdicts: reasons("AWS", away)},
		"an unreachable key enables nothing":            {disabled: "AWS", nodes: providersOf("AWS"), verdicts: reasons("AWS", away), want: "AWS"},
		"no verdict changes nothing":                    {disabled: "AWS", nodes: providersOf("AWS"), want: "AWS"},
		"a valid key enables":                           {disabled: "AWS", nodes: providersOf("AWS"), verdicts: reasons("AWS", valid), wantEvent: cluster.EventInstanceEnabled},
		"another key enables nothing":                   {disabled: "AWS", nodes: providersOf("AWS"), verdicts: reasons("GCP", valid), want: "AWS"},
		"of two keys one is enough to disable":          {nodes: providersOf("AWS", "GCP"), verdicts: reasons("AWS", valid, "GCP", invalid), want: "GCP", wantEvent: cluster.EventInstanceDisabled},
		"of two keys both are needed to enable":         {disabled: "AWS", nodes: providersOf("AWS", "GCP"), verdicts: reasons("AWS", valid, "GCP", invalid), want: "GCP", wantEvent: cluster.EventInstanceDisabled},
		"a second invalid key changes nothing":          {disabled: "AWS", nodes: providersOf("AWS", "GCP"), verdicts: reasons("AWS", invalid, "GCP", invalid), want: "AWS"},
		"a cluster that is being deleted is left alone": {nodes: providersOf("AWS"), verdicts: reasons("AWS", invalid), deleting: true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			d := cluster.Deployment{Cluster: cluster.Cluster{ID: "c", Applied: &cluster.Spec{}}}
			for _, p := range tt.nodes {
				d.Nodes = append(d.Nodes, cluster.Node{Desired: cluster.Desired{Provider: p}})
			}
			if tt.disabled != "" {
				d.Disabled = &cluster.Disabled{Provider: tt.disabled}
			}
			if tt.deleting {
				d.Plan = &cluster.Plan{Kind: cluster.Delete}
			}
			verdicts := map[atlas.Provider]verdict.Verdict{}
			for p, r := range tt.verdicts {
				verdicts[p] = verdict.Verdict{Reason: r}
			}
			next, event := d.Judged(verdicts, time.Unix(1, 0))
			var got atlas.Provider
			if next.Disabled != nil {
				got = next.Disabled.Provider
			}
			if got != tt.want || event != tt.wantEvent {
				t.Errorf("disabled for %q with the event %q", got, event)
			}
			d.Cluster = next
			if again, event := d.Judged(verdicts, time.Unix(2, 0)); event != "" || !cmp.Equal(again.Disabled, next.Disabled) {
				t.Errorf("judged again it is %+v, %q", again.Disabled, event)
			}
		})
	}
}

func providersOf(p ...atlas.Provider) []atlas.Provider { return p }

func reasons(pairs ...any) map[atlas.Provider]verdict.Reason {
	all := map[atlas.Provider]verdict.Reason{}
	for i := 0; i < len(pairs); i += 2 {
		p, _ := pairs[i].(string)
		all[atlas.Provider(p)], _ = pairs[i+1].(verdict.Reason)
	}
	return all
}

func TestAWayBackIsNotRolledBack(t *testing.T) {
	w := newWorld(t)
	w.create("c1", "")
	w.must("PATCH", "/clusters/c1", `{"encryptionAtRestProvider":"AWS"}`)
	d := w.load("c1")
	if err := w.service.RollBack(t.Context(), d.ID, d.Plan.Spec.Revision, "no way to the key"); err != nil {
		t.Fatal(err)
	}
	back := w.load("c1").Plan
	if err := w.service.RollBack(t.Context(), d.ID, back.Spec.Revision, "nor back"); err != nil {
		t.Fatal(err)
	}
	if now := w.load("c1").Plan; now == nil || now.Spec.Revision != back.Spec.Revision {
		t.Errorf("the way back became %+v", now)
	}
	w.work("c1")
	if d := w.load("c1"); d.State() != cluster.Idle || d.Spec.Provider != cluster.None {
		t.Errorf("in the end the cluster is %s with %s", d.State(), d.Spec.Provider)
	}
}

func TestNextAttempt_is_written_before_it_is_started(t *testing.T) {
	w := newWorld(t)
	w.must("POST", "/clusters", body("c1", ""))
	d := w.load("c1")
	for _, late := range []int64{0, 2, 7} {
		if err := w.service.NextAttempt(t.Context(), d.ID, 1, late); err != nil || w.load("c1").Plan.Attempt != 1 {
			t.Errorf("from attempt %d: %v, %d", late, err, w.load("c1").Plan.Attempt)
		}
	}
	for range 2 {
		if err := w.service.NextAttempt(t.Context(), d.ID, 1, 1); err != nil || w.load("c1").Plan.Attempt != 2 {
			t.Errorf("%v, attempt %d", err, w.load("c1").Plan.Attempt)
		}
	}
	if n := len(w.starter.names()); n != 2 {
		t.Errorf("%d attempts were started", n)
	}
	w.starter.ended = true
	if r, err := w.service.Resume(t.Context(), w.starter); err != nil || r.Restarted != 1 || w.load("c1").Plan.Attempt != 3 {
		t.Errorf("%+v, %v, attempt %d", r, err, w.load("c1").Plan.Attempt)
	}
}
