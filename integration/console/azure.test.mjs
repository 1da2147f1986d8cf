// A key in Azure Key Vault: a service principal, the key, another version of it, off again.
import { test } from "node:test";
import assert from "node:assert/strict";
import { look, project, secret, shown, signedIn, switchToRole, told } from "./driver.mjs";
import { admit, application, principalOf, subscription, tenant, vault } from "./tenant.mjs";

test("encryption is enabled with a service principal, and another version of the key is used", async () => {
  const it = await project("azure");
  const v = await vault(`kv-console-${process.pid}`);
  const page = await signedIn();
  const azure = page.getByRole("region", { name: "Azure Key Vault", exact: true });
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /Azure Key Vault: Off ?. Turn it on/ }).click();
  await page.getByRole("link", { name: "Create one" }).click();

  // The page has the line that admits the application; it names the application.
  const line = await page.locator("#create-principal").innerText();
  const appId = /--id ([0-9a-f-]{36})/.exec(line)[1];
  const principal = await admit(appId);
  await page.getByLabel("Service principal ID").fill("nonsense");
  await shown(page, "It must be a UUID");
  await page.getByLabel("Service principal ID").fill(principal);
  await page.getByLabel("Tenant ID").fill(tenant);
  await look(page, "role-new-azure");
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("button", { name: "Validate and finish" }).waitFor();
  await look(page, "role-azure");
  await page.getByRole("button", { name: "Validate and finish" }).click();
  await told(page, "The access role works, and is authorised.");

  await page.getByLabel("Subscription ID").fill(subscription);
  await page.getByLabel("Resource group name").fill("rg-kms");
  await page.getByLabel("Key vault name").fill("kv-another");
  await page.getByLabel("Key identifier").fill(v.kid);
  await shown(page, `Its host belongs to the key vault ${v.name}.`);
  await page.getByLabel("Key vault name").fill(v.name);
  await page.locator("#access-policy", { hasText: v.name }).waitFor();
  await look(page, "azure-form");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor(); // it may not use the key yet
  await v.grant(principal);
  await page.getByRole("button", { name: "Save" }).click();
  await azure.getByText("Valid", { exact: true }).waitFor();

  const next = await v.newVersion();
  await page.getByRole("link", { name: "Use another key of Azure Key Vault" }).click();
  await page.getByLabel("Key identifier").fill(next);
  await page.getByRole("button", { name: "Use this key" }).click();
  await azure.getByText(next).first().waitFor();
  await look(page, "advanced-azure");
  await page.getByRole("link", { name: /Azure Key Vault: On ?. Turn it off/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Turn off Azure Key Vault" }).click();
  await told(page, "Azure Key Vault is off.");
});

test("an application's client secret: refused, entered, kept, replaced, and given up for a service principal for good", async () => {
  const it = await project("azure secret");
  const v = await vault(`kv-secret-${process.pid}`), app = await application(`console ${process.pid}`);
  await v.grant(app.principal);
  const page = await signedIn();
  const azure = page.getByRole("region", { name: "Azure Key Vault", exact: true });
  const field = page.getByLabel(/^Secret( optional)?$/), ends = page.getByLabel("The secret ends on");
  const save = page.getByRole("button", { name: "Save" });
  const stored = async () => (await it.api("GET", "/encryptionAtRest")).azureKeyVault;
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /Azure Key Vault: Off ?. Turn it on/ }).click();
  await page.getByRole("link", { name: "Client ID and secret" }).click();
  await page.getByLabel("Client ID").fill(app.appId);
  await page.getByLabel("Tenant ID").fill(tenant);
  await field.fill(secret("Xq8~not-a-client-secret-of-azure-zz1"));
  await page.getByLabel("Subscription ID").fill(subscription);
  await page.getByLabel("Resource group name").fill("rg-kms");
  await page.getByLabel("Key vault name").fill(v.name);
  await page.getByLabel("Key identifier").fill(v.kid);
  await save.click();
  await page.getByRole("alert").waitFor();
  assert.equal(await field.inputValue(), "");
  assert.equal((await stored()).enabled, false);
  await look(page, "azure-secret-refused");
  await field.fill(await app.newSecret());
  await ends.fill("2031-01-02");
  await save.click();
  await azure.getByText("Valid", { exact: true }).waitFor();
  assert.deepEqual([(await stored()).clientID, (await stored()).secret], [app.appId, undefined]);

  // Empty, it stays the one that is stored.
  await page.getByRole("link", { name: "Edit Azure Key Vault" }).click();
  await shown(page, "Leave it empty to keep the one that is stored.");
  assert.equal(await field.inputValue(), "");
  await look(page, "azure-secret-edit");
  await save.click();
  await shown(page, "Nothing was changed");
  await ends.fill("2032-02-03");
  await save.click();
  await told(page, "Saved.");
  assert.match((await stored()).secretExpiresAt, /^2032-02-03/);
  await page.getByRole("button", { name: "Try again to use the key of Azure Key Vault" }).click();
  await told(page, "Azure Key Vault: valid.");

  // Another one takes its place: the first is not needed any more.
  await page.getByRole("link", { name: "Edit Azure Key Vault" }).click();
  await field.fill(await app.newSecret());
  await save.click();
  await told(page, "Saved.");
  await app.removeFirstSecret();
  await page.getByRole("button", { name: "Try again to use the key of Azure Key Vault" }).click();
  await told(page, "Azure Key Vault: valid.");

  const principal = await principalOf(it);
  await v.grant(principal);
  const role = await it.api("POST", "/cloudProviderAccess", { providerName: "AZURE", servicePrincipalId: principal, tenantId: tenant });
  await it.api("PATCH", `/cloudProviderAccess/${role._id}`, { providerName: "AZURE", servicePrincipalId: principal, tenantId: tenant });
  await switchToRole(page, it, "Azure Key Vault", "Service principal", role._id);
  assert.deepEqual([(await stored()).roleId, (await stored()).clientID ?? null], [role._id, null]);
});
