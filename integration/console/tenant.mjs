// The tenant's Azure and Google: keys, who may use them, and how those prove who they are.
import { cloud, secret } from "./driver.mjs";

// --- Azure ---------------------------------------------------------------------------------------------------------------

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

// application registers one of the tenant's own, which proves itself with client secrets.
export async function application(displayName) {
  const at = "http://graph.microsoft.com/v1.0/applications", { id, appId } = await cloud("POST", at, { displayName });
  const passwords = [];
  return {
    appId, principal: await admit(appId),
    newSecret: async () => {
      const { keyId, secretText } = await cloud("POST", `${at}/${id}/addPassword`, { passwordCredential: {} });
      passwords.push(keyId);
      return secret(secretText);
    },
    removeFirstSecret: () => cloud("POST", `${at}/${id}/removePassword`, { keyId: passwords.shift() }),
  };
}

// --- Google --------------------------------------------------------------------------------------------------------------

export const kms = "http://cloudkms.googleapis.com/v1/";

// googleKey makes a key in a ring of its own, and returns what is asked of its owner.
export async function googleKey(name) {
  const rings = "projects/tenant-project/locations/us-east4/keyRings", crypto = `${rings}/${name}/cryptoKeys/k`;
  await cloud("POST", `${kms}${rings}?keyRingId=${name}`, {});
  await cloud("POST", `${kms}${rings}/${name}/cryptoKeys?cryptoKeyId=k`, { purpose: "ENCRYPT_DECRYPT" });
  return {
    crypto, version: `${crypto}/cryptoKeyVersions/1`,
    grant: (...emails) => cloud("POST", `${kms}${crypto}:setIamPolicy`, {
      policy: { bindings: [{ role: "roles/cloudkms.cryptoKeyEncrypterDecrypter", members: emails.map((e) => `serviceAccount:${e}`) }] },
    }),
  };
}

// serviceAccount makes one of the tenant's own, which proves itself with key files.
export async function serviceAccount(accountId) {
  const at = "http://iam.googleapis.com/v1/projects/tenant-project/serviceAccounts", email = `${accountId}@tenant-project.iam.gserviceaccount.com`;
  await cloud("POST", at, { accountId });
  return {
    email,
    newKeyFile: async () => {
      const file = Buffer.from((await cloud("POST", `${at}/${email}/keys`, {})).privateKeyData, "base64").toString();
      for (const part of JSON.parse(file).private_key.match(/[A-Za-z0-9]{24,}/g)) secret(part); // however it is escaped
      return file;
    },
    disable: () => cloud("POST", `${at}/${email}:disable`, {}),
  };
}
