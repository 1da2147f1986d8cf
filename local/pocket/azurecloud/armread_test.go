package azurecloud_test

import (
	"net/url"
	"strings"
	"testing"

	"latchkey/local/pocket"
	"latchkey/local/pocket/azurecloud"
)

// managementToken is an application's token for Resource Manager.
func (w *world) managementToken(t testing.TB, appID, secret string) string {
	t.Helper()
	form := url.Values{
		"grant_type": {"client_credentials"}, "client_id": {appID}, "client_secret": {secret},
		"scope": {"https://management.azure.com/.default"},
	}
	return w.do(t, "", "POST", login, form.Encode()).at("access_token")
}

func TestAnApplicationReadsTheVaultsThatItsRolesReach(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	token := w.managementToken(t, appID, secret)
	elsewhere := strings.Replace(arm, subscription, "6f1b0000-0000-4000-8000-00000000dead", 1)
	expect(t, "without a role", w.do(t, token, "GET", arm+version, ""), 403, "error.code", "AuthorizationFailed")
	expect(t, "a subscription that is not there", w.do(t, token, "GET", elsewhere+version, ""), 404, "error.code", "SubscriptionNotFound")

	group, _, _ := strings.Cut(arm, "/providers/")
	subscriptionScope, _, _ := strings.Cut(arm, "/resourceGroups/")
	for _, role := range []string{
		azurecloud.RoleOwner, azurecloud.RoleContributor, azurecloud.RoleGeneralReader, azurecloud.RoleVaultContributor,
	} {
		assignment := group + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" + version
		w.must(t, "PUT", assignment, `{"properties":{"roleDefinitionId":"/x/`+role+`","principalId":"`+principal+`"}}`)
		expect(t, "with "+role, w.do(t, token, "GET", arm+version, ""), 200, "properties.vaultUri", "https://kv-kms.vault.azure.net/")
		w.must(t, "DELETE", assignment, "")
	}
	expect(t, "after the role", w.do(t, token, "GET", arm+version, ""), 403, "error.code", "AuthorizationFailed")

	assignment := subscriptionScope + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" + version
	w.must(t, "PUT", assignment, `{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleGeneralReader+`","principalId":"`+principal+`"}}`)
	expect(t, "another group", w.do(t, token, "GET", strings.Replace(arm, "rg-kms", "rg-other", 1)+version, ""), 404, "error.code", "ResourceGroupNotFound")
	expect(t, "another vault", w.do(t, token, "GET", strings.Replace(arm, "kv-kms", "kv-other", 1)+version, ""), 404, "error.code", "ResourceNotFound")
	expect(t, "changing it", w.do(t, token, "PATCH", arm+version, `{}`), 403, "error.code", "AuthorizationFailed")
	expect(t, "no version", w.do(t, token, "GET", arm, ""), 400, "error.code", "MissingApiVersionParameter")
	w.must(t, "DELETE", arm+version, "")
	expect(t, "a deleted vault", w.do(t, token, "GET", arm+version, ""), 404, "error.code", "ResourceNotFound")
}

func TestKeyRolesDoNotReadVaults(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	appID, _, secret, principal := w.app(t)
	assignment := arm + "/providers/Microsoft.Authorization/roleAssignments/11111111-2222-4333-8444-555555555555" + version
	w.must(t, "PUT", assignment, `{"properties":{"roleDefinitionId":"/x/`+azurecloud.RoleCryptoUser+`","principalId":"`+principal+`"}}`)
	expect(t, "crypto user", w.do(t, w.managementToken(t, appID, secret), "GET", arm+version, ""), 403, "error.code", "AuthorizationFailed")
}

func TestResourceManagerChecksTokens(t *testing.T) {
	w := newWorld(t, pocket.Memory(), 0)
	w.vault(t)
	appID, _, secret, _ := w.app(t)
	management := w.managementToken(t, appID, secret)
	expect(t, "a token for vaults", w.do(t, w.token(t, appID, secret).at("access_token"), "GET", arm+version, ""), 401, "error.code", "InvalidAuthenticationTokenAudience")
	expect(t, "no token", w.do(t, "", "GET", arm+version, ""), 401, "error.code", "AuthenticationFailed")
	w.must(t, "PATCH", arm+version, `{"properties":{"tenantId":"`+operator+`"}}`)
	expect(t, "a subscription of another tenant", w.do(t, management, "GET", arm+version, ""), 401, "error.code", "InvalidAuthenticationTokenTenant")
	w.now = w.now.Add(2 * 60 * 60 * 1e9)
	expect(t, "an old token", w.do(t, management, "GET", arm+version, ""), 401, "error.code", "ExpiredAuthenticationToken")
}
