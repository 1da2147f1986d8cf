// The activity feed, workflows step by step, and maintenance.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cluster, encrypted, look, newKey, opened, shown, signedIn, told, unfold, within } from "./driver.mjs";

test("the activity feed is searched, and workflows are shown step by step", async () => {
  const it = await encrypted("activity");
  await cluster(it, "Shop");
  const page = await signedIn();
  await it.api("PATCH", "/encryptionAtRest", { awsKms: { customerMasterKeyID: newKey() } });
  await page.goto(it.page("activity", "workflows"));
  const steps = page.getByText(/\d+ steps?, the newest first/).first();
  await steps.waitFor({ timeout: 60_000 });
  await look(page, "workflows");
  await within(120, "the key was changed", async () => (await it.own("GET", "/encryptionAtRest/keys")).results[0].lastChange?.state === "FINISHED");
  await page.reload();
  await page.getByText("Ended lately").waitFor();
  await unfold(page, /the newest first/);
  await page.getByRole("rowheader").first().waitFor();
  await look(page, "workflows-ended");

  await opened(page, it.page("activity"), "activity");
  const all = await page.locator("table.feed tbody tr").count();
  await page.getByText("What happened: anything").click();
  await page.getByLabel("Encryption keys", { exact: true }).check();
  await page.getByRole("button", { name: "Find" }).click();
  await page.getByText(/What happened: \d+ type/).waitFor();
  const some = await page.locator("table.feed tbody tr").count();
  assert.ok(some > 0 && some < all, `${some} of ${all}`);
  await page.locator("table.feed summary").first().click();
  await look(page, "activity-found");
  await page.getByRole("link", { name: "Show everything" }).click();
  await page.getByLabel("By whom").fill("nobody");
  await page.getByRole("button", { name: "Find" }).click();
  await shown(page, "Nothing was found");
  await page.goto("/console/orgs");
});

test("a maintenance window is set, and removed", async () => {
  const it = await encrypted("maintenance");
  const page = await signedIn();
  await page.goto(it.page("activity"));
  await page.getByRole("link", { name: "Maintenance", exact: true }).click();
  await look(page, "maintenance");
  await page.getByLabel("Day").selectOption({ index: 2 });
  await page.getByLabel(/^Hour/).selectOption({ index: 3 });
  await page.getByRole("button", { name: "Save" }).click();
  await told(page, "The maintenance window is saved.");
  await look(page, "maintenance-window");
  await page.getByRole("link", { name: "Remove the window…" }).click();
  await page.getByRole("dialog").getByRole("button").first().click();
  await told(page, "There is no maintenance window any more.");
});
