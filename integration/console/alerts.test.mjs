// Alerts, the reminder to rotate, and who is told of them.
import { test } from "node:test";
import assert from "node:assert/strict";
import { aws, encrypted, look, opened, secret, shown, signedIn, told, within } from "./driver.mjs";

test("alerts: raised by a key that is taken away, acknowledged, closed by the key that is back", async () => {
  const it = await encrypted("alerts");
  await it.api("POST", "/alertConfigs", {
    eventTypeName: "AWS_ENCRYPTION_KEY_INVALID", enabled: true, notifications: [{ typeName: "GROUP", emailEnabled: true, intervalMin: 60 }],
  });
  const page = await signedIn();
  await opened(page, it.page("alerts"), "alerts-none");
  aws("kms", "disable-key", "--key-id", it.key);
  await it.own("POST", "/encryptionAtRest/validate", {});
  const open = async () => (await it.api("GET", "/alerts?status=OPEN")).totalCount;
  await within(90, "an alert is open", async () => await open() > 0);
  await page.reload();
  await look(page, "alerts-open");
  await page.locator("[id^=alert-]").first().click();
  await look(page, "alert");
  await page.getByLabel("Silence it for").selectOption({ index: 0 });
  await page.getByLabel("Comment").fill("we <i>know</i>");
  await page.getByRole("button", { name: "Acknowledge", exact: true }).click();
  await shown(page, "“we <i>know</i>”");
  await look(page, "alert-acknowledged");
  await page.getByRole("button", { name: "Take the acknowledgement back" }).click();
  await told(page, "The acknowledgement is taken back.");
  aws("kms", "enable-key", "--key-id", it.key);
  await it.own("POST", "/encryptionAtRest/validate", {});
  await within(90, "none is open", async () => await open() === 0);
  await page.goto(it.page("alerts"));
  await page.getByRole("navigation", { name: "Alerts by their status" }).getByRole("link", { name: /Closed|Ended/ }).click();
  await page.locator("[id^=alert-]").first().waitFor();
});

test("the reminder to rotate: every 90 days, later, with a webhook whose secret is never shown, off", async () => {
  const it = await encrypted("reminder");
  const page = await signedIn();
  await page.goto(it.page("alerts"));
  await page.getByRole("link", { name: "Alert configurations" }).first().click();
  await look(page, "alert-configurations");
  const config = (await it.api("GET", "/alertConfigs")).results.find((c) => c.eventTypeName === "AWS_ENCRYPTION_KEY_NEEDS_ROTATION");
  assert.equal(config.threshold.threshold, 90);
  await page.locator(`#config-${config.id}`).click();
  await look(page, "alert-configuration");
  await page.getByRole("spinbutton").fill("400");
  await page.getByRole("button", { name: "Save" }).click();
  await told(page, "The configuration is saved.");
  assert.equal((await it.api("GET", `/alertConfigs/${config.id}`)).threshold.threshold, 400);

  await page.getByLabel("Tell somebody else too").selectOption({ value: "WEBHOOK" });
  await page.getByRole("button", { name: "Go on" }).click();
  await page.getByLabel("Address").fill(secret("https://hooks.example.com/t/0f8e-token-of-the-hook"));
  await page.getByLabel("Secret", { exact: false }).first().fill(secret("sign-requests-with-7731"));
  await look(page, "notification-new");
  await page.getByRole("button", { name: /Save|Add|Tell|Warn/ }).click();
  await told(page, /Webhook too/);
  await look(page, "alert-configuration-hook");
  assert.equal((await it.api("GET", `/alertConfigs/${config.id}`)).notifications.length, config.notifications.length + 1);
  await page.getByRole("link", { name: /^Edit ?: Webhook/ }).click();
  await look(page, "notification-edit"); // with neither the address nor the secret
  await page.goBack();

  await page.getByRole("link", { name: "Turn off" }).click();
  await page.getByRole("dialog").getByRole("button", { name: /off/i }).click();
  await told(page, /The configuration is off/);
  assert.equal((await it.api("GET", `/alertConfigs/${config.id}`)).enabled, false);
  await page.goto(it.page("new-alert-configuration"));
  await look(page, "alert-configuration-new");
});
