package kms_test

import (
	"context"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/atlas"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/verdict"
)

func TestEveryCallIsCountedOnceByHowItEnded(t *testing.T) {
	memory, tally := kmstest.NewMemory(), &kms.Tally{}
	key := memory.Key("k").Counted(tally, atlas.AWS)
	probe, _, err := key.NewProbe(t.Context(), "g")
	if err != nil {
		t.Fatal(err)
	}
	refused := kms.NewKey("k", refusing{Memory: memory, reason: verdict.AccessDenied}).Counted(tally, atlas.GCP)
	if err := refused.Or(key).CheckProbe(t.Context(), "g", probe); err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	_ = key.CheckProbe(cancelled, "g", probe)
	want := map[kms.Call]int{
		{atlas.AWS, kms.OpDescribe, verdict.Valid}: 1, {atlas.AWS, kms.OpEncrypt, verdict.Valid}: 1,
		{atlas.AWS, kms.OpDecrypt, verdict.Valid}: 2, {atlas.GCP, kms.OpDecrypt, verdict.Invalid}: 1,
		{atlas.AWS, kms.OpDecrypt, verdict.Inconclusive}: 1,
	}
	if diff := cmp.Diff(want, tally.Take()); diff != "" {
		t.Error(diff)
	}
	if again := tally.Take(); len(again) > 0 {
		t.Errorf("counted twice: %v", again)
	}
}

func TestAKeyThatNobodyCountsWorks(t *testing.T) {
	if _, _, err := kmstest.NewMemory().Key("k").NewProbe(t.Context(), "g"); err != nil {
		t.Error(err)
	}
}

// A check costs one call to a provider, which takes milliseconds; what counting it adds is nothing
// beside that.
func BenchmarkTally(b *testing.B) {
	tally := &kms.Tally{}
	key := kmstest.NewMemory().Key("k")
	probe, _, err := key.NewProbe(b.Context(), "g")
	if err != nil {
		b.Fatal(err)
	}
	for name, k := range map[string]*kms.Key{"uncounted": key, "counted": key.Counted(tally, atlas.AWS)} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := k.CheckProbe(b.Context(), "g", probe); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
