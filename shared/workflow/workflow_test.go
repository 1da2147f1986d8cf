package workflow_test

import (
	"reflect"
	"regexp"
	"strconv"
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
			x:    workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "AWS", Version: []int64{7}},
			want: "rotate-key-" + group + "-AWS-7",
		},
		"an attempt of a revision": {
			x:    workflow.Execution{Kind: workflow.EncryptCluster, GroupID: group, Subject: "65f1a0c8e9b3d4f2a6c7e8d9", Version: []int64{1234567, 8901}},
			want: "encrypt-cluster-" + group + "-65f1a0c8e9b3d4f2a6c7e8d9-1234567_8901",
		},
		"a bucket of a verdict on a revision": {
			x:    workflow.Execution{Kind: workflow.EnforceValidity, GroupID: group, Subject: "AZURE", Version: []int64{123456789, 9_999_999_999, 999_999}},
			want: "enforce-validity-" + group + "-AZURE-123456789_9999999999_999999",
		},
		"a long subject is shortened": {
			x:    workflow.Execution{Kind: workflow.EncryptCluster, GroupID: group, Subject: strings.Repeat("c", 64), Version: []int64{12}},
			want: "encrypt-cluster-" + group + "-ccccccccccccccccccccc__a12451396ff0d7dd",
		},
		"no version":                       {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "AWS"}},
		"a group that is none":             {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: "G", Subject: "AWS", Version: []int64{1}}},
		"a subject with a slash":           {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "a/b", Version: []int64{1}}},
		"a state machine that there isn't": {x: workflow.Execution{Kind: "rotate", GroupID: group, Subject: "AWS", Version: []int64{1}}},
		"a negative version":               {x: workflow.Execution{Kind: workflow.RotateKey, GroupID: group, Subject: "AWS", Version: []int64{1, -1}}},
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
			Version: rapid.SliceOfN(rapid.OneOf(rapid.Int64Range(0, 12), rapid.Int64Min(0)), 1, 4).Draw(t, "version"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b := draw.Draw(t, "a"), draw.Draw(t, "b")
		if rapid.Bool().Draw(t, "same group") {
			b.GroupID, b.Kind = a.GroupID, a.Kind
		}
		if rapid.Bool().Draw(t, "alike") { // the same digits, divided in another way
			b.Subject = a.Subject + "-" + strconv.FormatInt(a.Version[0], 10)
			if len(a.Version) > 1 {
				b.Version = a.Version[1:]
			}
		}
		x, errX := a.Name()
		y, errY := b.Name()
		if errX != nil || errY != nil || !allowed.MatchString(x) {
			t.Fatalf("%q %v, %q %v", x, errX, y, errY)
		}
		if (x == y) != reflect.DeepEqual(a, b) {
			t.Errorf("%+v and %+v are named %q and %q", a, b, x, y)
		}
	})
}
