package encryption_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"latchkey/local/pocket/pockettest"
	"latchkey/shared/httpapi"
)

// The drift and crash traps of the official clients: what the Terraform provider sends, and
// what makes it panic or plan changes for ever.

// secretMembers are never answered.
var secretMembers = []string{"secretAccessKey", "secret", "serviceAccountKey"}

// everything configures all three providers, each in another way.
func (w *world) everything() answer {
	w.t.Helper()
	azure, _ := w.byAzureSecret(w.azureKey(""))
	google, _ := w.byGoogleRole(w.googleVersion())
	body, err := json.Marshal(map[string]any{
		"awsKms": w.byAWSRole(w.awsKey()), "azureKeyVault": azure, "googleCloudKms": google, "enabledForSearchNodes": true,
	})
	w.must(err)
	return w.mustSend(patch(string(body)))
}

// wantNothing demands that nothing was asked of a cloud and nothing written.
func (w *world) wantNothing(after string) {
	w.t.Helper()
	if hosts := w.wire.called(); len(hosts) > 0 {
		w.t.Errorf("%s: requests went to %v", after, hosts)
	}
	if n := w.table.written(); n > 0 {
		w.t.Errorf("%s: %d writes", after, n)
	}
}

func (w *world) forget() {
	w.wire.seeNoStranger(w.t)
	w.wire.reset()
	w.table.reset()
}

func TestNothingConfiguredShowsAllBlocks(t *testing.T) {
	const want = `{"awsKms":{"customerMasterKeyID":null,"enabled":false,"region":null,"valid":false},` +
		`"azureKeyVault":{"azureEnvironment":null,"clientID":null,"enabled":false,"keyIdentifier":null,"keyVaultName":null,` +
		`"resourceGroupName":null,"subscriptionID":null,"tenantID":null,"valid":false},` +
		`"enabledForSearchNodes":false,"googleCloudKms":{"enabled":false,"keyVersionResourceID":null,"valid":false}}`
	inWorld(t, func(w *world) {
		if a := w.get(); a.text != want {
			t.Errorf("GET answers %s", a.text)
		}
		w.everything()
		off := `{"awsKms":{"enabled":false},"azureKeyVault":{"enabled":false},"googleCloudKms":{"enabled":false},"enabledForSearchNodes":false}`
		for range 2 { // what terraform destroy sends; again is harmless
			if a := w.mustSend(patch(off)); a.text != want {
				t.Errorf("disabling answers %s", a.text)
			}
		}
	})
}

func TestEveryStringIsEchoedAsItWasSent(t *testing.T) {
	spellings := map[string]members{
		"AWS role": {"region": "us_east_1"},
		"Azure application secret": {
			"keyIdentifier": "https://KV-kms.vault.azure.net/keys/Atlas", "keyVaultName": "Kv-Kms", "resourceGroupName": "RG-kms",
			"subscriptionID": strings.ToUpper(pockettest.Subscription), "tenantID": strings.ToUpper(pockettest.TenantDirectory),
		},
	}
	for name, set := range ways {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(w *world) {
				block, m, _ := set(w)
				m = m.with(members{"requirePrivateNetworking": block != "googleCloudKms"}).with(spellings[name])
				for _, a := range []answer{w.mustSend(configure(block, m)), w.get()} {
					for member, sent := range m {
						switch got, has := a.block(block)[member]; {
						case isSecret(member) && has:
							t.Errorf("%s is answered: %v", member, got)
						case !isSecret(member) && block == "googleCloudKms" && member == "requirePrivateNetworking":
						case !isSecret(member) && got != sent:
							t.Errorf("%s was sent as %v and answered as %v", member, sent, got)
						}
					}
					if a.body["enabledForSearchNodes"] != false {
						t.Errorf("enabledForSearchNodes is %v", a.body["enabledForSearchNodes"])
					}
					for _, empty := range []string{`:""`, `"roleId":null`} {
						if strings.Contains(a.text, empty) {
							t.Errorf("%s in %s", empty, a.text)
						}
					}
				}
			})
		})
	}
}

func isSecret(member string) bool { return slices.Contains(secretMembers, member) }

