package encryption_test

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"latchkey/local/pocket"
	"latchkey/local/pocket/pockettest"
	"latchkey/shared/atlas"
)

// azureBroken does something to the key and returns the request to use it with a secret.
func azureBroken(attributes func() string, harm ...func(w *world)) func(*world) request {
	return func(w *world) request {
		text := ""
		if attributes != nil {
			text = attributes()
		}
		w.named = w.azureKey(text)
		m, _ := w.byAzureSecret(w.named)
		for _, do := range harm {
			do(w)
		}
		return configure("azureKeyVault", m)
	}
}

// azureWith sets members of a good request to enable a key with a secret.
func azureWith(changes members) func(*world) request {
	return func(w *world) request {
		m, app := w.byAzureSecret(w.azureKey(""))
		w.azureReader(app.principal)
		return configure("azureKeyVault", m.with(changes))
	}
}

// at is an attribute of a key: some time from now.
func at(name string, d time.Duration) func() string {
	return func() string { return fmt.Sprintf("%q:%d", name, time.Now().Add(d).Unix()) }
}

func azureScenarios() []scenario {
	const block = "azureKeyVault"
	const otherID = "6f1b0000-0000-4000-8000-00000000dead"
	return []scenario{
		{code: atlas.AzureEnvironmentNotSupported, when: "AZURE_GERMANY", prepare: azureWith(members{"azureEnvironment": "AZURE_GERMANY"}), params: `["AZURE_GERMANY"]`},
		{code: atlas.AzureKeyExpired, when: "exp has passed", prepare: azureBroken(at("exp", -time.Minute)), params: `["%s"]`},
		{code: atlas.AzureKeyExpiring, when: "exp in 47 hours", prepare: azureBroken(at("exp", 47*time.Hour)), params: `["%s"]`},
		{code: atlas.AzureKeyNotActive, when: "nbf in an hour", prepare: azureBroken(at("nbf", time.Hour)), params: `["%s"]`},
		{code: atlas.AzureKeyNotEnabled, when: "key disabled", prepare: azureBroken(func() string { return `"enabled":false` }), params: `["%s"]`},
		{code: atlas.AzureKeyNotFound, when: "key deleted", params: `["%s"]`, prepare: azureBroken(nil, func(w *world) {
			w.Admin(http.MethodDelete, vaultURL+"/keys/atlas", "")
		})},
		{
			code: atlas.AzureKeyNotFound, when: "no such version", params: `["` + vaultURL + `/keys/atlas/00000000000000000000000000000000"]`,
			prepare: azureWith(members{"keyIdentifier": vaultURL + "/keys/atlas/00000000000000000000000000000000"}),
		},
		{code: atlas.AzureKeyUnsuitable, when: "key that may only sign", params: `["%s"]`, prepare: azureBroken(nil, func(w *world) {
			w.Admin(http.MethodPatch, vaultURL+"/keys/atlas", `{"key_ops":["sign","verify"]}`)
		})},
		{code: atlas.AzureKeyIdentifierInvalid, when: "no URL", prepare: azureWith(members{"keyIdentifier": "atlas"}), params: `["atlas"]`},
		{code: atlas.AzureKeyIdentifierInvalid, when: "another host", prepare: azureWith(members{"keyIdentifier": "https://kv-kms.vault.azure.net.evil.example/keys/atlas"})},
		{code: atlas.AzureKeyIdentifierInvalid, when: "another vault than keyVaultName", prepare: azureWith(members{"keyVaultName": "kv-other"})},
		{code: atlas.NoPermission, when: "Azure: no access policy", params: `["%s"]`, prepare: func(w *world) request {
			w.named = w.azureKey("")
			m, app := w.byAzureSecret(w.named)
			w.azurePolicy("remove", app.principal)
			return configure(block, m)
		}},
		{code: atlas.InvalidAzureAPIRequest, when: "another subscription", prepare: azureWith(members{"subscriptionID": otherID}), params: `[]`},
		{code: atlas.InvalidAzureAPIRequest, when: "another resource group", prepare: azureWith(members{"resourceGroupName": "rg-other"}), params: `[]`},
		{code: atlas.InvalidAzureAPIRequest, when: "a vault that does not exist", params: `[]`, prepare: azureWith(members{
			"keyVaultName": "kv-none", "keyIdentifier": strings.Replace(vaultURL, "kv-kms", "kv-none", 1) + "/keys/atlas",
		})},
		{code: atlas.InvalidAzureCredentials, when: "wrong secret", detail: "Invalid Azure credentials.", params: `[]`, prepare: azureWith(members{"secret": "wrong-azure-secret"})},
		{code: atlas.InvalidAzureCredentials, when: "secret expired", detail: "Invalid Azure credentials.", params: `[]`, prepare: func(w *world) request {
			m, app := w.byAzureSecret(w.azureKey(""))
			old, _ := w.newAzureSecret(app, `,"startDateTime":"1999-01-01T00:00:00Z","endDateTime":"1999-06-01T00:00:00Z"`)
			return configure(block, m.with(members{"secret": old}))
		}},
		{code: atlas.InvalidAzureCredentials, when: "unknown application", params: `[]`, prepare: azureWith(members{"clientID": otherID})},
		{code: atlas.InvalidAzureCredentials, when: "unknown tenant", params: `[]`, prepare: azureWith(members{"tenantID": otherID})},
		{code: atlas.AzureCredentialsDeprecated, when: "application secret after a service principal was used", prepare: func(w *world) request {
			m, _ := w.byAzureRole(w.azureKey(""))
			w.mustSend(configure(block, m))
			app := w.newAzureApp()
			return configure(block, members{"clientID": app.id, "secret": app.secret})
		}},
		{code: atlas.CannotAuthenticateSP, when: "service principal disabled before the configuration", params: `["%s"]`, prepare: func(w *world) request {
			m, principal := w.byAzureRole(w.azureKey(""))
			w.named = m["roleId"].(string)
			w.azureAccount(principal, false)()
			return configure(block, m)
		}},
		{code: atlas.KMSUnreachable, when: "the vault's firewall", params: `[]`, prepare: azureBroken(nil, func(w *world) {
			w.Admin(http.MethodPatch, vaultARM, `{"properties":{"networkAcls":{"defaultAction":"Deny","ipRules":[]}}}`)
		})},
		{code: atlas.KMSUnreachable, when: "Azure Resource Manager down", params: `[]`, prepare: azureBroken(nil, func(w *world) {
			w.Faults.Set(pocket.Fault{Host: "management.azure.com", Kind: pocket.Down})
		})},
		{code: atlas.KMSUnreachable, when: "Azure's sign-in down", params: `[]`, prepare: azureBroken(nil, func(w *world) {
			w.Faults.Set(pocket.Fault{Host: "login.microsoftonline.com", Kind: pocket.ServerError})
		})},
		{code: atlas.InvalidAttribute, when: "a resource group that is a path", params: `["resourceGroupName"]`, prepare: azureWith(members{"resourceGroupName": "../x"})},
		{code: atlas.InvalidAttribute, when: "a tenantID that is not the service principal's", params: `["tenantID"]`, prepare: func(w *world) request {
			m, _ := w.byAzureRole(w.azureKey(""))
			return configure(block, m.with(members{"tenantID": pockettest.OperatorDirectory}))
		}},
	}
}
