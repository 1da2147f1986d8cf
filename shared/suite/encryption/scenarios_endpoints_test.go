package encryption_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.mongodb.org/atlas-sdk/v20250312018/admin"

	"latchkey/shared/atlas"
	"latchkey/shared/endpoint"
	"latchkey/shared/endpoint/endpointtest"
	"latchkey/shared/httpapi"
	"latchkey/shared/kms"
	common "latchkey/shared/suite"
)

// endpointRegions are where the operator has networks.
var endpointRegions = map[atlas.Provider][]string{atlas.AWS: {"US_EAST_1", "EU_WEST_1"}, atlas.Azure: {"US_EAST_2"}}

const (
	awsEndpoints   = ear + "/AWS/privateEndpoints"
	azureEndpoints = ear + "/AZURE/privateEndpoints"
)

func createIn(path, region string) request {
	return request{http.MethodPost, path, `{"regionName":"` + region + `"}`}
}

// privateAWS enables a key at AWS over private networks.
func (w *world) privateAWS() {
	w.t.Helper()
	w.mustSend(configure("awsKms", w.byAWSRole(w.awsKey()).with(members{"requirePrivateNetworking": true})))
}

func (w *world) privateAzure() members {
	w.t.Helper()
	m, _ := w.byAzureRole(w.azureKey(""))
	m = m.with(members{"requirePrivateNetworking": true})
	w.mustSend(configure("azureKeyVault", m))
	return m
}

// endpointIn creates an endpoint and returns its id.
func (w *world) endpointIn(path, region string) string {
	w.t.Helper()
	a := w.send(createIn(path, region))
	if a.status != http.StatusAccepted {
		w.t.Fatalf("answers %d %s", a.status, a.text)
	}
	return a.body["id"].(string)
}

func endpointScenarios() []scenario {
	withAWS := func(then func(w *world) request) func(*world) request {
		return func(w *world) request { w.privateAWS(); return then(w) }
	}
	withEndpoint := func(body string) func(*world) request {
		return withAWS(func(w *world) request { w.endpointIn(awsEndpoints, "US_EAST_1"); return patch(body) })
	}
	azure := func(changes members) func(*world) request {
		return func(w *world) request {
			w.privateAzure()
			w.endpointIn(azureEndpoints, "US_EAST_2")
			return configure("azureKeyVault", changes)
		}
	}
	create := func(path, region string) func(*world) request {
		return withAWS(func(*world) request { return createIn(path, region) })
	}
	return []scenario{
		{
			code: atlas.CannotDisableEAREndpoints, when: "a private endpoint is there", prepare: withEndpoint(`{"awsKms":{"enabled":false,"requirePrivateNetworking":false}}`),
			detail: "Encryption at Rest cannot be disabled when private endpoints are present.", params: `[]`,
		},
		{
			code: atlas.CannotDisablePrivateNetworking, when: "a private endpoint is there", prepare: withEndpoint(`{"awsKms":{"requirePrivateNetworking":false}}`),
			detail: "Cannot disable requirePrivateNetworking field when there are private endpoints. Remove private endpoints in region(s) US_EAST_1 to disable requirePrivateNetworking.",
			params: `["US_EAST_1"]`,
		},
		{
			code: atlas.EndpointDeleteBlocked, when: "the endpoint is being made", params: `[["%s"]]`,
			detail: "Failed to delete Encryption at Rest Private endpoint with id [%s] during IN_PROGRESS state. Please try again later.",
			prepare: withAWS(func(w *world) request {
				w.named = w.endpointIn(awsEndpoints, "US_EAST_1")
				return request{http.MethodDelete, awsEndpoints + "/" + w.named, `{"cloudProvider":"AWS","regions":["string"]}`}
			}),
		},
		{code: atlas.EndpointExists, when: "another private endpoint in the region", params: `["us_east_1"]`, prepare: withAWS(func(w *world) request {
			w.endpointIn(awsEndpoints, "US_EAST_1")
			return createIn(awsEndpoints, "us_east_1")
		})},
		{code: atlas.PrivateNetworkingNotRequired, when: "a private endpoint without requirePrivateNetworking", params: `["AWS"]`, prepare: func(w *world) request {
			w.mustSend(configure("awsKms", w.byAWSRole(w.awsKey())))
			return createIn(awsEndpoints, "US_EAST_1")
		}},
		{code: atlas.PrivateNetworkingNotSupported, when: "a private endpoint in another region than a single-Region key", params: `[]`, prepare: create(awsEndpoints, "EU_WEST_1")},
		{code: atlas.AttributeReadOnly, when: "another vault while private endpoints lead to it", params: `["subscriptionID"]`, prepare: azure(members{"subscriptionID": "6f1b0000-0000-4000-8000-000000000009"})},
		{code: atlas.AttributeReadOnly, when: "another resource group while private endpoints lead to the vault", params: `["resourceGroupName"]`, prepare: azure(members{"resourceGroupName": "rg-other"})},
		{code: atlas.EARNotEnabled, when: "a private endpoint at a provider that is off", params: `["` + groupID + `"]`, prepare: create(azureEndpoints, "US_EAST_2")},
		{code: atlas.InvalidRegion, when: "a private endpoint in no region", prepare: create(awsEndpoints, "US_EAST_9")},
		{code: atlas.InvalidRegion, when: "a private endpoint where the operator has no network", prepare: create(awsEndpoints, "SA_EAST_1")},
		{code: atlas.MissingAttribute, when: "a private endpoint without a region", params: `["regionName"]`, prepare: withAWS(func(*world) request {
			return request{http.MethodPost, awsEndpoints, `{"cloudProvider":"AWS"}`}
		})},
		{code: atlas.InvalidEnumValue, when: "a private endpoint at Google", params: `["GCP"]`, prepare: create(ear+"/GCP/privateEndpoints", "CENTRAL_US")},
		{code: atlas.InvalidPathParameter, when: "a private endpoint's id that is none", params: `["endpointId"]`, prepare: withAWS(func(*world) request {
			return request{http.MethodGet, awsEndpoints + "/x", ""}
		})},
		{code: atlas.ResourceNotFound, when: "an unknown private endpoint", params: `["650000000000000000000099"]`, prepare: withAWS(func(*world) request {
			return request{http.MethodDelete, awsEndpoints + "/650000000000000000000099", ""}
		})},
	}
}

