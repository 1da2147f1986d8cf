// A key in Azure Key Vault: a service principal, the key, another version of it, off again.
import { test } from "node:test";
import assert from "node:assert/strict";
import { look, project, secret, shown, signedIn, told } from "./driver.mjs";
import { admit, subscription, tenant, vault } from "./tenant.mjs";

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

test("an application's secret that does not work is refused, and does not come back", async () => {
  const it = await project("azure secret");
  const v = await vault(`kv-secret-${process.pid}`);
  const page = await signedIn();
  await page.goto(it.page("advanced", "AZURE") + "?access=secret");
  await page.getByLabel("Client ID").fill("6f1b0000-0000-4000-8000-0000000000aa");
  await page.getByLabel("Tenant ID").fill(tenant);
  await page.getByLabel("Secret", { exact: true }).fill(secret("Xq8~not-a-client-secret-of-azure-zz1"));
  await page.getByLabel("Subscription ID").fill(subscription);
  await page.getByLabel("Resource group name").fill("rg-kms");
  await page.getByLabel("Key vault name").fill(v.name);
  await page.getByLabel("Key identifier").fill(v.kid);
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("alert").waitFor();
  assert.equal(await page.getByLabel("Secret", { exact: true }).inputValue(), "");
  await look(page, "azure-secret-refused");
});
