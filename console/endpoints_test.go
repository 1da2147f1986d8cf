package console_test

import (
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Where private endpoints are.
const (
	awsEndpoints   = overview + "/advanced/AWS/endpoints"
	azureEndpoints = overview + "/advanced/AZURE/endpoints"
	endpointAPI    = "/api/atlas/v2/groups/" + groupID + "/encryptionAtRest/AWS/privateEndpoints"
	azurePrivate   = "/api/atlas/v2/groups/" + groupID + "/encryptionAtRest/AZURE/privateEndpoints"
	endpointID     = "32b6e34b3d91647abb20e721"
)

// networkWorld is a project with keys at AWS and Azure, and clusters in two regions of AWS.
func networkWorld(t *testing.T, required bool, key string) *world {
	t.Helper()
	w := accessWorld(t, "GROUP_OWNER")
	w.api.set("GET "+settingsAPI, map[string]any{
		"awsKms": map[string]any{"enabled": true, "valid": true, "customerMasterKeyID": key, "region": "US_EAST_1", "roleId": awsID, "requirePrivateNetworking": required},
		"azureKeyVault": map[string]any{
			"enabled": true, "valid": true, "keyVaultName": "kv-kms", "resourceGroupName": "rg-kms", "azureEnvironment": "AZURE", "requirePrivateNetworking": required,
		},
		"googleCloudKms": map[string]any{},
	})
	w.roles(awsAccess(map[string]any{"iamAssumedRoleArn": tenantRole, "authorizedDate": "2026-02-03T04:05:06Z"}), azureAccess(nil), googleAccess("COMPLETE"))
	w.networks("AWS", "EU_WEST_1", "US_EAST_1", "AP_SOUTH_1", "CN_NORTH_1")
	w.networks("AZURE", "US_EAST_2")
	w.inForce(false)
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", page(placed("east", "AWS", "AWS", "US_EAST_1"), placed("west", "AWS", "AWS", "EU_WEST_1"), placed("plain", "NONE", "AWS", "US_EAST_1")))
	w.api.set("GET "+endpointAPI, page())
	w.api.set("GET "+azurePrivate, page())
	return w
}

// networks are where the operator has one.
func (w *world) networks(provider string, regions ...string) {
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/encryptionAtRest/"+provider+"/privateEndpointRegions", map[string]any{"regions": regions})
}

const (
	replicated = "arn:aws:kms:us-east-1:111122223333:key/mrk-0f0e0d0c"
	single     = "arn:aws:kms:us-east-1:111122223333:key/0f0e0d0c-0b0a-0908-0706-050403020100"
)

func placed(name, encrypted, provider, region string) any {
	return map[string]any{"name": name, "encryptionAtRestProvider": encrypted, "replicationSpecs": []any{
		map[string]any{"regionConfigs": []any{map[string]any{"providerName": provider, "regionName": region}}},
	}}
}

func (w *world) inForce(is bool) {
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/encryptionAtRest/keys", page(map[string]any{
		"cloudProvider": "AWS", "formerKeys": []any{}, "keyInUse": map[string]any{"key": "k", "status": map[string]any{}, "privateNetworking": map[string]any{"required": true, "inForce": is}},
	}))
}

func endpoint(status, region, name, message string) map[string]any {
	e := map[string]any{"id": endpointID, "cloudProvider": "AWS", "status": status, "regionName": region, "privateEndpointConnectionName": nil, "errorMessage": nil}
	if name != "" {
		e["privateEndpointConnectionName"] = name
	}
	if message != "" {
		e["errorMessage"] = message
	}
	return e
}

