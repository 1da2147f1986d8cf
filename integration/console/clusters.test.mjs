// Clusters: created with a key of one's own, changed, followed, deleted; and what those see who may change nothing.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cluster, encrypted, idle, look, opened, project, shown, signedIn, told, unfold, within } from "./driver.mjs";

test("a cluster is created with Manage your own encryption keys, reviewed, and followed until it stands", async () => {
  const it = await encrypted("new-cluster");
  const page = await signedIn();
  await opened(page, it.page("clusters"), "clusters-none");
  await page.getByRole("link", { name: "Create a cluster" }).click();
  await page.getByLabel("Cluster name").fill("Shop");
  await unfold(page, "Additional Settings");
  await page.getByLabel("Manage your own encryption keys").selectOption({ value: "AWS" });
  await shown(page, "Require Private Networking");
  await look(page, "cluster-create");
  await page.getByRole("button", { name: "Review Changes" }).last().click();
  await page.getByRole("button", { name: "Apply Changes" }).waitFor();
  await shown(page, it.key);
  await look(page, "cluster-create-review");
  await page.getByRole("link", { name: "Go back and edit" }).click();
  assert.equal(await page.getByLabel("Cluster name").inputValue(), "Shop");
  await page.getByRole("button", { name: "Review Changes" }).last().click();
  await page.getByRole("button", { name: "Apply Changes" }).click();
  await told(page, "The cluster Shop is being created.");
  await look(page, "cluster-creating");
  await page.getByText("The cluster is being created", { exact: true }).waitFor({ state: "detached", timeout: 90_000 }); // the page follows
  assert.equal((await it.api("GET", "/clusters/Shop")).encryptionAtRestProvider, "AWS");
  await within(30, "three nodes under the key", async () => await page.locator("#state").getByText(it.key).count() === 3);
  await look(page, "cluster");
  await opened(page, it.page("clusters"), "clusters");

  // What is deleted for good is asked for by name.
  await page.getByRole("link", { name: "Shop" }).click();
  await page.getByRole("link", { name: "Delete…" }).click();
  await look(page, "cluster-delete");
  await page.getByLabel("Type Shop to go on").fill("Shopp");
  await page.getByRole("button", { name: "Delete the cluster" }).click();
  assert.match(page.url(), /\/delete$/, "it was deleted under another name");
  await page.getByLabel("Type Shop to go on").fill("Shop");
  await page.getByRole("button", { name: "Delete the cluster" }).click();
  await told(page, "The cluster Shop is being deleted.");
  await within(60, "it is gone", async () => (await it.api("GET", "/clusters")).totalCount === 0);
});

test("a cluster that exists is encrypted and decrypted: Edit Configuration, Additional Settings, Review Changes, Apply Changes", async () => {
  const it = await encrypted("edit-cluster");
  await cluster(it, "Plain", { encryptionAtRestProvider: "NONE" });
  const page = await signedIn();
  await page.goto(it.page("clusters", "Plain"));
  const change = async (value, title, name) => {
    await page.getByRole("link", { name: "Edit Configuration" }).click();
    await unfold(page, "Additional Settings");
    await page.getByLabel("Manage your own encryption keys").selectOption({ value });
    if (name) await look(page, `${name}-form`);
    await page.getByRole("button", { name: "Review Changes" }).last().click();
    await page.getByRole("button", { name: "Apply Changes" }).waitFor();
    if (name) await look(page, `${name}-review`);
    await page.getByRole("button", { name: "Apply Changes" }).click();
    await told(page, "The changes of Plain are on their way.");
    await page.getByText(title).first().waitFor();
    if (name) await look(page, `${name}-progress`);
    await idle(it, "Plain");
    await page.getByText(title).waitFor({ state: "detached", timeout: 60_000 });
  };
  await change("AWS", "Initial sync: the data are encrypted with your key in AWS KMS", "cluster-edit");
  assert.equal(await page.locator("#state").getByText(it.key).count(), 3);
  await change("NONE", "Initial sync: the data leave your key in AWS KMS");
  assert.equal(await page.locator("#state").getByText(it.key).count(), 0);
});

test("who does not own the project looks, and changes nothing", async () => {
  const it = await project("foreign", false);
  const page = await signedIn();
  for (const [where, name] of [["clusters", "clusters-reader"], ["advanced", "advanced-reader"], ["roles", "roles-reader"], ["alerts", "alerts-reader"]]) {
    await opened(page, it.page(where), name);
    assert.equal(await page.locator("main").getByRole("button", { name: /Save|Create|Delete|Turn/ }).count(), 0);
    await shown(page, /Project Owner/);
  }
});
