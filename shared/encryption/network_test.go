package encryption_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/shared/access"
	"latchkey/shared/atlas"
	"latchkey/shared/encryption"
	"latchkey/shared/kms"
	"latchkey/shared/store"
	"latchkey/shared/store/keys"
	"latchkey/shared/verdict"
)

// network is the private endpoints of a group.
type network struct {
	ways    []kms.PrivateEndpoint
	inForce bool
	regions []string
	fails   error
}

func (n *network) Present(_ context.Context, groupID string, p atlas.Provider) ([]string, store.Op, error) {
	return n.regions, store.Check(keys.PrivateEndpoints(groupID, string(p)), 0), n.fails
}

func (n *network) Ways(context.Context, string, atlas.Provider) ([]kms.PrivateEndpoint, bool, error) {
	return n.ways, n.inForce, n.fails
}

const (
	here  = "vpce-1-a.kms.us-east-1.vpce.amazonaws.com"
	there = "vpce-2-b.kms.eu-west-1.vpce.amazonaws.com"
	mrk   = "arn:aws:kms:us-east-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"
)

var (
	wayHere  = kms.PrivateEndpoint{Region: "US_EAST_1", Address: here}
	wayThere = kms.PrivateEndpoint{Region: "EU_WEST_1", Address: there}
)

// privateWorld has a key at AWS over private networks, and remembers how it was reached last.
func privateWorld(t *testing.T, key string) (w *world, n *network, last func() kms.AWSReference) {
	t.Helper()
	w, n = newWorld(t), &network{}
	w.Endpoints = n
	w.role(role1)
	w.key(key)
	w.key("arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab")
	w.keys["arn:aws:kms:eu-west-1:111122223333:key/mrk-1234abcd12ab34cd56ef1234567890ab"] = w.keys[key]
	var seen kms.AWSReference
	w.refuse = func(ref kms.Reference) error {
		seen = *ref.AWS
		return nil
	}
	w.mustPatch(`{"awsKms":{"enabled":true,"roleId":"` + role1 + `","customerMasterKeyID":"` + key + `","region":"US_EAST_1","requirePrivateNetworking":true}}`)
	return w, n, func() kms.AWSReference { return seen }
}

func TestAKeyIsReachedThroughItsEndpoint(t *testing.T) {
	w, n, last := privateWorld(t, mrk)
	for name, tt := range map[string]struct {
		inForce          bool
		ways             []kms.PrivateEndpoint
		endpoint, region string
		reason           verdict.Reason
	}{
		"none was made yet":                             {region: "us-east-1", reason: verdict.OK},
		"one in its region":                             {true, []kms.PrivateEndpoint{wayThere, wayHere}, here, "us-east-1", verdict.OK},
		"one in another region, where it has a replica": {true, []kms.PrivateEndpoint{wayThere}, there, "eu-west-1", verdict.OK},
		"the last was taken away":                       {inForce: true, reason: verdict.NetworkRefused},
	} {
		t.Run(name, func(t *testing.T) {
			n.ways, n.inForce = tt.ways, tt.inForce
			w.t = t
			if f := w.validate()[0]; f.Verdict.Reason != tt.reason || !f.Valid {
				t.Fatalf("found %+v", f)
			}
			if tt.reason != verdict.OK {
				return
			}
			if got := last(); got.Endpoint != tt.endpoint || got.Region != tt.region {
				t.Errorf("reached %+v", got)
			}
		})
	}
}

func TestASingleRegionKeyHasNoOtherWay(t *testing.T) {
	w, n, _ := privateWorld(t, keyARN)
	n.ways, n.inForce = []kms.PrivateEndpoint{wayThere}, true
	if f := w.validate()[0]; f.Verdict.Reason != verdict.NetworkRefused || !f.Valid {
		t.Errorf("found %+v", f)
	}
	if _, _, err := w.KeyFor(t.Context(), groupID, atlas.AWS, false); err == nil {
		t.Error("it opens")
	}
}

func TestAConfigurationThatNoEndpointLeadsToIsRefused(t *testing.T) {
	w, n, _ := privateWorld(t, keyARN)
	n.ways, n.inForce = []kms.PrivateEndpoint{wayThere}, true
	w.key(keyID)
	_, err := w.patch(`{"awsKms":{"roleId":"` + role1 + `","customerMasterKeyID":"` + keyID + `"}}`)
	if atlas.CodeOf(err) != atlas.KMSUnreachable || !strings.Contains(atlas.AsError(err).Detail(), "/encryptionAtRest/AWS/privateEndpoints") {
		t.Errorf("got %v", err)
	}
}

