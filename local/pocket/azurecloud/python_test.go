package azurecloud_test

import (
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"latchkey/integration/clitest"
	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
)

// TestMicrosoftsClientsForPython shares no code with the SDK that the driver uses, checks tokens, challenges
// and answers in its own way, and has its cryptography from OpenSSL.
func TestMicrosoftsClientsForPython(t *testing.T) {
	t.Parallel()
	python := clitest.Program(t, "python3")
	w := &world{}
	w.open(t, azurecloud.Config{State: pocket.Memory(), Now: time.Now, AdminToken: admin, Tenant: tenantID})
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	w.policy(t, principal, "get", "list", "create", "update", "delete", "recover", "purge", "rotate", "encrypt", "decrypt")

	proxy, err := pocket.NewProxy(w.clouds, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer proxy.Close() //nolint:errcheck // nothing is kept
	server := httptest.NewServer(proxy)
	defer server.Close()
	certificate := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(certificate, proxy.Certificate(), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "testdata/keyvault.py", tenantID, appID, secret, "https://kv-kms.vault.azure.net")
	cmd.Env = append(cmd.Environ(), "HTTPS_PROXY="+server.URL, "NO_PROXY=", "REQUESTS_CA_BUNDLE="+certificate, "SSL_CERT_FILE="+certificate)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	if out, err := cmd.Output(); err != nil || string(out) != "done\n" {
		t.Errorf("%v\n%s%s", err, out, &stderr)
	}
}
