// A key in Google Cloud KMS, by a service account that is made for the project.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cloud, look, project, shown, signedIn, told } from "./driver.mjs";

test("encryption is enabled with a service account, and the key is disabled and enabled", async () => {
  const it = await project("google");
  const ring = `projects/tenant-project/locations/us-east4/keyRings/console-${process.pid}`, at = `http://cloudkms.googleapis.com/v1/${ring}`;
  await cloud("POST", `http://cloudkms.googleapis.com/v1/projects/tenant-project/locations/us-east4/keyRings?keyRingId=console-${process.pid}`, {});
  await cloud("POST", `${at}/cryptoKeys?cryptoKeyId=k`, { purpose: "ENCRYPT_DECRYPT" });
  const key = `${ring}/cryptoKeys/k/cryptoKeyVersions/1`;
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
  await id.fill(`${ring}/cryptoKeys/k`);
  await shown(page, "The version is missing");
  await id.fill(key);
  await page.locator("#key-binding", { hasText: "us-east4" }).waitFor();
  await look(page, "google-form");
  const member = /serviceAccount:[^'"\s]+/.exec(await page.locator("#key-binding").innerText())[0];
  await cloud("POST", `${at}/cryptoKeys/k:setIamPolicy`, { policy: { bindings: [{ role: "roles/cloudkms.cryptoKeyEncrypterDecrypter", members: [member] }] } });
  await page.getByRole("button", { name: "Save" }).click();
  await google.getByText("Valid", { exact: true }).waitFor();

  const state = (s) => cloud("PATCH", `http://cloudkms.googleapis.com/v1/${key}?updateMask=state`, { state: s });
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
