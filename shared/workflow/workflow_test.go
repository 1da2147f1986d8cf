package workflow_test

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"latchkey/shared/workflow"
)

const group = "5f1a0c8e9b3d4f2a6c7e8d90"

func TestName_says_what_the_execution_is_about(t *testing.T) {
	tests := map[string]struct {
		x    workflow.Execution
		want string
	}{
		"a provider": {
			x:    workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "AWS", Version: 7},
			want: "rotate-key-" + group + "-AWS-7",
		},
		"a long subject is shortened": {
			x:    workflow.Execution{Kind: workflow.EncryptCluster, GroupID: group, Subject: strings.Repeat("c", 64), Version: 12},
			want: "encrypt-cluster-" + group + "-ccccccccccccccccccccc_52b6419d27bd7f-12",
		},
		"a group that is none":             {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: "G", Subject: "AWS"}},
		"a subject with a slash":           {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "a/b"}},
		"a state machine that there isn't": {x: workflow.Execution{Kind: "rotate", GroupID: group, Subject: "AWS"}},
		"a negative version":               {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "AWS", Version: -1}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := tt.x.Name()
			if got != tt.want || (err == nil) != (tt.want != "") {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

var allowed = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

func TestName_is_distinct_and_always_accepted(t *testing.T) {
	draw := rapid.Custom(func(t *rapid.T) workflow.Execution {
		return workflow.Execution{
			Kind:    rapid.SampledFrom(workflow.Kinds()).Draw(t, "kind"),
			GroupID: rapid.StringMatching(`[0-9a-f]{24}`).Draw(t, "group"),
			Subject: rapid.StringMatching(`[a-b1-]{1,64}`).Draw(t, "subject"),
			Version: rapid.Int64Min(0).Draw(t, "version"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if rapid.Bool().Draw(t, "same group") {
			b.GroupID, b.Kind = a.GroupID, a.Kind
		}
		x, errX := a.Name()
		y, errY := b.Name()
		if errX != nil || errY != nil || !allowed.MatchString(x) {
			t.Fatalf("%q %v, %q %v", x, errX, y, errY)
		}
		if (x == y) != (a == b) {
			t.Errorf("%+v and %+v are named %q and %q", a, b, x, y)
		}
	})
}
