// Snapshots of a cluster under a key, and their restores.
import { test } from "node:test";
import { backedUp, cluster, encrypted, look, shown, signedIn, told } from "./driver.mjs";

test("a snapshot is taken, and restored after the key was named that it needs", async () => {
  const it = await encrypted("snapshots");
  await cluster(it, "Shop");
  const page = await signedIn();
  await page.goto(it.page("clusters", "Shop"));
  await page.getByRole("link", { name: "Backup", exact: true }).click();
  await page.getByRole("link", { name: "Take a snapshot now" }).first().click();
  await page.getByLabel("Description").fill("before the <b>sale</b>");
  await look(page, "snapshot-take");
  await page.getByRole("button", { name: "Take a snapshot now" }).click();
  await told(page, "A snapshot is being taken.");
  await look(page, "backup-taking");
  await backedUp(it, "Shop", "it is complete", async () =>
    (await it.api("GET", "/clusters/Shop/backup/snapshots")).results.every((s) => s.status === "completed"));
  await page.getByRole("link", { name: /^Restore/ }).first().waitFor({ timeout: 60_000 }); // the page follows
  await shown(page, "before the <b>sale</b>");
  await look(page, "backup");
  await page.getByRole("link", { name: /^Restore/ }).first().click();
  await look(page, "restore");
  await page.getByLabel("Restore to").selectOption({ value: `${it.id}/Shop` });
  await page.getByRole("button", { name: "Review" }).click();
  await page.getByLabel("Type Shop to go on").waitFor();
  await look(page, "restore-review");
  await page.getByLabel("Type Shop to go on").fill("Shop");
  await page.getByRole("button", { name: "Restore to Shop" }).click();
  await told(page, "The restore to Shop is under way.");
  await backedUp(it, "Shop", "it is restored", async () =>
    (await it.api("GET", "/clusters/Shop/backup/restoreJobs")).results.every((j) => j.finishedAt));
  await page.reload();
  await look(page, "backup-restored");
  await page.getByRole("link", { name: "Edit" }).click();
  await look(page, "backup-schedule");
  await page.getByRole("button", { name: "Save" }).click();
  await told(page, "The schedule is changed.");

  await page.getByRole("link", { name: /^Delete…/ }).first().click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("button").first().waitFor();
  await look(page, "snapshot-delete");
  await dialog.getByRole("link", { name: "Cancel" }).click();
  await dialog.waitFor({ state: "hidden" });
});
