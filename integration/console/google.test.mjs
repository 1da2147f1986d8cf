// A key in Google Cloud KMS, by a service account that is made for the project, or by the key file of one of the tenant's.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cloud, look, project, shown, signedIn, switchToRole, told, within } from "./driver.mjs";
import { googleKey, kms, serviceAccount } from "./tenant.mjs";

test("encryption is enabled with a service account, and the key is disabled and enabled", async () => {
  const it = await project("google");
  const key = await googleKey(`console-${process.pid}`);
  const page = await signedIn();
  const google = page.getByRole("region", { name: "Google Cloud KMS", exact: true });
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /Google Cloud KMS: Off ?. Turn it on/ }).click();
  await page.getByRole("link", { name: "Create one" }).click();
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByRole("link", { name: "Use it for a key" }).waitFor(); // once the account is there: the page follows
  await look(page, "role-google");
  await page.getByRole("link", { name: "Use it for a key" }).click();

  const id = page.getByLabel("Key version resource ID");
  await id.fill(key.crypto);
  await shown(page, "The version is missing");
  await id.fill(key.version);
  await page.locator("#key-binding", { hasText: "us-east4" }).waitFor();
  await look(page, "google-form");
  await key.grant(/serviceAccount:([^'"\s]+)/.exec(await page.locator("#key-binding").innerText())[1]);
  await page.getByRole("button", { name: "Save" }).click();
  await google.getByText("Valid", { exact: true }).waitFor();

  const state = (s) => cloud("PATCH", `${kms}${key.version}?updateMask=state`, { state: s });
  const again = page.getByRole("button", { name: "Try again to use the key of Google Cloud KMS" });
  await state("DISABLED");
  await again.click();
  await google.getByText("Not valid").waitFor();
  await look(page, "advanced-google-invalid");
  await state("ENABLED");
  await again.click();
  await google.getByText("Valid", { exact: true }).waitFor();
  assert.equal((await it.api("GET", "/encryptionAtRest")).googleCloudKms.valid, true);
  await page.getByRole("link", { name: /Google Cloud KMS: On ?. Turn it off/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Turn off Google Cloud KMS" }).click();
  await told(page, "Google Cloud KMS is off.");
});

test("a service account's key file: refused, entered, kept, replaced, and given up for a service account for good", async () => {
  const it = await project("google file");
  const key = await googleKey(`file-${process.pid}`), account = await serviceAccount(`cmk-${process.pid}`);
  await key.grant(account.email);
  const page = await signedIn();
  const google = page.getByRole("region", { name: "Google Cloud KMS", exact: true });
  const field = page.getByLabel(/^Service account key( optional)?$/), id = page.getByLabel("Key version resource ID");
  const save = page.getByRole("button", { name: "Save" });
  const stored = async () => (await it.api("GET", "/encryptionAtRest")).googleCloudKms;
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /Google Cloud KMS: Off ?. Turn it on/ }).click();
  await page.getByRole("link", { name: "Service account key file" }).click();
  const first = await account.newKeyFile();
  await field.fill(first.slice(0, -20)); // not the whole file
  await id.fill(key.version);
  await save.click();
  await page.getByRole("alert").waitFor();
  assert.deepEqual([await field.inputValue(), await id.inputValue()], ["", key.version]);
  assert.equal((await stored()).enabled, false);
  await look(page, "google-file-refused");
  await field.fill(first);
  await save.click();
  await google.getByText("Valid", { exact: true }).waitFor();
  assert.deepEqual([(await stored()).serviceAccountKey, (await stored()).roleId ?? null], [undefined, null]);

  // Empty, it stays the one that is stored.
  await page.getByRole("link", { name: "Edit Google Cloud KMS" }).click();
  await shown(page, "Leave it empty to keep the one that is stored.");
  assert.equal(await field.inputValue(), "");
  await look(page, "google-file-edit");
  await save.click();
  await shown(page, "Nothing was changed");
  await cloud("POST", `${kms}${key.crypto}/cryptoKeyVersions`, {});
  await id.fill(`${key.crypto}/cryptoKeyVersions/2`);
  await save.click();
  await told(page, "Saved.");
  assert.equal((await stored()).keyVersionResourceID, `${key.crypto}/cryptoKeyVersions/2`);
  await google.getByText("Finished", { exact: true }).waitFor({ timeout: 90_000 }); // a switch would become part of it

  await page.getByRole("link", { name: "Edit Google Cloud KMS" }).click();
  await field.fill(await account.newKeyFile());
  await save.click();
  await told(page, "Saved.");
  await page.getByRole("button", { name: "Try again to use the key of Google Cloud KMS" }).click();
  await told(page, "Google Cloud KMS: valid.");

  const { roleId } = await it.api("POST", "/cloudProviderAccess", { providerName: "GCP" });
  let made;
  await within(60, "the service account is there", async () => {
    made = (await it.api("GET", "/cloudProviderAccess")).gcpServiceAccounts.find((r) => r.roleId === roleId).gcpServiceAccountForAtlas;
    return made;
  });
  await key.grant(account.email, made);
  await switchToRole(page, it, "Google Cloud KMS", "Service account", roleId);
  await account.disable(); // it is needed no more
  await page.getByRole("button", { name: "Try again to use the key of Google Cloud KMS" }).click();
  await told(page, "Google Cloud KMS: valid.");
});