// While a region is down, the endpoint in it is no way to the replica elsewhere: the tenant learns which
// one it needs.
func TestAKeyThatNoEndpointReachesIsRefusedWithWhatHelps(t *testing.T) {
	const api = "/api/atlas/v2/groups/" + groupID + "/encryptionAtRest/AWS/privateEndpoints"
	down := func(f *verdict.Failure) func(kms.Reference) error {
		return func(ref kms.Reference) error {
			if ref.AWS.Endpoint == here {
				return f
			}
			return nil
		}
	}
	for name, tt := range map[string]struct {
		key, change string
		ways        []kms.PrivateEndpoint
		failure     *verdict.Failure
		want, never string
	}{
		"a move to a region without an endpoint": {
			mrk, `"region":"EU_WEST_1"`,
			[]kms.PrivateEndpoint{wayHere},
			verdict.Failed(verdict.ConnectFailed, "down"),
			"of which none in EU_WEST_1 is active, and through the one in US_EAST_1 there was no answer. Create one in EU_WEST_1 with POST " + api, "",
		},
		"a rotation from a multi-Region key": {
			mrk, `"customerMasterKeyID":"` + keyID + `"`,
			[]kms.PrivateEndpoint{wayHere},
			verdict.Failed(verdict.ConnectFailed, "down"),
			"through the one in US_EAST_1 there was no answer. Create one in another region where the key has a replica with POST " + api, "",
		},
		"a rotation from another key": {
			keyARN, `"customerMasterKeyID":"` + keyID + `"`,
			[]kms.PrivateEndpoint{wayHere},
			verdict.Failed(verdict.ConnectFailed, "down"),
			"through the active one there was no answer", "Create one",
		},
		"a move where no endpoint leads": {
			keyARN, `"customerMasterKeyID":"` + mrk + `","region":"EU_WEST_1"`, nil, nil,
			"of which none in EU_WEST_1 is active; see GET " + api, "",
		},
		"an endpoint that refuses": {
			mrk, `"region":"EU_WEST_1"`,
			[]kms.PrivateEndpoint{wayHere},
			verdict.Failed(verdict.NetworkRefused, "its policy"),
			"Create one in EU_WEST_1", "controlPlaneIPAddresses",
		},
		"a busy provider": {
			mrk, `"region":"EU_WEST_1"`, []kms.PrivateEndpoint{wayHere}, verdict.Failed(verdict.RateLimited, "slow down"), "Nothing was changed.", "private",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, n, _ := privateWorld(t, tt.key)
			w.key(keyID)
			n.ways, n.inForce, w.refuse = tt.ways, true, down(tt.failure)
			_, err := w.patch(`{"awsKms":{"roleId":"` + role1 + `",` + tt.change + `}}`)
			detail := atlas.AsError(err).Detail()
			if atlas.CodeOf(err) != atlas.KMSUnreachable || !strings.Contains(detail, tt.want) || tt.never != "" && strings.Contains(detail, tt.never) {
				t.Errorf("got %v: %s", err, detail)
			}
			if atlas.AsError(err).RetryAfter == 0 {
				t.Error("it does not say when to come back")
			}
		})
	}
}

// The role's own authorization needs the same way to the key.
func TestARoleIsNotProvedWithoutAWayToTheKey(t *testing.T) {
	w, n, _ := privateWorld(t, keyARN)
	n.inForce = true
	role, err := access.Find(t.Context(), w.table, groupID, role1)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ProveRole(t.Context(), role); atlas.CodeOf(err) != atlas.KMSUnreachable {
		t.Errorf("got %v", err)
	}
}

func TestAKeyThatIsNotThereIsRefusedWithWhereItIsMissing(t *testing.T) {
	const account = "A key of another AWS account must be given as its full ARN."
	for name, tt := range map[string]struct {
		key, region string
		ways        []kms.PrivateEndpoint
		want        string
	}{
		"no such id":  {"1234abcd-12ab-34cd-56ef-1234567890ff", "us-east-1", nil, "was not found in region us-east-1. " + account},
		"no such ARN": {strings.Replace(keyARN, "1234abcd", "ffffffff", 1), "US_EAST_1", nil, "was not found in region US_EAST_1."},
		"an ARN of a replica": {
			mrk, "EU_CENTRAL_1", nil, "was not found in region EU_CENTRAL_1. A multi-Region key needs a replica there: create one in EU_CENTRAL_1.",
		},
		"an id of a replica": {
			"mrk-1234abcd12ab34cd56ef1234567890ab", "EU_CENTRAL_1", nil, "A multi-Region key needs a replica in EU_CENTRAL_1. " + account,
		},
		"an endpoint where there is no replica": {
			strings.Replace(mrk, "mrk-1", "mrk-f", 1), "US_EAST_1",
			[]kms.PrivateEndpoint{wayThere},
			"was not found in region EU_WEST_1. A multi-Region key needs a replica there: create one in EU_WEST_1.",
		},
	} {
		t.Run(name, func(t *testing.T) {
			w, n, _ := privateWorld(t, mrk)
			n.ways, n.inForce = tt.ways, tt.ways != nil
			_, err := w.patch(`{"awsKms":{"roleId":"` + role1 + `","customerMasterKeyID":"` + tt.key + `","region":"` + tt.region + `"}}`)
			if detail := atlas.AsError(err).Detail(); atlas.CodeOf(err) != atlas.AWSKeyNotFound || !strings.HasSuffix(detail, tt.want) {
				t.Errorf("got %v: %s", err, detail)
			}
		})
	}
}