func TestTheWholeAnswerSentBackChangesNothing(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everything()
		full := w.get()
		for name, edit := range map[string]func(body map[string]any){
			"as it is":             func(map[string]any) {},
			"without valid":        func(b map[string]any) { delete(b["awsKms"].(map[string]any), "valid") },
			"valid false":          func(b map[string]any) { b["azureKeyVault"].(map[string]any)["valid"] = false },
			"with null secrets":    func(b map[string]any) { b["azureKeyVault"].(map[string]any)["secret"] = nil },
			"with an empty secret": func(b map[string]any) { b["azureKeyVault"].(map[string]any)["secret"] = "" },
			"with an empty block":  func(b map[string]any) { b["googleCloudKms"] = map[string]any{} },
			"with a null block":    func(b map[string]any) { b["awsKms"] = nil },
			"with unknown members": func(b map[string]any) { b["awsKms"].(map[string]any)["colour"], b["links"] = "blue", []any{} },
			"without search nodes": func(b map[string]any) { delete(b, "enabledForSearchNodes") },
			"one block alone":      func(b map[string]any) { delete(b, "awsKms"); delete(b, "googleCloudKms") },
			"private networking left off": func(b map[string]any) {
				b["awsKms"].(map[string]any)["requirePrivateNetworking"] = false
			},
		} {
			var body map[string]any
			w.must(json.Unmarshal([]byte(full.text), &body))
			edit(body)
			text, err := json.Marshal(body)
			w.must(err)
			w.forget()
			if diff := cmp.Diff(full.body, w.mustSend(patch(string(text))).body); diff != "" {
				t.Errorf("%s (-GET +PATCH):\n%s", name, diff)
			}
			w.wantNothing(name)
		}
		if diff := cmp.Diff(full.body, w.get().body); diff != "" {
			t.Errorf("GET before (-) and after (+):\n%s", diff)
		}
	})
}

func TestDisabledBlocksSentBackStayDisabled(t *testing.T) {
	inWorld(t, func(w *world) {
		w.mustSend(configure("awsKms", w.byAWSRole(w.awsKey())))
		before := w.get()
		for _, block := range []string{
			`{}`, `null`, `{"enabled":false}`, `{"enabled":false,"requirePrivateNetworking":false}`, `{"enabled":null,"keyIdentifier":null,"secret":null}`,
			`{"azureEnvironment":null,"clientID":null,"enabled":false,"keyIdentifier":null,"keyVaultName":null,"valid":false}`,
			`{"enabled":false,"keyIdentifier":"","azureEnvironment":"AZURE"}`,
		} {
			w.forget()
			a := w.mustSend(patch(`{"awsKms":` + before.json("awsKms") + `,"azureKeyVault":` + block + `,"googleCloudKms":` + block + `}`))
			if a.text != before.text {
				t.Errorf("%s: %s", block, a.text)
			}
			w.wantNothing(block)
		}
	})
}

func TestOneChangeInTheWholeAnswerIsThatChangeAlone(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everything()
		before := w.get()
		other := w.awsKey()
		changed := strings.Replace(before.text, before.block("awsKms")["customerMasterKeyID"].(string), other, 1)
		w.forget()
		if a := w.mustSend(patch(changed)); a.text != changed {
			t.Errorf("sent %s\ngot  %s", changed, a.text)
		}
		for _, host := range w.wire.called() {
			if !strings.HasSuffix(host, ".amazonaws.com") {
				t.Errorf("a change at AWS asked %s", host)
			}
		}
		// The settings, the dates of the key, and that they are watched.
		if n := w.table.written(); n != 3 {
			t.Errorf("%d writes", n)
		}
	})
}

func TestFlagsNeedNoProof(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everything()
		for _, body := range []string{
			`{"enabledForSearchNodes":false}`, `{"awsKms":{"requirePrivateNetworking":true}}`, `{"azureKeyVault":{"requirePrivateNetworking":true}}`,
		} {
			w.forget()
			w.mustSend(patch(body))
			if hosts := w.wire.called(); len(hosts) > 0 || w.table.written() != 1 {
				t.Errorf("%s: asked %v, %d writes", body, hosts, w.table.written())
			}
		}
		a := w.get()
		if a.body["enabledForSearchNodes"] != false || a.block("awsKms")["requirePrivateNetworking"] != true || a.block("azureKeyVault")["requirePrivateNetworking"] != true {
			t.Errorf("GET answers %s", a.text)
		}
	})
}

