// For everybody: with the keyboard alone, without a script, with hostile names, and when two people change the same thing.
import { test } from "node:test";
import assert from "node:assert/strict";
import { cluster, encrypted, env, look, newKey, project, roleFor, signIn, signedIn, told, unfold, visitor } from "./driver.mjs";

// focused describes what has the focus, and whether one sees that.
const focused = (page) => page.evaluate(() => {
  const e = document.activeElement, style = getComputedStyle(e), box = e.getBoundingClientRect();
  return {
    name: (e.getAttribute("aria-label") ?? e.labels?.[0]?.innerText ?? e.innerText ?? "").replace(/\s+/g, " ").trim(), id: e.id, tag: e.tagName, dialog: !!e.closest("dialog"),
    seen: (style.outlineStyle !== "none" && parseFloat(style.outlineWidth) >= 2) || style.boxShadow !== "none",
    at: [Math.round(box.top + scrollY), Math.round(box.left)], visible: box.width > 0 && box.bottom > 0 && box.top < innerHeight,
  };
});

// tabTo presses Tab until something has the focus. Whatever has it on the way must show it.
async function tabTo(page, wanted, most = 80) {
  for (let i = 0; i < most; i++) {
    await page.keyboard.press("Tab");
    const at = await focused(page);
    if (at.tag === "BODY") continue;
    assert.ok(at.seen && at.visible, `the focus is not seen: ${JSON.stringify(at)}`);
    if (wanted.test(at.name) || wanted.test(at.id)) return at;
  }
  assert.fail(`the keyboard does not lead to ${wanted}`);
}

test("the keyboard alone: sign in, set up a key, look, turn it off", async () => {
  const it = await project("keyboard");
  const role = await roleFor(it, `keyboard-${process.pid}`);
  const key = newKey();
  const page = await visitor();
  const { keyboard } = page;
  await page.goto(it.page("advanced"));
  await tabTo(page, /^Public key/);
  await keyboard.type(env.PUBLIC_KEY);
  await tabTo(page, /^Private key/);
  await keyboard.type(env.PRIVATE_KEY);
  await keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Advanced" }).waitFor();

  // The first stop skips what is the same on each page.
  await keyboard.press("Tab");
  assert.match((await focused(page)).name, /Skip to the content/);
  await keyboard.press("Enter");
  await tabTo(page, /^toggle-AWS$/, 5);
  await keyboard.press("Enter");
  await page.getByRole("heading", { level: 1, name: "Set up AWS KMS" }).waitFor();
  await tabTo(page, /^Customer master key ID/);
  await keyboard.type(key);
  await tabTo(page, /^Customer master key Region/);
  await keyboard.type("us-east-1");
  await tabTo(page, /^Save$/);
  await keyboard.press("Enter");
  await page.getByRole("region", { name: "AWS KMS", exact: true }).getByText("Valid", { exact: true }).waitFor();
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.roleId, role.id);

  // A dialog holds the focus, and gives it back.
  await tabTo(page, /^toggle-AWS$/);
  await keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("button").first().waitFor();
  assert.ok((await focused(page)).dialog, "the dialog has no focus");
  for (let i = 0; i < 6; i++) {
    await keyboard.press("Tab");
    const at = await focused(page);
    assert.ok(at.dialog || at.tag === "BODY", `the focus left the dialog: ${JSON.stringify(at)}`); // the browser's own bar is between
  }
  await keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.equal((await focused(page)).id, "toggle-AWS");
  await keyboard.press("Enter");
  await page.getByRole("dialog").getByRole("button").first().waitFor();
  await tabTo(page, /^Turn off AWS KMS$/, 5).catch(async (e) => { if (!/Turn off/.test((await focused(page)).name)) throw e; });
  await keyboard.press("Enter");
  await told(page, "AWS KMS is off.");
});

test("without a script: sign in, set up a key, and turn it off on a page of its own", async () => {
  const it = await project("no script");
  const role = await roleFor(it, `noscript-${process.pid}`);
  const page = await visitor({ javaScriptEnabled: false });
  await page.goto(it.page("advanced"));
  await signIn(page);
  await page.locator("#toggle-AWS").click();
  await page.getByLabel("AWS IAM role").selectOption({ value: role.id });
  await page.getByLabel("Customer master key ID").fill(newKey());
  await page.getByLabel("Customer master key Region").selectOption({ value: "US_EAST_1" });
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("Valid", { exact: true }).waitFor();
  await page.locator("#toggle-AWS").click();
  await page.getByRole("heading", { level: 1, name: "Turn off AWS KMS" }).waitFor();
  await page.getByRole("button", { name: "Turn off AWS KMS" }).click();
  await told(page, "AWS KMS is off.");
  assert.equal((await it.api("GET", "/encryptionAtRest")).awsKms.enabled, false);
});

test("a change that somebody else made meanwhile is told, not overwritten", async () => {
  const it = await encrypted("two people");
  await cluster(it, "Shop");
  const page = await signedIn();
  await page.goto(it.page("clusters", "Shop", "edit"));
  await unfold(page, "Additional Settings");
  await page.getByLabel(/Termination protection/).check();
  await page.getByRole("button", { name: "Review Changes" }).last().click();
  await page.getByRole("button", { name: "Apply Changes" }).waitFor();
  await it.api("PATCH", "/clusters/Shop", { backupEnabled: false });
  await page.getByRole("button", { name: "Apply Changes" }).click();
  await page.getByRole("alert").waitFor();
  await look(page, "cluster-conflict");
  assert.equal((await it.api("GET", "/clusters/Shop")).terminationProtectionEnabled, false);
});