func TestEndpoints_sayInWordsHowTheyStandAndWhatToDo(t *testing.T) {
	t.Parallel()
	for status, tt := range map[string]struct {
		message string
		want    []string
		every   string
		stays   bool // it may not be deleted
	}{
		"INITIATING":         {"", []string{"Being created", "Nothing to do"}, "every 5s", true},
		"PENDING_ACCEPTANCE": {"", []string{"Waits for your approval"}, "every 15s", false},
		"ACTIVE":             {"", []string{"Active", "the key is reached through it"}, "", false},
		"FAILED":             {"The connection was rejected.", []string{"Failed", "The connection was rejected.", "create another one"}, "", false},
		"PENDING_RECREATION": {"It was removed.", []string{"Being replaced", "It was removed.", "in its place"}, "every 5s", false},
		"DELETING":           {"", []string{"Being deleted"}, "every 5s", true},
		"NEW_STATUS":         {"", []string{"NEW_STATUS"}, "", false},
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			w := networkWorld(t, true, replicated)
			w.api.set("GET "+endpointAPI, page(endpoint(status, "us-east-1", "vpce-1", tt.message)))
			a := w.get(awsEndpoints)
			a.has(t, 200, append(tt.want, "us-east-1", "vpce-1", "<code>"+status+"</code>", overview+"/clusters/east", tt.every)...)
			a.lacks(t, "clusters/plain")
			if tt.every == "" {
				a.lacks(t, "hx-trigger")
			}
			if has := strings.Contains(a.body, endpointID+`/delete"`); has == tt.stays {
				t.Errorf("a deletion is offered: %t", has)
			}
			if f := w.get(awsEndpoints + "/state"); f.StatusCode != 200 || strings.Contains(f.body, "<html") || !strings.Contains(f.body, tt.want[0]) {
				t.Errorf("the part that is read again: %d %s", f.StatusCode, f.body)
			}
		})
	}
}

func TestEndpoints_thatDoNotOpenTheKeyYetSayWhatToDo(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.api.set("GET "+endpointAPI, page(endpoint("INITIATING", "US_EAST_1", "vpce-1", "The key does not open through it: ACCESS_DENIED.")))
	w.get(awsEndpoints).has(t, 200, "ACCESS_DENIED", "Let the role use the key through this endpoint.")
}

func TestEndpoints_ofAzureTellHowToApprove(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.api.set("GET "+azurePrivate, page(merged(endpoint("PENDING_ACCEPTANCE", "US_EAST_2", "pec-1; rm -rf", ""), map[string]any{"cloudProvider": "AZURE"})))
	w.get(azureEndpoints).has(t, 200, `data-label="Region">US_EAST_2<`, "az keyvault private-endpoint-connection approve", "--name &#39;pec-1; rm -rf&#39;", "--vault-name kv-kms", "--resource-group rg-kms", "Private endpoint connections")
}

func TestEndpoints_showWhetherPrivateNetworkingIsInForce(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, false, replicated)
	a := w.get(awsEndpoints)
	a.has(t, 200, "Require Private Networking: off", "Inactive", "public network")
	a.lacks(t, "Set up</a>", "Create new endpoints")
	w = networkWorld(t, true, replicated)
	w.get(awsEndpoints).has(t, 200, "Require Private Networking: on", "no endpoint is active yet", `href="`+awsEndpoints+`/new">Set up</a>`)
	w.inForce(true)
	w.api.set("GET "+endpointAPI, page(endpoint("ACTIVE", "US_EAST_1", "vpce-1", "")))
	a = w.get(awsEndpoints)
	a.has(t, 200, "in no other way", "Regions of your clusters without an endpoint", `name="region" value="EU_WEST_1"`, "aws:SourceVpce", `&#34;Deny&#34;`, "Create new endpoints")
	a.lacks(t, `name="region" value="US_EAST_1"`)
}

func TestEndpoints_areForOwnersOfProjectsWithAKey(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.get(overview+"/advanced/GCP/endpoints").has(t, 404, "no private endpoints")
	w.get(overview+"/advanced/IBM/endpoints").has(t, 404)
	w.api.set("GET "+settingsAPI, map[string]any{"awsKms": map[string]any{}, "azureKeyVault": map[string]any{}, "googleCloudKms": map[string]any{}})
	w.get(awsEndpoints).has(t, 200, "AWS KMS is off", overview+"/advanced/AWS")
	w.get(awsEndpoints+"/new").has(t, 200, "Set it up first.")
	w.get(awsEndpoints+"/require").has(t, 200, "Set it up first.")
	w.api.set("GET /api/atlas/v2", map[string]any{"apiKey": map[string]any{"roles": []any{map[string]any{"groupId": groupID, "roleName": "GROUP_READ_ONLY"}}}})
	w.api.set("GET "+endpointAPI, refused{401, "USER_CANNOT_ACCESS_GROUP", "No.", ""})
	for _, path := range []string{"", "/new", "/require", "/" + endpointID + "/delete"} {
		a := w.get(awsEndpoints + path)
		a.has(t, 200, "Only Project Owners", "<h1>")
		a.lacks(t, `type="submit">Continue`, `type="submit">Delete`, "Require Private Networking</button>")
	}
}

