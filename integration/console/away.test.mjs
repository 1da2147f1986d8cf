// A key in AWS KMS that is taken away and given back, that another takes the place of, and that moves to another Region.
import { test } from "node:test";
import assert from "node:assert/strict";
import { aws, cluster, encrypted, fact, idle, look, newKey, project, roleFor, shown, signedIn, told, within } from "./driver.mjs";

const card = (page, name) => page.getByRole("region", { name, exact: true });

test("a key that is taken away: INVALID with the provider's request id, clusters disabled; Try again once it is back", async () => {
  const it = await encrypted("aws-away");
  await cluster(it, "Shop");
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  aws("kms", "disable-key", "--key-id", it.key);
  await page.getByRole("button", { name: "Try again to use the key of AWS KMS" }).click();
  const aw = card(page, "AWS KMS");
  await aw.getByText("Not valid").waitFor();
  const { results } = await it.own("GET", "/encryptionAtRest/keys");
  const { status } = results.find((k) => k.cloudProvider === "AWS").keyInUse;
  assert.equal(await fact(aw, "Request ID").innerText(), status.providerRequestId ?? status.requestId);
  assert.equal(await fact(aw, "Code of the provider").innerText(), "DisabledException");
  await shown(page, "Enable the key at its provider, then click Try again.");
  await look(page, "advanced-invalid");

  await page.getByRole("navigation", { name: "Project" }).getByRole("link", { name: "Clusters" }).click();
  await within(60, "the cluster is disabled", async () => {
    await page.reload();
    return page.getByText("Latchkey disabled your clusters due to invalid Encryption at Rest settings.").isVisible();
  });
  await look(page, "clusters-disabled");
  await page.getByRole("link", { name: "Shop" }).last().click();
  await shown(page, "Latchkey disabled this cluster");
  await look(page, "cluster-disabled");
  await page.goto(it.page());
  await look(page, "overview-invalid");

  aws("kms", "enable-key", "--key-id", it.key);
  await page.goto(it.page("advanced"));
  await page.getByRole("button", { name: "Try again to use the key of AWS KMS" }).click();
  await card(page, "AWS KMS").getByText("Valid", { exact: true }).waitFor();
  await page.goto(it.page("clusters"));
  await page.getByText("Latchkey disabled your clusters").waitFor({ state: "detached", timeout: 60_000 }); // by itself: the page follows
  await idle(it, "Shop");

  // Another key: the nodes' master keys are wrapped by it, one after the other.
  const next = newKey();
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: "Use another key of AWS KMS" }).click();
  await page.getByLabel("Customer master key ID").fill(next);
  await look(page, "aws-another-key");
  await page.getByRole("button", { name: "Use this key" }).click();
  await told(page, /wrapped by the new key/);
  await shown(page, "Use of another key");
  await look(page, "advanced-rotating");
  await card(page, "AWS KMS").getByText("Finished", { exact: true }).waitFor({ timeout: 90_000 });
  await page.goto(it.page("clusters", "Shop"));
  assert.equal(await page.locator("#state").getByText(next).count(), 3);

  // While a cluster uses the key, the provider stays on.
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: /AWS KMS: On ?. Turn it off/ }).click();
  await page.getByRole("dialog").getByText("AWS KMS cannot be turned off yet").waitFor();
  await look(page, "aws-off-refused");
});

test("a multi-Region key moves to its replica", async () => {
  const it = await project("aws region");
  const role = await roleFor(it, `region-${process.pid}`);
  const key = newKey("--multi-region");
  aws("kms", "replicate-key", "--key-id", key, "--replica-region", "eu-west-1");
  await it.api("PATCH", "/encryptionAtRest", { awsKms: { enabled: true, roleId: role.id, customerMasterKeyID: key, region: "US_EAST_1" } });
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  await page.getByRole("link", { name: "Change the Region" }).click();
  await page.getByLabel("Customer master key Region").selectOption({ value: "EU_WEST_1" });
  await look(page, "aws-region");
  await page.getByRole("button", { name: "Change the Region" }).click();
  await shown(page, "Move to another Region");
  await card(page, "AWS KMS").getByText("Finished", { exact: true }).waitFor({ timeout: 90_000 });
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.region, "EU_WEST_1");
});

test("a key whose deletion is scheduled says how it is kept", async () => {
  const it = await encrypted("aws-pending");
  const page = await signedIn();
  await page.goto(it.page("advanced"));
  aws("kms", "schedule-key-deletion", "--key-id", it.key, "--pending-window-in-days", "7");
  await page.getByRole("button", { name: "Try again to use the key of AWS KMS" }).click();
  await shown(page, "Cancel the deletion of the key at its provider");
  aws("kms", "cancel-key-deletion", "--key-id", it.key);
  aws("kms", "enable-key", "--key-id", it.key);
  await page.getByRole("button", { name: "Try again to use the key of AWS KMS" }).click();
  await page.getByRole("region", { name: "AWS KMS", exact: true }).getByText("Valid", { exact: true }).waitFor();
});
