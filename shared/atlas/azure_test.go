package atlas_test

import (
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"latchkey/shared/atlas"
)

const azureVersion = "0123456789abcdef0123456789abcdef"

func TestParseAzureKeyIDReadsEveryEnvironment(t *testing.T) {
	for s, want := range map[string]atlas.AzureKeyID{
		"https://kv-kms.vault.azure.net/keys/atlas/" + azureVersion: {
			Environment: atlas.AzurePublic, Vault: "kv-kms", Name: "atlas", Version: azureVersion,
		},
		"https://EXAMPLEKeyVault.vault.azure.net/keys/EXAMPLEKey/d891821e3d364e9eb88fbd3d11807b86": {
			Environment: atlas.AzurePublic, Vault: "EXAMPLEKeyVault", Name: "EXAMPLEKey", Version: "d891821e3d364e9eb88fbd3d11807b86",
		},
		"https://abc.vault.azure.cn/keys/k": {Environment: atlas.AzureChina, Vault: "abc", Name: "k"},
		"https://a1-b2-c3.vault.usgovcloudapi.net/keys/K-9": {
			Environment: atlas.AzureUSGovernment, Vault: "a1-b2-c3", Name: "K-9",
		},
	} {
		got, err := atlas.ParseAzureKeyID(s)
		if err != nil {
			t.Errorf("%s: %v", s, err)
			continue
		}
		if d := cmp.Diff(want, got, cmpopts.IgnoreUnexported(atlas.AzureKeyID{})); d != "" {
			t.Errorf("%s (-want +got):\n%s", s, d)
		}
		if got.String() != s {
			t.Errorf("%s is printed as %s", s, got)
		}
	}
}

func TestParseAzureKeyIDRefusesEverythingElse(t *testing.T) {
	for name, s := range map[string]string{
		"nothing":                  "",
		"another scheme":           "http://kv-kms.vault.azure.net/keys/atlas",
		"an upper-case scheme":     "HTTPS://kv-kms.vault.azure.net/keys/atlas",
		"another host":             "https://kv-kms.vault.azure.net.example.com/keys/atlas",
		"a suffix without a dot":   "https://kv-kmsvault.azure.net/keys/atlas",
		"the bare suffix":          "https://vault.azure.net/keys/atlas",
		"a longer subdomain":       "https://a.kv-kms.vault.azure.net/keys/atlas",
		"an upper-case suffix":     "https://kv-kms.VAULT.azure.net/keys/atlas",
		"a managed HSM":            "https://kv-kms.managedhsm.azure.net/keys/atlas",
		"user info":                "https://kv-kms.vault.azure.net@example.com/keys/atlas",
		"user info in front":       "https://me:pw@kv-kms.vault.azure.net/keys/atlas",
		"a port":                   "https://kv-kms.vault.azure.net:443/keys/atlas",
		"a query":                  "https://kv-kms.vault.azure.net/keys/atlas?x=1",
		"a fragment":               "https://kv-kms.vault.azure.net/keys/atlas#x",
		"a dot segment":            "https://kv-kms.vault.azure.net/keys/../secrets",
		"an escaped slash":         "https://kv-kms.vault.azure.net/keys/a%2fb",
		"an escaped letter":        "https://kv-kms.vault.azure.net/keys/%61tlas",
		"a backslash":              `https://kv-kms.vault.azure.net\keys\atlas`,
		"a secret":                 "https://kv-kms.vault.azure.net/secrets/atlas",
		"no name":                  "https://kv-kms.vault.azure.net/keys/",
		"a trailing slash":         "https://kv-kms.vault.azure.net/keys/atlas/",
		"an operation":             "https://kv-kms.vault.azure.net/keys/atlas/" + azureVersion + "/decrypt",
		"a short version":          "https://kv-kms.vault.azure.net/keys/atlas/0123",
		"an upper-case version":    "https://kv-kms.vault.azure.net/keys/atlas/" + strings.ToUpper(azureVersion),
		"an internationalised one": "https://kv-kmß.vault.azure.net/keys/atlas",
		"a full-width dot":         "https://kv-kms．vault.azure.net/keys/atlas",
		"a trailing dot":           "https://kv-kms.vault.azure.net./keys/atlas",
		"a space":                  "https://kv-kms.vault.azure.net/keys/atlas ",
		"a line break":             "https://kv-kms.vault.azure.net/keys/atlas\n",
		"a short vault name":       "https://kv.vault.azure.net/keys/atlas",
		"a long vault name":        "https://" + strings.Repeat("a", 25) + ".vault.azure.net/keys/atlas",
		"a vault name of digits":   "https://1kv.vault.azure.net/keys/atlas",
		"hyphens in a row":         "https://k--v.vault.azure.net/keys/atlas",
		"a hyphen at the end":      "https://kvv-.vault.azure.net/keys/atlas",
		"an underscore":            "https://kv-kms.vault.azure.net/keys/at_las",
		"a long key name":          "https://kv-kms.vault.azure.net/keys/" + strings.Repeat("a", 128),
	} {
		if got, err := atlas.ParseAzureKeyID(s); atlas.CodeOf(err) != atlas.AzureKeyIdentifierInvalid {
			t.Errorf("%s: %q gives %+v, %v", name, s, got, err)
		}
	}
}