func TestPrivateNetworking_isRequiredAfterItWasSaidWhatItMeans(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, false, replicated)
	a := w.get(awsEndpoints + "/require")
	a.has(t, 200, "Holds", "See to it", "There are nodes in eu-west-1 too.", "All clusters of the project are at one cloud provider", "cannot be switched off", `name="require" value="on"`)
	a.lacks(t, "Does not hold")
	w.api.set("PATCH "+settingsAPI, map[string]any{})
	w.post(awsEndpoints+"/require", url.Values{"require": {"on"}}).leads(t, awsEndpoints+"/new")
	if diff := cmp.Diff(`{"awsKms":{"requirePrivateNetworking":true}}`, w.api.sent("PATCH "+settingsAPI)); diff != "" {
		t.Error(diff)
	}
	w.post(azureEndpoints+"/require", url.Values{"require": {"off"}}).leads(t, azureEndpoints)
	if diff := cmp.Diff(`{"azureKeyVault":{"requirePrivateNetworking":false}}`, w.api.sent("PATCH "+settingsAPI)); diff != "" {
		t.Error(diff)
	}
}

func TestPrivateNetworking_saysWhatDoesNotHold(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, false, single)
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", page(placed("east", "AWS", "AWS", "US_EAST_1"), placed("west", "AWS", "AWS", "EU_WEST_1"), placed("elsewhere", "NONE", "GCP", "CENTRAL_US")))
	w.get(awsEndpoints+"/require").has(t, 200, "Does not hold", "These have nodes elsewhere: elsewhere.", "There are nodes in eu-west-1 too, and the key is a single-Region key")
	w.get(azureEndpoints+"/require").has(t, 200, "You approve each connection", "east, west, elsewhere")
}

func TestPrivateNetworking_cannotBeSwitchedOffWhileThereAreEndpoints(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.get(awsEndpoints+"/require").has(t, 200, `name="require" value="off"`, "Stop requiring it")
	w.api.set("GET "+endpointAPI, page(endpoint("FAILED", "US_EAST_1", "vpce-1", "x")))
	a := w.get(awsEndpoints + "/require")
	a.has(t, 200, "cannot be switched off while there are private endpoints", "us-east-1")
	a.lacks(t, `type="submit">Stop`)
	w.api.set("PATCH "+settingsAPI, refused{400, "CANNOT_DISABLE_ENCRYPTION_AT_REST_REQUIRE_PRIVATE_NETWORKING_WHILE_PRIVATE_ENDPOINTS_EXIST", "Remove private endpoints first.", ""})
	w.post(awsEndpoints+"/require", url.Values{"require": {"off"}}).has(t, 400, "WHILE_PRIVATE_ENDPOINTS_EXIST", "Remove private endpoints first.")
}

func TestEndpointNew_offersTheRegionsOfTheClustersFirst(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	a := w.get(awsEndpoints + "/new")
	a.has(t, 200, "Set up private networking", replicated, "Replicate the key", tenantRole, `value="EU_WEST_1" checked`, `value="US_EAST_1" checked`, `value="AP_SOUTH_1">`)
	if strings.Index(a.body, `value="US_EAST_1"`) > strings.Index(a.body, "Other regions") || strings.Contains(a.body, `value="CN_NORTH_1"`) {
		t.Error("the regions are in another order, or of another partition")
	}
	w = networkWorld(t, true, single)
	a = w.get(awsEndpoints + "/new")
	a.has(t, 200, "single-Region key", `value="US_EAST_1" checked`, "This does not hold.")
	a.lacks(t, `value="EU_WEST_1"`, "Other regions")
	w.api.set("GET "+endpointAPI, page(endpoint("ACTIVE", "us-east-1", "vpce-1", "")))
	a = w.get(awsEndpoints + "/new")
	a.has(t, 200, "There is an endpoint in every region")
	a.lacks(t, `type="submit">Continue`)
	w = networkWorld(t, true, replicated)
	w.networks("AWS", "US_EAST_1")
	w.get(awsEndpoints+"/new").lacks(t, `value="EU_WEST_1"`, "Other regions")
	w.api.set("GET /api/latchkey/v1/groups/"+groupID+"/encryptionAtRest/AWS/privateEndpointRegions", refused{404, "RESOURCE_NOT_FOUND", "Cannot find resource.", ""})
	w.get(awsEndpoints+"/new").has(t, 200, "has no network for private endpoints")
	w = networkWorld(t, false, replicated)
	w.get(awsEndpoints+"/new").has(t, 200, "Switch on Require Private Networking first.")
}

