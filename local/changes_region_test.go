package main

import (
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/agent"
)

// replicated makes a multi-Region key with a replica in Ireland.
func (e *estate) replicated() (key, replica string) {
	e.t.Helper()
	key = e.newKey(true)
	made, err := kms.NewFromConfig(e.tenant).ReplicateKey(e.t.Context(), &kms.ReplicateKeyInput{KeyId: &key, ReplicaRegion: aws.String("eu-west-1")})
	e.must(err)
	time.Sleep(time.Minute) // it is being made
	return key, *made.ReplicaKeyMetadata.Arn
}

// regionEnds has the KMS of the key's region answer nobody, to the end of the test.
func (e *estate) regionEnds() {
	e.lasting = append(e.lasting, "kms.us-east-1.amazonaws.com")
	e.last()
	e.key.give = func() {} // nobody could, and nobody has taken it
}

// byReplicated brings a multi-Region key, which has a replica.
func (e *estate) byReplicated() journey {
	j := e.bringAWS(e.client)
	key, _ := e.replicated()
	j.update.AwsKms.CustomerMasterKeyID = &key
	return j
}

// "Reconfigure your CMK in another region" is what a tenant does in an outage: the former region answers nothing from
// before the update to the end of the test.
func TestReconfigureRegion_whileTheFormerOneIsDown(t *testing.T) {
	inEstateOf(t, (*estate).byReplicated, func(e *estate) {
		e.populate("A", "B", "C")
		before, wrapped, masters := e.stores("A"), e.wrapped(), e.masterKeys()
		e.regionEnds()
		time.Sleep(6 * time.Minute)                                                    // what a KMS allowed before is not remembered longer
		unlucky := slices.Concat(e.deployment("B").Nodes[:2], e.deployment("C").Nodes) // they can't come back
		for _, n := range unlucky {
			e.crash(n.ID)
		}
		e.until("they wait for the region", func() bool { return e.state("B") == "REPAIRING" && e.state("C") == "REPAIRING" })
		time.Sleep(10 * time.Minute)
		if got := e.statuses(agent.Running); got != 9-len(unlucky) || e.write("B", 1)+e.write("C", 1) > 0 {
			t.Errorf("%d nodes run", got)
		}
		e.readable("A")

		e.must(e.configure(admin.AWSKMSConfiguration{Region: aws.String("EU_WEST_1")}))
		figures(t, "until all nodes run", e.until("all nodes run", func() bool { return e.statuses(agent.Running) == 9 }))
		figures(t, "the rest of the move", e.meanwhile(time.Hour, "the move is finished", func() bool {
			now := e.report().LastChange
			return now.Kind == "reconfigure-region" && now.State == "FINISHED"
		}))
		if now := e.report().LastChange; now.Proved != 9 || now.Left != 0 {
			t.Errorf("the change is %+v", now)
		}
		for _, name := range []string{"A", "B", "C"} {
			e.idle(name)
			e.until(name+" answers", func() bool { return e.answers(name) })
			e.readable(name)
		}
		e.unwritten("A", before)
		if diff := cmp.Diff(wrapped, e.wrapped()); diff != "" {
			t.Error("keys were wrapped anew")
		}
		if diff := cmp.Diff(masters, e.masterKeys()); diff != "" {
			t.Error("master keys were replaced")
		}
		if !e.event("ENCRYPTION_AT_REST_CHANGE_FINISHED") || e.event("AWS_ENCRYPTION_KEY_ROTATED") || e.event("CLUSTER_INSTANCE_DISABLED") {
			t.Errorf("the events are %v", e.events())
		}
		e.restarted()
		e.serves()
	})
}

func TestReconfigureRegion_isRefused(t *testing.T) {
	for name, c := range map[string]struct {
		bring  func(e *estate) journey
		before func(e *estate)
		code   string
	}{
		"of a single-Region key": {
			bring: func(e *estate) journey { return e.bringAWS(e.client) }, code: "AWS_CUSTOMER_MASTER_KEY_NOT_FOUND",
		},
		"to where there is no replica": {
			bring: func(e *estate) journey {
				j, key := e.bringAWS(e.client), e.newKey(true)
				j.update.AwsKms.CustomerMasterKeyID = &key
				return j
			},
			code: "AWS_CUSTOMER_MASTER_KEY_NOT_FOUND",
		},
		"to a replica that is disabled": {
			bring: (*estate).byReplicated,
			before: func(e *estate) {
				_, name := e.whereUp(*e.key.update.AwsKms.CustomerMasterKeyID)
				e.second(e.kmsIn("eu-west-1").DisableKey(e.t.Context(), &kms.DisableKeyInput{KeyId: &name}))
			},
			code: "AWS_KMS_CUSTOMER_MASTER_KEY_NOT_ENABLED",
		},
	} {
		t.Run(name, func(t *testing.T) {
			inEstateOf(t, c.bring, func(e *estate) {
				e.regionEnds()
				if c.before != nil {
					c.before(e)
				}
				stored := e.settings().Revision
				if err := e.configure(admin.AWSKMSConfiguration{Region: aws.String("EU_WEST_1")}); !admin.IsErrorCode(err, c.code) {
					t.Errorf("error = %v, want %s", err, c.code)
				}
				if e.settings().Revision != stored || e.report().LastChange != nil {
					t.Error("something was stored")
				}
				e.lasting = nil
			})
		})
	}
}