// carrier carries endpoints on as the state machine does, in a cloud in memory.
type carrier struct {
	*endpoint.Service

	cloud *endpointtest.Memory
}

func (c carrier) ProveWay(context.Context, string, atlas.Provider, kms.PrivateEndpoint) error {
	return nil
}

func (w *world) carrier() carrier {
	c := carrier{cloud: endpointtest.NewMemory(false)}
	c.Service = common.Endpoints(common.EndpointDeps{
		Table: w.table.Table, Now: w.deps.Now, Log: w.deps.Log, Prover: c,
		Clouds: map[atlas.Provider]endpoint.Cloud{atlas.AWS: c.cloud, atlas.Azure: c.cloud},
	})
	c.Journal.Table, c.Journal.Now = w.table.Table, w.deps.Now
	return c
}

// carry takes an endpoint as far as it goes.
func (c carrier) carry(t *testing.T, p atlas.Provider, id string) {
	t.Helper()
	ref := endpoint.Ref{GroupID: groupID, Provider: p, EndpointID: id}
	for range 20 {
		step, err := c.Advance(t.Context(), ref, c.Now())
		if err == nil && step.Outcome == endpoint.Prove {
			var proof endpoint.Proof
			if proof, err = c.Try(t.Context(), ref); err == nil {
				step, err = c.Conclude(t.Context(), ref, proof, c.Now())
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		if step.Outcome != endpoint.Wait {
			return
		}
		c.cloud.Settle()
	}
	t.Fatal("it does not come to rest")
}

func TestPrivateEndpoints_throughTheOfficialClient(t *testing.T) {
	inWorld(t, func(w *world) {
		ctx := w.t.Context()
		w.privateAWS()
		client, err := admin.NewClient(admin.UseBaseURL("http://api.example"), admin.UseHTTPClient(&http.Client{Transport: served{w}}))
		w.must(err)
		api := client.EncryptionAtRestUsingCustomerKeyManagementApi
		made, resp, err := api.CreateRestPrivateEndpoint(ctx, groupID, "AWS", &admin.EARPrivateEndpoint{
			CloudProvider: new("AWS"), RegionName: new("US_EAST_1"),
		}).Execute()
		w.must(err)
		if resp.StatusCode != http.StatusAccepted || made.GetStatus() != "INITIATING" || made.GetRegionName() != "US_EAST_1" || made.GetCloudProvider() != "AWS" {
			t.Errorf("%d %+v", resp.StatusCode, made)
		}
		name := fmt.Sprintf("private-endpoint-%s-%s-1", groupID, made.GetId())
		if diff := cmp.Diff([]string{name}, w.started.all()); diff != "" {
			t.Error(diff)
		}
		c := w.carrier()
		c.carry(w.t, atlas.AWS, made.GetId())
		got, _, err := api.GetRestPrivateEndpoint(ctx, groupID, "AWS", made.GetId()).Execute()
		w.must(err)
		if got.GetStatus() != "ACTIVE" || got.GetPrivateEndpointConnectionName() == "" || got.GetErrorMessage() != "" {
			t.Errorf("%+v", got)
		}
		page, _, err := api.ListRestPrivateEndpoints(ctx, groupID, "AWS").Execute()
		w.must(err)
		if page.GetTotalCount() != 1 || len(page.GetResults()) != 1 || page.GetResults()[0].GetId() != made.GetId() {
			t.Errorf("%+v", page)
		}
		resp, err = api.RequestPrivateEndpointDeletion(ctx, groupID, "AWS", made.GetId()).Execute()
		w.must(err)
		if resp.StatusCode != http.StatusNoContent {
			t.Error(resp.StatusCode)
		}
		got, _, err = api.GetRestPrivateEndpoint(ctx, groupID, "AWS", made.GetId()).Execute()
		w.must(err)
		if got.GetStatus() != "DELETING" {
			t.Errorf("%+v", got)
		}
		c.carry(w.t, atlas.AWS, made.GetId())
		_, resp, err = api.GetRestPrivateEndpoint(ctx, groupID, "AWS", made.GetId()).Execute()
		if err == nil || resp.StatusCode != http.StatusNotFound || !admin.IsErrorCode(err, "RESOURCE_NOT_FOUND") {
			t.Errorf("%v", err)
		}
	})
}

// served hands requests to the function.
type served struct{ w *world }

func (s served) RoundTrip(r *http.Request) (*http.Response, error) {
	rec := httptest.NewRecorder()
	r.RequestURI = r.URL.RequestURI()
	s.w.serves(r.URL.Path).ServeHTTP(rec, r.WithContext(httpapi.WithCaller(r.Context(), owner)))
	return rec.Result(), nil
}

func TestPrivateEndpoints_inTheDocumentsOrder(t *testing.T) {
	inWorld(t, func(w *world) {
		w.privateAWS()
		id := w.endpointIn(awsEndpoints+"/", "US_EAST_1") // the documents' curl lines end in a slash
		c := w.carrier()
		c.carry(w.t, atlas.AWS, id)
		w.mustSend(request{http.MethodGet, awsEndpoints + "/", ""})
		off := patch(`{"awsKms":{"requirePrivateNetworking":false}}`)
		for _, r := range []request{off, patch(`{"awsKms":{"enabled":false}}`)} {
			if a := w.send(r); a.status != http.StatusBadRequest {
				t.Fatalf("%s answers %d %s", r.body, a.status, a.text)
			}
		}
		if a := w.send(request{http.MethodDelete, awsEndpoints + "/" + id, `{"cloudProvider":"AWS"}`}); a.status != http.StatusNoContent || a.text != "" {
			t.Fatalf("answers %d %s", a.status, a.text)
		}
		if a := w.send(off); a.code() != string(atlas.CannotDisablePrivateNetworking) {
			t.Fatalf("while it is being removed: %d %s", a.status, a.text)
		}
		c.carry(w.t, atlas.AWS, id)
		w.mustSend(off)
		w.mustSend(patch(`{"awsKms":{"requirePrivateNetworking":true}}`))
		w.mustSend(patch(`{"awsKms":{"enabled":false}}`))
	})
}

func TestPrivateEndpoints_leaveTheRestOfTheConfigurationAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		m := w.privateAzure()
		w.endpointIn(azureEndpoints, "US_EAST_2")
		w.mustSend(configure("azureKeyVault", m)) // as Terraform sends it again
		m["keyIdentifier"] = w.moreAzureKey("next", "")
		w.mustSend(configure("azureKeyVault", m))
		whole := w.mustSend(request{http.MethodGet, ear, ""})
		w.mustSend(patch(whole.text))
	})
}