func TestEndpointNew_asksForOneInEachRegion(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.post(awsEndpoints+"/new", nil).has(t, 422, "Choose at least one.", `id="region-error"`)
	w.api.set("POST "+endpointAPI, endpoint("INITIATING", "US_EAST_1", "", ""))
	w.api.asked()
	w.post(awsEndpoints+"/new", url.Values{"region": {"US_EAST_1", "EU_WEST_1", "US_EAST_1"}}).leads(t, awsEndpoints)
	made := slices.DeleteFunc(w.api.asked(), func(r string) bool { return r != "POST "+endpointAPI })
	if len(made) != 2 || w.api.sent("POST "+endpointAPI) != `{"regionName":"US_EAST_1"}` {
		t.Errorf("asked %v, last %s", made, w.api.sent("POST "+endpointAPI))
	}
	w.get(awsEndpoints).has(t, 200, "Private endpoints are being created in eu-west-1, us-east-1.")
}

func TestEndpointNew_saysWhereItWasRefused(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	w.api.set("POST "+endpointAPI, refused{400, "INVALID_REGION", "No region. Private endpoints can be made in US_EAST_1.", ""})
	a := w.post(awsEndpoints+"/new", url.Values{"region": {"AP_SOUTH_1"}})
	a.has(t, 400, "ap-south-1: No region.", "INVALID_REGION", `value="AP_SOUTH_1" checked`, "<details open>")
	a.lacks(t, `value="US_EAST_1" checked`)
}

func TestEndpointDelete_saysWhichClustersRelyOnIt(t *testing.T) {
	t.Parallel()
	w := networkWorld(t, true, replicated)
	remove := awsEndpoints + "/" + endpointID + "/delete"
	w.api.set("GET "+endpointAPI, page(endpoint("ACTIVE", "US_EAST_1", "vpce-1", "")))
	a := w.get(remove)
	a.has(t, 200, "vpce-1", overview+"/clusters/east", "It is the last active endpoint.")
	a.lacks(t, "clusters/west", "clusters/plain")
	other := endpoint("ACTIVE", "EU_WEST_1", "vpce-2", "")
	other["id"] = "32b6e34b3d91647abb20e722"
	w.api.set("GET "+endpointAPI, page(endpoint("ACTIVE", "US_EAST_1", "vpce-1", ""), other))
	a = w.get(remove)
	a.has(t, 200, "through the other endpoints only")
	a.lacks(t, "It is the last active endpoint.")
	w.api.set("DELETE "+endpointAPI+"/"+endpointID, refused{400, "ENCRYPTION_AT_REST_PRIVATE_ENDPOINT_DELETE_BLOCKED_DURING_PROVISIONING", "Try later.", ""})
	w.post(remove, nil).has(t, 400, "DELETE_BLOCKED_DURING_PROVISIONING", "Try later.", "vpce-1")
	w.api.set("DELETE "+endpointAPI+"/"+endpointID, map[string]any{})
	w.post(remove, nil).leads(t, awsEndpoints)
	w.get(awsEndpoints).has(t, 200, "The private endpoint is being deleted.")
	w.get(awsEndpoints+"/32b6e34b3d91647abb20e799/delete").has(t, 404, "no such private endpoint")
}

func TestEndpoints_areText(t *testing.T) {
	t.Parallel()
	const hostile = `"><script>alert(1)</script>`
	w := networkWorld(t, true, hostile)
	w.api.set("GET "+endpointAPI, page(merged(endpoint(hostile, hostile, hostile, hostile), map[string]any{"id": hostile})))
	w.api.set("GET /api/atlas/v2/groups/"+groupID+"/clusters", page(placed(hostile, "AWS", "AWS", hostile)))
	for _, path := range []string{"", "/new", "/require", "/state"} {
		a := w.get(awsEndpoints + path)
		a.has(t, 200)
		a.lacks(t, "<script>alert")
		if inline.MatchString(a.body) {
			t.Errorf("%s has %q", path, inline.FindString(a.body))
		}
	}
}
