package keytasks_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/identity/identitytest"
	"latchkey/shared/kms"
	"latchkey/shared/kms/kmstest"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/suite/keytasks"
	"latchkey/shared/verdict"
)

const (
	endpointID = "650000000000000000000020"
	host       = "vpce-1-a.kms.us-east-1.vpce.amazonaws.com"
)

// inVPC is a key that is reached through one endpoint only.
type inVPC struct{ ring }

func (r inVPC) Renew(ref kms.Reference) (*kms.Key, error) {
	if ref.AWS.Endpoint != host {
		return nil, verdict.Failed(verdict.NetworkRefused, "through %q", ref.AWS.Endpoint)
	}
	return r.ring.Renew(ref)
}

// withEndpoint is a table with a private endpoint that is being made, and a probe of the key.
func withEndpoint(t *testing.T, key *kmstest.Memory, status endpoint.Status) store.Table {
	t.Helper()
	read, ok := table(t).(readOnly)
	if !ok {
		t.Fatal("the table is another one")
	}
	probe, _, err := key.Key(keyARN).NewProbe(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	item, err := read.Get(t.Context(), keys.Encryption(group))
	if err != nil {
		t.Fatal(err)
	}
	settings, err := store.Decode[map[string]any](item)
	if err != nil {
		t.Fatal(err)
	}
	block, ok := settings["aws"].(map[string]any)
	if !ok {
		t.Fatal("there is no key")
	}
	block["privateNetworking"], block["key"] = true, map[string]any{"probe": probe, "valid": true}
	next, err := store.Encode(item.Key, item.Version, settings)
	if err != nil {
		t.Fatal(err)
	}
	set, err := store.Encode(keys.PrivateEndpoints(group, "AWS"), 0, endpoint.Set{
		GroupID: group, Provider: atlas.AWS, Endpoints: []endpoint.Endpoint{{ID: endpointID, Region: "US_EAST_1", Status: status, Address: host}},
	})
	if err == nil {
		err = read.Table.Write(t.Context(), store.Put(next), store.Put(set))
	}
	if err != nil {
		t.Fatal(err)
	}
	return read
}

func tryEndpoint(ctx context.Context, t *testing.T, table store.Table, r inVPC) (string, error) {
	t.Helper()
	h := keytasks.New(keytasks.Deps{
		Table: table, Sealer: identitytest.NewSealer(t), Now: time.Now, Log: slog.New(slog.DiscardHandler), Keys: r,
	})
	out, err := h.Invoke(ctx, []byte(`{"task":"tryEndpoint","groupId":"`+group+`","provider":"AWS","endpointId":"`+endpointID+`"}`))
	return string(out), err
}

func TestTryEndpoint_opens_the_key_through_it_and_writes_nothing(t *testing.T) {
	key := kmstest.NewMemory()
	table := withEndpoint(t, key, endpoint.Initiating)
	for _, reason := range []verdict.Reason{verdict.OK, verdict.ConnectFailed, verdict.AccessDenied} {
		key.Break(reason)
		want := `{"address":"` + host + `","reason":"` + string(reason) + `"}`
		if answer, err := tryEndpoint(t.Context(), t, table, inVPC{ring{fresh: key}}); err != nil || answer != want {
			t.Errorf("%s gives %s, %v", reason, answer, err)
		}
	}
}

func TestTryEndpoint_leaves_alone_what_is_not_being_made(t *testing.T) {
	key := kmstest.NewMemory()
	for _, status := range []endpoint.Status{endpoint.Active, endpoint.Failed, endpoint.Deleting} {
		table := withEndpoint(t, key, status)
		before := key.Calls("Decrypt")
		answer, err := tryEndpoint(t.Context(), t, table, inVPC{ring{fresh: key}})
		if err != nil || answer != `{"address":"","reason":"CANCELLED"}` || key.Calls("Decrypt") != before {
			t.Errorf("%s gives %s, %v", status, answer, err)
		}
	}
}

// deaf is a table that can't be read.
type deaf struct{ store.Table }

func (deaf) Get(context.Context, store.Key) (store.Item, error) {
	return store.Item{}, errors.New("down")
}

func TestTryEndpoint_fails_while_nothing_is_known(t *testing.T) {
	if answer, err := tryEndpoint(t.Context(), t, deaf{}, inVPC{}); err == nil {
		t.Errorf("answers %s", answer)
	}
}