func TestAzureKeyIDNamesItsVaultAndVersions(t *testing.T) {
	id, err := atlas.ParseAzureKeyID("https://KV-kms.vault.azure.net/keys/atlas")
	if err != nil {
		t.Fatal(err)
	}
	if got := id.VaultURL(); got != "https://kv-kms.vault.azure.net" {
		t.Errorf("vault URL %s", got)
	}
	pinned := id.At(azureVersion)
	if got := pinned.String(); got != "https://KV-kms.vault.azure.net/keys/atlas/"+azureVersion {
		t.Errorf("pinned %s", got)
	}
	other := pinned.At(strings.Repeat("f", 32))
	if reparsed, err := atlas.ParseAzureKeyID(other.String()); err != nil || reparsed != other {
		t.Errorf("%s reparses to %+v, %v", other, reparsed, err)
	}
	if !pinned.Same(id) || !id.Same(other) {
		t.Error("versions of one key are taken for different keys")
	}
	if far, _ := atlas.ParseAzureKeyID("https://kv-kms.vault.azure.cn/keys/atlas"); far.Same(id) {
		t.Error("keys of different environments are taken for one")
	}
}

func TestAzureEnvironmentsKnowTheirHosts(t *testing.T) {
	for _, env := range atlas.AzureEnvironments() {
		got, err := atlas.ParseAzureEnvironment(string(env))
		if err != nil || got != env {
			t.Errorf("%s parses to %s, %v", env, got, err)
		}
		for _, host := range []string{env.VaultSuffix(), env.LoginHost(), env.ManagementHost(), env.GraphHost()} {
			if host == "" {
				t.Errorf("%s lacks a host", env)
			}
		}
	}
	for _, s := range []string{"", "azure", "AZURE_GERMANY"} {
		if _, err := atlas.ParseAzureEnvironment(s); atlas.CodeOf(err) != atlas.AzureEnvironmentNotSupported {
			t.Errorf("%q gives %v", s, err)
		}
	}
}

func TestValidUUIDAcceptsOnlyTheCanonicalForm(t *testing.T) {
	for s, want := range map[string]bool{
		"6f1b0000-0000-4000-8000-000000000001":   true,
		"6F1B0000-0000-4000-8000-00000000000A":   true,
		"":                                       false,
		"6f1b000000004000800000000000000a":       false,
		"{6f1b0000-0000-4000-8000-000000000001}": false,
		"6f1b0000-0000-4000-8000-00000000000g":   false,
		"6f1b0000-0000-4000-8000-000000000001\n": false,
		"common":                                 false,
	} {
		if got := atlas.ValidUUID(s); got != want {
			t.Errorf("%q is %v", s, got)
		}
	}
}

func TestAzureKeyIDParsesWhatItPrints(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		env := rapid.SampledFrom(atlas.AzureEnvironments()).Draw(t, "environment")
		vault := rapid.StringMatching(`[A-Za-z](-?[A-Za-z0-9]){2,11}`).Draw(t, "vault")
		s := "https://" + vault + "." + env.VaultSuffix() + "/keys/" + rapid.StringMatching(`[A-Za-z0-9-]{1,127}`).Draw(t, "name")
		version := rapid.StringMatching(`([0-9a-f]{32})?`).Draw(t, "version")
		if version != "" {
			s += "/" + version
		}
		id, err := atlas.ParseAzureKeyID(s)
		if err != nil {
			t.Fatalf("%s: %v", s, err)
		}
		if id.String() != s || id.Environment != env || id.Vault != vault || id.Version != version {
			t.Errorf("%s gives %+v, printed %s", s, id, id)
		}
	})
}

// What is accepted must mean the same to Go's URL parser, which the SDK uses.
func FuzzParseAzureKeyID(f *testing.F) {
	for _, s := range []string{
		"https://kv-kms.vault.azure.net/keys/atlas/" + azureVersion, "https://abc.vault.azure.cn/keys/k",
		"https://kv-kms.vault.azure.net:443/keys/../x?y#z", "https://a@b.vault.azure.net/keys/%61",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := atlas.ParseAzureKeyID(s)
		if err != nil {
			if atlas.CodeOf(err) != atlas.AzureKeyIdentifierInvalid {
				t.Errorf("%q gives %v", s, err)
			}
			return
		}
		if id.String() != s {
			t.Errorf("%q is printed as %q", s, id)
		}
		u, err := url.Parse(s)
		if err != nil || u.Scheme+"://"+strings.ToLower(u.Host) != id.VaultURL() || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
			t.Errorf("%q is %+v to the URL parser, %v", s, u, err)
		}
	})
}
