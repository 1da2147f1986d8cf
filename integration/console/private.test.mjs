// Private networking: required, endpoints set up, approved at Azure, managed, deleted, and required no more.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cluster, encrypted, fact, look, project, row, shown, signedIn, told, unfold } from "./driver.mjs";
import { principalOf, tenant, subscription, vault } from "./tenant.mjs";

test("AWS: Require Private Networking, Set up, Manage, and off again", async () => {
  const it = await encrypted("private-aws");
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  const net = page.getByRole("region", { name: "AWS KMS", exact: true });
  await net.getByRole("link", { name: /^Set up/ }).click();
  await look(page, "endpoints-off");
  await page.getByRole("link", { name: /Require Private Networking/ }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button", { name: "Require Private Networking" }).waitFor();
  await look(page, "endpoints-require");
  await dialog.getByRole("button", { name: "Require Private Networking" }).click();
  await told(page, "Private networking is required.");
  await page.getByRole("link", { name: "Back to private endpoints" }).click();
  await page.getByRole("link", { name: "Set up" }).waitFor();
  await look(page, "endpoints-required");
  await page.getByRole("link", { name: "Set up" }).click();
  await page.locator("#key-id", { hasText: it.key }).waitFor();
  const region = page.getByLabel(/us-east-1/);
  await region.uncheck();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.locator("#region-error").waitFor(); // none was chosen
  await look(page, "endpoints-new");
  await region.check();
  await page.getByRole("button", { name: "Continue" }).click();
  const line = row(page, "us-east-1");
  await line.locator("code", { hasText: /^ACTIVE$/ }).waitFor({ timeout: 90_000 }); // the page follows
  await look(page, "endpoints-active");
  await page.goto(it.page("advanced"));
  await shown(page, "Active: private endpoints are the only way to the key.");

  await cluster(it, "Shop");
  await page.goto(it.page("clusters", "Shop"));
  assert.match(await fact(page.locator("#state"), "Require Private Networking").innerText(), /^Active/);

  // Neither can it be switched off nor the provider, while there are endpoints.
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /^Manage private networking of AWS/ }).click();
  await page.getByRole("link", { name: /Require Private Networking/ }).click();
  await dialog.getByText("Private networking cannot be switched off while there are private endpoints").waitFor();
  await dialog.getByRole("link", { name: "Back to private endpoints" }).click();
  await dialog.waitFor({ state: "hidden" });
  await row(page, "us-east-1").getByRole("link", { name: /^Delete/ }).click();
  await dialog.getByText("It is the last active endpoint.").waitFor();
  await look(page, "endpoint-delete");
  await dialog.getByRole("button", { name: /Delete/ }).click();
  await told(page, "The private endpoint is being deleted.");
  await row(page, "us-east-1").waitFor({ state: "detached", timeout: 90_000 });
  await page.getByRole("link", { name: /Require Private Networking/ }).click();
  await dialog.getByRole("button", { name: "Stop requiring it" }).click();
  await told(page, "Private networking is not required any more.");
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.requirePrivateNetworking, false);
});

test("Azure: the tenant approves the connection with the line that the page shows", async () => {
  const it = await project("private azure");
  const v = await vault(`kv-private-${process.pid}`), principal = await principalOf(it);
  await v.grant(principal);
  const role = await it.api("POST", "/cloudProviderAccess", { providerName: "AZURE", servicePrincipalId: principal, tenantId: tenant });
  const roleId = role._id ?? role.roleId;
  await it.api("PATCH", `/cloudProviderAccess/${roleId}`, { providerName: "AZURE", servicePrincipalId: principal, tenantId: tenant });
  await it.api("PATCH", "/encryptionAtRest", { azureKeyVault: {
    enabled: true, azureEnvironment: "AZURE", roleId, tenantID: tenant, subscriptionID: subscription, resourceGroupName: "rg-kms", keyVaultName: v.name,
    keyIdentifier: v.kid, requirePrivateNetworking: true,
  } });
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /^Manage private networking of Azure/ }).click();
  await page.getByRole("link", { name: "Set up" }).click();
  const region = page.getByLabel(/US_EAST_2/);
  await unfold(page, "Other regions");
  await region.check();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText("PENDING_ACCEPTANCE").waitFor({ timeout: 90_000 });
  await look(page, "endpoints-azure-pending");
  const command = await page.getByRole("region", { name: "Approve at Azure" }).locator("pre").first().innerText();
  const connection = (await v.connections()).find((c) => command.includes(c));
  assert.ok(connection, `no connection is named by: ${command}`);
  await v.approve(connection);
  await page.getByText("ACTIVE", { exact: true }).waitFor({ timeout: 200_000 }); // up to three minutes, say the documents
  await look(page, "endpoints-azure");
});
