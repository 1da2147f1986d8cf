package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/local/pocket"
	"latchkey/local/pocket/awscloud"
	"latchkey/local/pocket/awscloud/awssdk"
	"latchkey/local/stack"
)

// client writes to a cluster all the time, and knows what was acknowledged. Every key is
// written once, so that its value is never in doubt.
type client struct {
	mu           sync.Mutex
	at           string
	writes       int
	acknowledged map[string]string
}

// write writes until ctx ends.
func (c *client) write(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(10 * time.Millisecond) // enough to be killed in the middle of one, and to leave the nodes time
		c.mu.Lock()
		c.writes++
		key, value, at := fmt.Sprint("k", c.writes), strings.Repeat(fmt.Sprint(c.writes, " "), 200), c.at
		c.mu.Unlock()
		req, err := http.NewRequestWithContext(ctx, http.MethodPut, at+key, strings.NewReader(value))
		if err != nil {
			return
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			continue // it was killed
		}
		resp.Body.Close() //nolint:errcheck // nothing in it
		if resp.StatusCode == http.StatusNoContent {
			c.mu.Lock()
			c.acknowledged[key] = value
			c.mu.Unlock()
		}
	}
}

func (c *client) missing(ctx context.Context) error {
	for key, want := range c.acknowledged {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.at+key, http.NoBody)
		if err != nil {
			return err
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		got, err := io.ReadAll(resp.Body)
		if err = errors.Join(err, resp.Body.Close()); err != nil || resp.StatusCode != http.StatusOK || string(got) != want {
			return fmt.Errorf("%s: %d %.40q, %w", key, resp.StatusCode, got, err)
		}
	}
	return nil
}

// The program is killed (kill -9) at moments that nobody chose: while a cluster is made, while its
// data is written, and while its nodes are rebuilt under another key. What was acknowledged is there,
// and the work that was begun ends.
func TestNothingIsLostWhenEverythingIsKilled(t *testing.T) {
	t.Parallel()
	flags := testFlags(filepath.Join(t.TempDir(), "data"))
	c := &client{acknowledged: map[string]string{}}
	var r *running
	boot := func() (kill func()) {
		at, kill := startProgram(t, flags...)
		clouds := pocket.Redirect(strings.TrimPrefix(at["clouds"], "http://"))
		r = &running{
			t: t, base: at["API"], clouds: clouds, token: at["CLOUD_TOKEN"],
			owner: stack.Owner{GroupID: at["GROUP_ID"], PublicKey: at["PUBLIC_KEY"], PrivateKey: at["PRIVATE_KEY"]},
			tenant: awssdk.Config(clouds, "us-east-1", awscloud.Keys{
				AccessKeyID: at["AWS_ACCESS_KEY_ID"], SecretAccessKey: at["AWS_SECRET_ACCESS_KEY"],
			}),
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.at = at["DATABASES"] + "/" + r.owner.GroupID + "/A/db/"
		return kill
	}
	kill := boot()
	update := r.bringAWS(r.byKey()).update
	_, _, err := r.byKey().EncryptionAtRestUsingCustomerKeyManagementApi.UpdateEncryptionAtRest(t.Context(), r.owner.GroupID, &update).Execute()
	r.must(err)
	name, kind := "A", "REPLICASET"
	_, _, err = r.byKey().ClustersApi.CreateCluster(t.Context(), r.owner.GroupID, &admin.ClusterDescription20240805{
		Name: &name, ClusterType: &kind, EncryptionAtRestProvider: new("AWS"), ReplicationSpecs: size("M10"),
	}).Execute()
	r.must(err)

	writing, stop := context.WithCancel(t.Context())
	var clients sync.WaitGroup
	for range 2 {
		clients.Go(func() { c.write(writing) })
	}
	for _, after := range []time.Duration{0, 700 * time.Millisecond, 1900 * time.Millisecond, 3500 * time.Millisecond} {
		pause(t, after)
		kill()
		kill = boot()
	}
	idle := func() {
		t.Helper()
		for began := time.Now(); ; pause(t, 200*time.Millisecond) {
			got, _, err := r.byKey().ClustersApi.GetCluster(t.Context(), r.owner.GroupID, "A").Execute()
			r.must(err)
			if got.GetStateName() == "IDLE" {
				return
			}
			if time.Since(began) > 2*time.Minute {
				t.Fatalf("the cluster is %s", got.GetStateName())
			}
		}
	}
	idle()
	for _, provider := range []string{"NONE", "AWS"} {
		_, _, err := r.byKey().ClustersApi.UpdateCluster(t.Context(), r.owner.GroupID, "A",
			&admin.ClusterDescription20240805{EncryptionAtRestProvider: &provider}).Execute()
		r.must(err)
		pause(t, 2*time.Second)
		kill()
		kill = boot()
		idle()
	}
	stop()
	clients.Wait()
	if len(c.acknowledged) == 0 {
		t.Error("nothing was written")
	}
	if err := c.missing(t.Context()); err != nil {
		t.Errorf("of %d acknowledged writes: %v", len(c.acknowledged), err)
	}
	kill()
}

// pause lets a program outside go on for a while.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-t.Context().Done():
	}
}
