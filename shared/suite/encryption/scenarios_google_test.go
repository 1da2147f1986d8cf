package encryption_test

import (
	"net/http"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/shared/atlas"
)

// googleBroken does something to the key version and returns the request to use it.
func googleBroken(harm func(w *world)) func(*world) request {
	return func(w *world) request {
		m, _ := w.byGoogleKey(w.googleVersion())
		harm(w)
		return configure("googleCloudKms", m)
	}
}

func googleState(s string) func(*world) request {
	return googleBroken(func(w *world) { w.googleState(s) })
}

// googleKeyFile sets the key file of a good request, or changes the good one.
func googleKeyFile(change func(string) string) func(*world) request {
	return func(w *world) request {
		m, _ := w.byGoogleKey(w.googleVersion())
		return configure("googleCloudKms", m.with(members{"serviceAccountKey": change(m["serviceAccountKey"].(string))}))
	}
}

func googleScenarios() []scenario {
	const block, version = "googleCloudKms", `["` + googleOne + `"]`
	destroy := func(w *world) { w.Admin(http.MethodPost, googleKMS+googleOne+":destroy", "") }
	return []scenario{
		{code: atlas.GoogleKeyDestroyScheduled, when: "destruction scheduled", prepare: googleBroken(destroy), params: version},
		{code: atlas.GoogleKeyDestroyed, when: "destroyed", params: version, prepare: googleBroken(func(w *world) {
			destroy(w)
			time.Sleep(31 * 24 * time.Hour)
		})},
		{code: atlas.GoogleKeyDisabled, when: "version disabled", prepare: googleState("DISABLED"), params: version},
		{code: atlas.GoogleKeyNotFound, when: "no such version", params: `["` + googleKey + `/cryptoKeyVersions/7"]`, prepare: func(w *world) request {
			m, _ := w.byGoogleKey(w.googleVersion())
			return configure(block, m.with(members{"keyVersionResourceID": googleKey + "/cryptoKeyVersions/7"}))
		}},
		{code: atlas.GoogleKeyPending, when: "material being generated", prepare: googleState("PENDING_GENERATION"), params: version},
		{code: atlas.GoogleKeyPending, when: "material being imported", prepare: googleState("PENDING_IMPORT"), params: version},
		{code: atlas.GoogleKeyUnsuitable, when: "key for MACs", params: `["` + googleRing + `/cryptoKeys/sign/cryptoKeyVersions/1"]`, prepare: func(w *world) request {
			m, _ := w.byGoogleKey(w.googleVersion())
			w.Admin(http.MethodPost, googleKMS+googleRing+"/cryptoKeys?cryptoKeyId=sign", `{"purpose":"MAC","versionTemplate":{"algorithm":"HMAC_SHA256"}}`)
			return configure(block, m.with(members{"keyVersionResourceID": googleRing + "/cryptoKeys/sign/cryptoKeyVersions/1"}))
		}},
		{code: atlas.NoPermission, when: "Google: no role on the key", params: version, prepare: func(w *world) request {
			m, email := w.byGoogleKey(w.googleVersion())
			w.googleGrant(email, googleViews)
			return configure(block, m)
		}},
		{code: atlas.InvalidGoogleCredentials, when: "service account disabled", params: `[]`, prepare: func(w *world) request {
			m, email := w.byGoogleKey(w.googleVersion())
			w.Admin(http.MethodPost, googleIAM+email+":disable", "")
			return configure(block, m)
		}},
		{code: atlas.InvalidGoogleCredentials, when: "no key file", prepare: googleKeyFile(func(string) string { return "not a key file" }), params: `[]`},
		{code: atlas.InvalidGoogleCredentials, when: "key file of type external_account", params: `[]`, prepare: googleKeyFile(func(file string) string {
			return strings.Replace(file, `"service_account"`, `"external_account"`, 1)
		})},
		{code: atlas.GoogleCredentialsRefused, when: "service account key after a service account of ours was used", params: `[]`, prepare: func(w *world) request {
			m, _ := w.byGoogleRole(w.googleVersion())
			w.mustSend(configure(block, m))
			byKey, _ := w.byGoogleKey(googleOne)
			return configure(block, members{"serviceAccountKey": byKey["serviceAccountKey"]})
		}},
		{code: atlas.InvalidAttribute, when: "no name of a key version", params: `["keyVersionResourceID"]`, prepare: func(w *world) request {
			m, _ := w.byGoogleKey(w.googleVersion())
			return configure(block, m.with(members{"keyVersionResourceID": googleKey}))
		}},
		{code: atlas.KMSUnreachable, when: "a perimeter around the project", params: `[]`, prepare: googleBroken(func(w *world) {
			w.Faults.Set(pocket.Fault{Host: "cloudkms.googleapis.com", Kind: pocket.Firewall})
		})},
		{code: atlas.KMSUnreachable, when: "Google Cloud KMS down", params: `[]`, prepare: googleBroken(func(w *world) {
			w.Faults.Set(pocket.Fault{Host: "cloudkms.googleapis.com", Kind: pocket.Down})
		})},
	}
}
