package sim

import (
	"bytes"
	"context"
	"crypto/rsa"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// newKey is a customer key that is not made yet. Tenants differ in their clouds, and in how they let
// Latchkey in.
func newKey(t *tenant) customerKey {
	if t.world.crowd != nil {
		return aKeyOfTheCrowd(t)
	}
	switch (uint64(t.n) + t.world.cfg.Seed) % 4 { //nolint:gosec // n is small and positive
	case 0:
		return anAzureKey(t, t.isStatic())
	case 1:
		return aGoogleKey(t)
	default:
		return anAWSKey(t)
	}
}

// isStatic draws whether Latchkey is let in by static credentials.
func (t *tenant) isStatic() bool { return t.rng.IntN(3) == 0 }

func aGoogleKey(t *tenant) customerKey {
	locations := []string{"us-east4", "europe-west3"}
	return &googleKey{tenant: t, location: locations[t.rng.IntN(len(locations))], static: t.isStatic()}
}

func anAzureKey(t *tenant, static bool) customerKey {
	return &azureKey{tenant: t, static: static, floating: t.rng.IntN(2) == 0}
}

// anAzureKeyBySecret is one for tenants in whose directory somebody else may have let Latchkey in.
func anAzureKeyBySecret(t *tenant) customerKey { return anAzureKey(t, true) }

// administer performs an administrator's request to Azure or Google.
func (t *tenant) administer(ctx context.Context, method, url, body string) (map[string]any, error) {
	req, err := http.NewRequestWithContext(ctx, method, url, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+t.world.clouds.Secrets.Admin)
	req.Header.Set("Content-Type", "application/json")
	resp, err := patient{t.world.inside, t.world}.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	answer := map[string]any{}
	if len(text) == 0 {
		text = []byte("{}")
	}
	if err := json.Unmarshal(text, &answer); err != nil || resp.StatusCode >= http.StatusBadRequest {
		return nil, fmt.Errorf("%s %s answers %d %s", method, url, resp.StatusCode, text)
	}
	return answer, nil
}

func member(m map[string]any, name string) map[string]any {
	inner, _ := m[name].(map[string]any)
	return inner
}

// pool are the RSA keys of all worlds, which are slow to make.
type pool []*rsa.PrivateKey

// generateKey takes the world's next key out of the pool.
func (w *World) generateKey(int) (*rsa.PrivateKey, error) {
	w.rsaKeys++
	return w.pool[w.rsaKeys%len(w.pool)], nil
}

// azureApp is Latchkey's own application.
func (w *World) azureApp() string { return w.clouds.Ring.Azure.ClientID }