func TestTheRoutesThatOldClientsUse(t *testing.T) {
	inWorld(t, func(w *world) {
		w.everything()
		want := w.get()
		const v1 = "/api/atlas/v1.0/groups/" + groupID + "/encryptionAtRest"
		for _, path := range []string{ear + "/", v1, v1 + "/", ear + "?pretty=true", v1 + "?pretty=true"} {
			a := w.mustSend(request{http.MethodGet, path, ""})
			if diff := cmp.Diff(want.body, a.body); diff != "" {
				t.Errorf("GET %s:\n%s", path, diff)
			}
			if isPretty := strings.Contains(a.text, "\n  "); isPretty != strings.Contains(path, "pretty") {
				t.Errorf("GET %s answers %q", path, a.text)
			}
			w.forget()
			w.mustSend(request{http.MethodPatch, path, want.text})
			w.wantNothing("PATCH " + path)
		}
		for _, path := range []string{ear, v1} {
			a := w.mustSend(request{http.MethodGet, path + "?envelope=true&pretty=true", ""})
			if diff := cmp.Diff(map[string]any{"status": 200.0, "content": want.body}, a.body); diff != "" {
				t.Errorf("GET %s in an envelope:\n%s", path, diff)
			}
			a = w.send(request{http.MethodPatch, path + "?envelope=true", `{}`})
			if inner, _ := a.body["content"].(map[string]any); a.status != 400 || inner["errorCode"] != "MISSING_ENCRYPTION_AT_REST_PROVIDER" {
				t.Errorf("PATCH %s in an envelope: %s", path, a.text)
			}
		}
	})
}

func TestOnlyTheVersionedRouteNeedsAVersion(t *testing.T) {
	inWorld(t, func(w *world) {
		for path, want := range map[string]int{ear: 406, strings.Replace(ear, "/v2/", "/v1.0/", 1): 200} {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, path, nil)
			r.Header.Set("Accept", "application/json")
			rec := httptest.NewRecorder()
			w.api.ServeHTTP(rec, r.WithContext(httpapi.WithCaller(r.Context(), owner)))
			if rec.Code != want {
				t.Errorf("GET %s answers %d", path, rec.Code)
			}
		}
	})
}

func TestMembersOfAnotherTypeAreNamed(t *testing.T) {
	texts := map[string][]string{
		"awsKms": {"accessKeyID", "customerMasterKeyID", "region", "roleId", "secretAccessKey"},
		"azureKeyVault": {
			"azureEnvironment", "clientID", "keyIdentifier", "keyVaultName", "resourceGroupName", "roleId", "secret", "subscriptionID", "tenantID",
		},
		"googleCloudKms": {"keyVersionResourceID", "roleId", "serviceAccountKey"},
	}
	inWorld(t, func(w *world) {
		w.forget()
		refuse := func(body, member string) {
			t.Helper()
			a := w.send(patch(body))
			if a.status != 400 || a.code() != "INVALID_JSON_ATTRIBUTE" || !strings.Contains(a.json("parameters"), member) {
				t.Errorf("%s answers %s", body, a.text)
			}
		}
		for block, names := range texts {
			for _, name := range names {
				for _, wrong := range []string{`7`, `true`, `[]`, `{}`, `["x"]`} {
					refuse(`{"`+block+`":{"`+name+`":`+wrong+`}}`, name)
				}
			}
			for _, wrong := range []string{`7`, `"true"`, `[]`, `{}`} {
				refuse(`{"`+block+`":{"enabled":`+wrong+`}}`, "enabled")
			}
			refuse(`{"`+block+`":[]}`, block)
			refuse(`{"`+block+`":"x"}`, block)
		}
		refuse(`{"enabledForSearchNodes":"yes"}`, "enabledForSearchNodes")
		for _, body := range []string{``, `[]`, `7`, `"x"`, `{`, `{"awsKms":{}`, "\x00", `{}{}`, `nul`} {
			if a := w.send(patch(body)); a.status != 400 {
				t.Errorf("the body %q answers %d", body, a.status)
			}
		}
		w.wantNothing("requests of the wrong type")
	})
}