func TestAnEndpointThatCanNotBeLookedUpLeadsNowhere(t *testing.T) {
	w, n, _ := privateWorld(t, keyARN)
	n.fails = errors.New("table down")
	if _, _, err := w.KeyFor(t.Context(), groupID, atlas.AWS, false); !errors.Is(err, n.fails) {
		t.Errorf("got %v", err)
	}
}

func TestAWayIsProvedWithTheStoredProbe(t *testing.T) {
	w, _, last := privateWorld(t, keyARN)
	prove := func(way kms.PrivateEndpoint) error { return w.ProveWay(t.Context(), groupID, atlas.AWS, way) }
	if err := prove(wayHere); err != nil || last().Endpoint != here {
		t.Fatalf("%v, reached %+v", err, last())
	}
	if err := prove(wayThere); err == nil {
		t.Error("an endpoint in another region leads to a single-Region key")
	}
	w.keys[keyARN].Break(verdict.AccessDenied)
	if err := prove(wayHere); err == nil {
		t.Error("a valid key that is refused through the endpoint counts as proved")
	}
	w.validate() // finds the key invalid, endpoint or not
	if err := prove(wayHere); err != nil {
		t.Errorf("an invalid key keeps the endpoint from being used: %v", err)
	}
	w.keys[keyARN].Break(verdict.ConnectFailed)
	if err := prove(wayHere); err == nil {
		t.Error("what is out of reach counts as proved")
	}
	if err := w.ProveWay(t.Context(), groupID, atlas.Azure, wayHere); atlas.CodeOf(err) != atlas.EARNotEnabled {
		t.Error(err)
	}
}

func TestWhileThereAreEndpointsTheirGroundStays(t *testing.T) {
	w, n, _ := privateWorld(t, keyARN)
	n.regions = []string{"US_EAST_1", "EU_WEST_1"}
	w.clusters = []string{"c"} // endpoints come first
	for body, code := range map[string]atlas.Code{
		`{"awsKms":{"enabled":false}}`:                  atlas.CannotDisableEAREndpoints,
		`{"awsKms":{"requirePrivateNetworking":false}}`: atlas.CannotDisablePrivateNetworking,
	} {
		_, err := w.patch(body)
		if atlas.CodeOf(err) != code {
			t.Errorf("%s gives %v", body, err)
		}
	}
	_, err := w.patch(`{"awsKms":{"requirePrivateNetworking":false}}`)
	if diff := cmp.Diff([]any{"US_EAST_1, EU_WEST_1"}, atlas.AsError(err).Params); diff != "" {
		t.Error(diff)
	}
	w.mustPatch(`{"awsKms":{"requirePrivateNetworking":true},"azureKeyVault":{"enabled":false,"requirePrivateNetworking":false}}`)
	n.regions = nil
	if _, err := w.patch(`{"awsKms":{"enabled":false}}`); atlas.CodeOf(err) != atlas.CannotDisableEAR {
		t.Errorf("got %v", err)
	}
}

func TestAnEndpointThatIsCreatedMeanwhileIsAConflict(t *testing.T) {
	w, _, _ := privateWorld(t, keyARN)
	w.table.before = func() {
		item, err := store.Encode(keys.PrivateEndpoints(groupID, "AWS"), 0, map[string]string{})
		if err != nil {
			t.Fatal(err)
		}
		w.write(store.Put(item))
	}
	if _, err := w.patch(`{"awsKms":{"requirePrivateNetworking":false}}`); !errors.Is(err, store.ErrConflict) {
		t.Errorf("got %v", err)
	}
	if s, err := w.Load(t.Context(), groupID); err != nil || !s.PrivateNetworking(atlas.AWS) {
		t.Error("it was switched off beside an endpoint")
	}
}

func TestMultiRegionKeysAreRecognised(t *testing.T) {
	state := encryption.KeyState{Version: mrk + "#material"}
	multi := []encryption.AWS{{KeyID: mrk}, {KeyID: "mrk-1234abcd12ab34cd56ef1234567890ab"}, {KeyID: "alias/a", Key: state}}
	single := []encryption.AWS{{KeyID: keyARN}, {KeyID: "alias/a"}, {KeyID: "alias/a", Key: encryption.KeyState{Version: keyARN}}}
	if slices.ContainsFunc(single, encryption.AWS.IsMultiRegion) || slices.ContainsFunc(multi, func(a encryption.AWS) bool { return !a.IsMultiRegion() }) {
		t.Error("keys are taken for what they are not")
	}
}
