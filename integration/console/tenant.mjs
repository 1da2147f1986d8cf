// The tenant's Azure: a vault with a key, and Latchkey's application in the directory.
import { cloud } from "./driver.mjs";

export const tenant = "6f1b0000-0000-4000-8000-000000000002", subscription = "6f1b0000-0000-4000-8000-000000000003";
const version = "?api-version=2025-07-01";

// vault makes a key vault with a key, and returns what is asked of its owner.
export async function vault(name) {
  const at = `http://management.azure.com/subscriptions/${subscription}/resourceGroups/rg-kms/providers/Microsoft.KeyVault/vaults/${name}`;
  await cloud("PUT", at + version, { location: "eastus2", properties: { tenantId: tenant, sku: { family: "A", name: "standard" }, accessPolicies: [] } });
  const newVersion = async () => (await cloud("POST", `http://${name}.vault.azure.net/keys/atlas/create${version}`, { kty: "RSA", key_size: 2048 })).key.kid;
  return {
    name, newVersion, kid: await newVersion(),
    grant: (objectId) => cloud("PUT", `${at}/accessPolicies/add${version}`, {
      properties: { accessPolicies: [{ tenantId: tenant, objectId, permissions: { keys: ["get", "encrypt", "decrypt"] } }] },
    }),
    connections: async () => (await cloud("GET", `${at}/privateEndpointConnections${version}`)).value.map((c) => c.name),
    approve: (connection) => cloud("PUT", `${at}/privateEndpointConnections/${connection}${version}`, {
      properties: { privateLinkServiceConnectionState: { status: "Approved", description: "by the owner" } },
    }),
  };
}

// admit makes a service principal of an application, or finds the one that there is.
export async function admit(appId) {
  const at = "http://graph.microsoft.com/v1.0/servicePrincipals";
  try {
    return (await cloud("POST", at, { appId })).id;
  } catch {
    return (await cloud("GET", `${at}(appId='${appId}')`)).id;
  }
}

// principalOf admits the application that the project names.
export async function principalOf(it) {
  const { identities } = await it.own("GET", "/cloudProviderAccess/identities");
  return admit(identities.find((i) => i.cloudProvider === "AZURE").identity);
}
