package googlecloud_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// FuzzRequests sends what an administrator might mistype: no request may break the cloud.
func FuzzRequests(f *testing.F) {
	hosts := []string{
		"cloudkms.googleapis.com", "iam.googleapis.com", "iamcredentials.googleapis.com", "cloudresourcemanager.googleapis.com",
		"serviceusage.googleapis.com", "cloudbilling.googleapis.com", "oauth2.googleapis.com",
	}
	f.Add(uint8(0), "POST", "/v1/"+key+":encrypt", "", encryptHello)
	f.Add(uint8(0), "POST", "/v1/"+key+":decrypt", "", decryptHello("CgAA"))
	f.Add(uint8(0), "PATCH", "/v1/"+version, "updateMask=state", `{"state":"DISABLED"}`)
	f.Add(uint8(0), "POST", "/v1/"+ring+"/cryptoKeys", "cryptoKeyId=x", `{"purpose":"ENCRYPT_DECRYPT","rotationPeriod":"-1s"}`)
	f.Add(uint8(0), "POST", "/v1/"+key+":updatePrimaryVersion", "", `{"cryptoKeyVersionId":"-1"}`)
	f.Add(uint8(1), "POST", "/v1/projects/tenant-1/serviceAccounts", "", `{"accountId":"abcdef"}`)
	f.Add(uint8(2), "POST", "/v1/projects/-/serviceAccounts/x:generateAccessToken", "", `{}`)
	f.Add(uint8(3), "POST", "/v1/projects/tenant-1:setIamPolicy", "", `{"policy":{"bindings":[{"role":"roles/owner"}]}}`)
	f.Add(uint8(6), "POST", "/token", "", "grant_type=x&assertion=a.b.c")
	w := withKey(f, 0)
	f.Fuzz(func(t *testing.T, host uint8, method, path, query, body string) {
		u := &url.URL{Scheme: "http", Host: hosts[int(host)%len(hosts)], Path: path, RawQuery: query}
		r, err := http.NewRequestWithContext(context.WithoutCancel(t.Context()), method, u.String(), strings.NewReader(body))
		if err != nil {
			t.Skip()
		}
		r.Header.Set("Authorization", "Bearer "+adminToken)
		resp, err := w.transport.RoundTrip(r)
		if err != nil || resp.StatusCode >= 500 {
			t.Errorf("%s %s: %v, %v", method, u, resp, err)
		}
	})
}