func TestPrivateEndpoints_areForProjectOwners(t *testing.T) {
	inWorld(t, func(w *world) {
		w.privateAWS()
		reader := owner
		reader.GroupRoles = nil
		for _, r := range []request{{http.MethodGet, awsEndpoints, ""}, createIn(awsEndpoints, "US_EAST_1"), {http.MethodDelete, awsEndpoints + "/650000000000000000000099", ""}} {
			if a := w.sendAs(reader, r); a.status != http.StatusUnauthorized {
				t.Errorf("%s answers %d %s", r.method, a.status, a.text)
			}
		}
		if a := w.mustSend(request{http.MethodGet, awsEndpoints + "?includeCount=true&itemsPerPage=100&pageNum=1", ""}); !strings.Contains(a.text, `"totalCount":0`) || !strings.Contains(a.text, `"results":[]`) {
			t.Error(a.text)
		}
	})
}

func TestClosing_waitsForPrivateEndpoints(t *testing.T) {
	inWorld(t, func(w *world) {
		w.privateAWS()
		w.endpointIn(awsEndpoints, "US_EAST_1")
		if a := w.send(request{http.MethodDelete, v2, ""}); a.code() != string(atlas.CannotCloseGroupEndpoints) {
			t.Errorf("answers %d %s", a.status, a.text)
		}
	})
}
